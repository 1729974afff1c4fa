//! Respite's own commands obey the rules: key patterns, `@admin`, and whatever else tells the same.

use super::{ROOT, User, config};
use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

/// May run everything, on the keys of one tenant.
const TENANT: User = User {
    name: "tenant",
    password: "pw",
    commands: &["@all"],
    keys: &["app:*", "respite:d:{mine}", "respite:b:{mine}"],
    channels: &["*"],
};
/// May touch every key, and read.
const READER: User = User {
    name: "reader",
    password: "pw",
    commands: &["@all", "-@admin"],
    keys: &["*"],
    channels: &["*"],
};
/// What is dangerous is left out.
const CAREFUL: User = User {
    name: "careful",
    password: "pw",
    commands: &["+@all", "-@dangerous"],
    keys: &["*"],
    channels: &["*"],
};

const NO_KEY: &str =
    "NOPERM this user has no permissions to access one of the keys used as arguments";

fn respite(redis: &RedisServer, users: &[User], more: &str) -> Respite {
    let config = format!("{more}\n{}", config(users));
    Respite::builder()
        .upstream(&redis.url())
        .config(&config)
        .start()
}

fn login(respite: &Respite, user: &User) -> Client {
    let mut client = respite.connect();
    client.call(&["AUTH", user.name, user.password]).assert_ok();
    client
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn a_tenant_has_its_own_groups_and_buses_only() {
    let redis = RedisServer::start();
    let respite = respite(&redis, &[TENANT, ROOT], "");
    let (mut tenant, mut root) = (login(&respite, &TENANT), login(&respite, &ROOT));
    for group in ["mine", "theirs"] {
        for line in [
            "DISCOVERY.REGISTER web http://x AUTH basic hush GROUP",
            "DISCOVERY.JOIN web n1 GROUP",
        ] {
            let line = format!("{line} {group}");
            assert!(!root.call(&words(&line)).is_error(), "{line}");
        }
        assert!(!root.call(&["BUS.REGISTER", group, "m"]).is_error());
        assert!(
            !root
                .call(&["BUS.CAST", group, "m", "PAYLOAD", "p"])
                .is_error()
        );
    }
    let lines = [
        "DISCOVERY.GET web GROUP G",
        "DISCOVERY.GET web GROUP G WITHSECRETS",
        "DISCOVERY.REGISTER web http://evil GROUP G",
        "DISCOVERY.JOIN web n1 GROUP G ADDR 10.6.6.6 80",
        "DISCOVERY.JOIN web n1 TAGS 2 GROUP mine GROUP G",
        "DISCOVERY.HEARTBEAT web n1 LEASE 0 GROUP G",
        "DISCOVERY.LEAVE web n1 GROUP G",
        "DISCOVERY.NODES web GROUP G ALL",
        "DISCOVERY.RESOLVE web GROUP G",
        "DISCOVERY.SERVICES GROUP G",
        "DISCOVERY.WATCH * INDEX 0 GROUP G TIMEOUT 1",
        "DISCOVERY.DEREGISTER nothing GROUP G",
        "BUS.REGISTER G n",
        "BUS.UNREGISTER G n",
        "BUS.FETCH G w m TIMEOUT 1",
        "BUS.REPLY G 1-1.0-1.m 0 x",
        "BUS.FAIL G 1-1.0-1.m 0 code text",
        "BUS.BEAT G w",
        "BUS.CALL G n TIMEOUT 1",
        "BUS.CAST G m",
        "BUS.RESULT G 1-1.0-1.m TIMEOUT 1",
        "BUS.CANCEL G 1-1.0-1.m",
        "BUS.METHODS G",
        "BUS.WORKERS G",
        "BUS.STATS G",
        "BUS.UNCACHE G m ALL",
        "BUS.DEAD G m",
        "BUS.REVIVE G 1-1.0-1.m",
        "BUS.CLEANUP G",
        "DISCOVERY.DROPGROUP G",
    ];
    for line in lines {
        // The letter stands in the names of commands and options, too.
        let asked = |group: &'static str| -> Vec<&str> {
            let words = line.split(' ');
            words
                .map(|word| if word == "G" { group } else { word })
                .collect()
        };
        let theirs = tenant.call(&asked("theirs"));
        assert_eq!(theirs.error(), NO_KEY, "{line}");
        let mine = tenant.call(&asked("mine"));
        let refused = mine.is_error() && mine.error().starts_with("NOPERM");
        assert!(!refused, "{line}: {mine:?}");
    }
    // Other names are refused as names of groups are: the default one is nobody's here.
    tenant.call(&["DISCOVERY.SERVICES"]).assert_error(NO_KEY);
    // Nothing of the others has changed.
    let methods = root.call(&["BUS.METHODS", "theirs"]);
    methods.items()[0].field("pending").assert_int(1);
    let nodes = root.call(&["DISCOVERY.NODES", "web", "GROUP", "theirs"]);
    assert_eq!(nodes.field("nodes").items().len(), 1);
    // And not by the back door.
    for line in [
        "GET respite:d:{theirs}:meta",
        "DEL respite:b:{theirs}:m",
        "EVAL x 0",
    ] {
        assert_eq!(tenant.call(&words(line)).error(), NO_KEY, "{line}");
    }
}

#[test]
fn lists_show_what_a_user_may_touch() {
    let redis = RedisServer::start();
    redis
        .call(&["MSET", "app:1", "x", "other", "x"])
        .assert_ok();
    let respite = respite(&redis, &[TENANT, ROOT], "");
    let (mut tenant, mut root) = (login(&respite, &TENANT), login(&respite, &ROOT));
    for group in ["mine", "theirs"] {
        let joined = root.call(&["DISCOVERY.JOIN", "web", "n1", "GROUP", group]);
        assert!(!joined.is_error());
    }
    assert_eq!(tenant.call(&["DISCOVERY.GROUPS"]).strings(), ["mine"]);
    assert_eq!(
        root.call(&["DISCOVERY.GROUPS"]).strings(),
        ["mine", "theirs"]
    );
    let keys = |client: &mut Client| -> Vec<String> {
        let hot = client.call(&["CACHE.HOTKEYS"]);
        let mut keys: Vec<String> = hot
            .items()
            .iter()
            .map(|hot| hot.field("key").as_str().to_owned())
            .collect();
        keys.sort();
        keys
    };
    wait_until("both are hot", DEADLINE, || {
        root.call(&["GET", "app:1"]).assert_str("x");
        root.call(&["GET", "other"]).assert_str("x");
        keys(&mut root) == ["app:1", "other"]
    });
    assert_eq!(keys(&mut tenant), ["app:1"]);
    assert_eq!(tenant.call(&["CACHE.INSPECT", "other"]).error(), NO_KEY);
    assert!(!tenant.call(&["CACHE.INSPECT", "app:1"]).is_error());
    tenant.call(&["CACHE.FLUSH", "MATCH", "*"]).assert_int(1);
    wait_until("it is cached again", DEADLINE, || {
        root.call(&["GET", "app:1"]).assert_str("x");
        !root.call(&["CACHE.INSPECT", "app:1"]).is_null()
    });
    tenant.call(&["CACHE.FLUSH"]).assert_int(1);
    root.call(&["CACHE.FLUSH", "MATCH", "o*"]).assert_int(1);
}

#[test]
fn secrets_are_for_administrators() {
    let redis = RedisServer::start();
    let with_users = respite(&redis, &[READER, ROOT], "");
    let (mut reader, mut root) = (login(&with_users, &READER), login(&with_users, &ROOT));
    let registered = root.call(&words("DISCOVERY.REGISTER web http://x AUTH basic hush"));
    assert!(!registered.is_error());
    let get = ["DISCOVERY.GET", "web", "WITHSECRETS"];
    reader.call(&get).assert_error("NOPERM ");
    assert!(!reader.call(&get[..2]).is_error());
    assert!(format!("{:?}", root.call(&get)).contains("hush"));
    let denied = respite(&redis, &[], "access.deny = [\"@admin\"]");
    denied.call(&get).assert_error("NOPERM ");
    let open = Respite::in_front_of(&redis);
    assert!(format!("{:?}", open.call(&get)).contains("hush"));
}

#[test]
fn what_changes_everybodys_server_is_dangerous() {
    let redis = RedisServer::start();
    let respite = respite(&redis, &[CAREFUL, ROOT], "");
    let mut careful = login(&respite, &CAREFUL);
    for line in [
        "CACHE.FLUSH",
        "CACHE.FLUSH MATCH *",
        "GATEWAY.DRAIN s http://x",
        "GATEWAY.UNDRAIN s http://x",
        "GATEWAY.CHECK s",
        "SHARD.ADD a 127.0.0.1:1",
        "SHARD.DEL a",
        "SHARD.REFRESH a",
        "RESPITE.RELOAD",
        "INFO",
        "SHARD.INFO a",
        "SHARD.FIELDS",
    ] {
        let refused = careful.call(&words(line));
        assert!(
            refused.error().starts_with("NOPERM "),
            "{line}: {refused:?}"
        );
    }
    // So it is for every command of ours, and as COMMAND tells it.
    if RedisServer::lacks((7, 0), "COMMAND LIST") {
        return;
    }
    let mut root = login(&respite, &ROOT);
    let mut list = |category: &str| -> Vec<String> {
        let filter = ["COMMAND", "LIST", "FILTERBY", "ACLCAT", category];
        let reply = root.call(&filter);
        let ours = reply.strings().into_iter().map(str::to_ascii_lowercase);
        ours.collect()
    };
    let dangerous = list("dangerous");
    let admin = list("admin");
    assert!(admin.contains(&"cache.flush".to_owned()));
    for command in admin {
        assert!(dangerous.contains(&command), "{command}");
    }
}

#[test]
fn a_denied_command_is_denied_by_its_other_names() {
    let redis = RedisServer::start();
    let without_info = respite(&redis, &[], "access.deny = [\"info\"]");
    for line in ["INFO", "INFO backing", "SHARD.INFO backing", "SHARD.FIELDS"] {
        let refused = without_info.call(&words(line));
        assert!(
            refused.error().starts_with("NOPERM "),
            "{line}: {refused:?}"
        );
    }
    assert!(!without_info.call(&["SHARD.LIST"]).is_error());
    // The other way round: a shard's INFO, but not the backing's own.
    let without = respite(&redis, &[], "access.deny = [\"shard.info\"]");
    let mut client = without.connect();
    let shards = client.call(&["SHARD.LIST"]);
    let id = shards.items()[0].field("id").as_str().to_owned();
    let denied = "NOPERM this user has no permissions to run the 'shard.info' command";
    client.call(&["INFO", &id]).assert_error(denied);
    assert!(!client.call(&["INFO"]).is_error());
    client.call(&["SHARD.USE", &id]).assert_ok();
    client.call(&["INFO"]).assert_error(denied);
}
