use sha2::{Digest, Sha256};

use super::*;
use crate::command::Table;
use crate::resp::{ArgVec, parse_reply};

/// What redis-server 7.0.15 answered to `COMMAND`.
const REDIS_7_0: &[u8] = include_bytes!("../../command/testdata/command-7.0.resp");

fn table() -> Table {
    let (reply, _) = parse_reply(REDIS_7_0).expect("valid").expect("whole");
    Table::from_backing(&reply, &[]).expect("a table")
}

fn strings(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn user(name: &str, commands: &str, keys: &str) -> UserSpec {
    UserSpec {
        name: name.to_owned(),
        password: Password::Sha256(Sha256::digest(name).into()),
        commands: strings(commands),
        keys: strings(keys),
        channels: strings("*"),
    }
}

fn list(deny: &str, users: Vec<UserSpec>) -> AccessList {
    AccessList::new(&strings(deny), users).expect("valid rules")
}

/// Checks a line as a session does; the error's text or "OK".
fn check(list: &AccessList, user: Option<&str>, line: &str) -> String {
    let table = table();
    let args: ArgVec = line.split(' ').collect();
    let args = args.as_args();
    let row = table.get(&args[0]);
    let sub = row.and_then(|row| table.get_sub(row, args.get(1)?));
    let id = user.map(|name| list.user_by_name(name.as_bytes()).expect("a known user"));
    match list.check(id, row, &args[0], sub, args) {
        Ok(()) => "OK".to_owned(),
        Err(denied) => denied.to_string(),
    }
}

fn no_command(name: &str) -> String {
    format!("NOPERM this user has no permissions to run the '{name}' command")
}

const NO_KEY: &str =
    "NOPERM this user has no permissions to access one of the keys used as arguments";

#[test]
fn an_open_list_allows_everything() {
    let open = list("", vec![]);
    assert!(open.is_open());
    for line in ["set a b", "flushall", "no.such a", "eval x 0"] {
        assert_eq!(check(&open, None, line), "OK", "{line}");
    }
    assert!(open.may_read(None, b"a"));
}

/// The session with ACL user bob was recorded on redis-server 7.0.15.
#[test]
fn refusals_are_worded_as_by_redis() {
    let list = list("", vec![user("bob", "+@all -set -client|list", "app:*")]);
    for (line, want) in [
        ("set app:1 2", no_command("set")),
        ("SeT app:1 2", no_command("set")),
        ("get foo", NO_KEY.to_owned()),
        ("get app:1", "OK".to_owned()),
        ("mget app:1 foo", NO_KEY.to_owned()),
        ("mget app:1 app:2", "OK".to_owned()),
        ("client list", no_command("client|list")),
        ("CLIENT LIST", no_command("client|list")),
        ("client id", "OK".to_owned()),
        ("acl whoami", "OK".to_owned()),
        ("keys *", "OK".to_owned()),
        ("dbsize", "OK".to_owned()),
        ("flushall", "OK".to_owned()),
        ("sort app:1 STORE app:2", "OK".to_owned()),
        ("sort app:1 STORE foo", NO_KEY.to_owned()),
    ] {
        assert_eq!(check(&list, Some("bob"), line), want, "{line}");
    }
    assert_eq!(
        check(&list, None, "get app:1"),
        "NOAUTH Authentication required."
    );
}

#[test]
fn keys_that_cannot_be_known_need_all_keys() {
    let list = list(
        "",
        vec![user("bob", "@all", "app:*"), user("all", "@all", "x *")],
    );
    for line in [
        "eval x 0",
        "eval x 1 app:1",
        "fcall_ro f 1 app:1",
        "sort app:1 BY w_*",
        "sort app:1 GET x_*",
        "no.such app:1",
    ] {
        assert_eq!(check(&list, Some("bob"), line), NO_KEY, "{line}");
        assert_eq!(check(&list, Some("all"), line), "OK", "{line}");
    }
    assert_eq!(
        check(&list, Some("bob"), "sort app:1 BY nosort GET #"),
        "OK"
    );
}

#[test]
fn the_deny_list_is_for_everybody() {
    let deny = "@dangerous config|set debug";
    let lists = [
        list(deny, vec![]),
        list(deny, vec![user("bob", "@all", "*")]),
    ];
    for (list, who) in lists.iter().zip([None, Some("bob")]) {
        for (line, name) in [
            ("flushall", "flushall"),
            ("CONFIG SET a b", "config|set"),
            ("DEBUG SLEEP 0", "debug"),
            ("keys *", "keys"),
            // Nothing is known of it: it may be dangerous.
            ("no.such", "no.such"),
        ] {
            assert_eq!(check(list, who, line), no_command(name), "{line}");
        }
        for line in ["get a", "config help", "client id"] {
            assert_eq!(check(list, who, line), "OK", "{line}");
        }
    }
    assert_eq!(
        check(&list("no.such", vec![]), None, "NO.such a"),
        no_command("NO.such")
    );
    assert_eq!(
        check(&list("@all", vec![]), None, "get a"),
        no_command("get")
    );
}

/// A container whose subcommands have no rows, as on Redis 6.
#[test]
fn a_subcommand_without_a_row_is_matched_by_its_word() {
    let table = table();
    let mut config = table.get(b"config").expect("a known command").clone();
    config.subcommands.clear();
    let list = list("config|set", vec![]);
    let ask = |line: &str| {
        let args: ArgVec = line.split(' ').collect();
        list.check(None, Some(&config), b"CONFIG", None, args.as_args())
    };
    assert_eq!(ask("CONFIG SET a b"), Err(Denied::Command("config".into())));
    assert_eq!(ask("CONFIG GET a"), Ok(()));
    assert_eq!(ask("CONFIG"), Ok(()));
}

#[test]
fn the_handshake_is_always_allowed() {
    let list = list("@all hello auth quit reset", vec![user("bob", "", "")]);
    for line in ["hello 3", "auth x", "QUIT", "reset"] {
        assert_eq!(check(&list, None, line), "OK", "{line}");
        assert_eq!(check(&list, Some("bob"), line), "OK", "{line}");
    }
    assert_eq!(check(&list, Some("bob"), "ping"), no_command("ping"));
}

#[test]
fn unknown_commands_are_shown_harmlessly() {
    let list = list("", vec![user("bob", "@read", "*")]);
    let long = format!("a\r\nb{}", "x".repeat(300));
    let text = check(&list, Some("bob"), &long);
    assert!(text.starts_with("NOPERM this user has no permissions to run the 'a  bxxx"));
    assert!(text.len() < 200 && !text.contains('\r'));
}

#[test]
fn users_log_in_with_their_password_only() {
    let list = list("", vec![user("bob", "", ""), user("default", "", "")]);
    let bob = list
        .authenticate(b"bob", b"bob")
        .expect("the right password");
    assert_eq!(list.user_name(bob), "bob");
    assert_eq!(list.user_by_name(b"bob"), Some(bob));
    for (name, password) in [
        ("bob", "Bob"),
        ("bob", ""),
        ("eve", "eve"),
        ("BOB", "bob"),
        ("", ""),
    ] {
        assert_eq!(
            list.authenticate(name.as_bytes(), password.as_bytes()),
            None,
            "{name}"
        );
    }
    assert!(list.authenticate(b"default", b"default").is_some());
    assert_eq!(list.user_by_name(b"eve"), None);
}

/// After a reload, a session that kept its user's id must not become somebody else.
#[test]
fn an_id_means_nobody_to_another_list() {
    let before = list("", vec![user("bob", "@all", "*")]);
    let after = list("", vec![user("root", "@all", "*")]);
    let bob = before.user_by_name(b"bob").expect("a known user");
    assert!(before.may_read(Some(bob), b"a"));
    assert!(!after.may_read(Some(bob), b"a"));
    assert_eq!(after.user_name(bob), "");
}

#[test]
fn cached_values_are_for_those_who_may_read_the_key() {
    let list = list(
        "",
        vec![user("bob", "@all", "app:* x[12]"), user("all", "@all", "*")],
    );
    let id = |name: &str| list.user_by_name(name.as_bytes());
    assert!(list.may_read(id("bob"), b"app:1"));
    assert!(list.may_read(id("bob"), b"x2"));
    assert!(!list.may_read(id("bob"), b"x3"));
    assert!(!list.may_read(id("bob"), b""));
    assert!(list.may_read(id("all"), b""));
    assert!(!list.may_read(None, b"app:1"));
}

#[test]
fn wrong_users_are_refused() {
    let new = |users| {
        AccessList::new(&[], users)
            .map(drop)
            .expect_err("wrong users")
    };
    assert_eq!(
        new(vec![user("a", "", ""), user("a", "", "")]),
        AccessError::DuplicateUser("a".to_owned()),
    );
    assert_eq!(new(vec![user("", "", "")]), AccessError::EmptyUserName);
    let error = new(vec![user("a", "@read @nope", "")]);
    assert_eq!(
        error.to_string(),
        "user 'a': unknown command category in the rule '@nope'"
    );
}

#[test]
fn neither_hashes_nor_rules_are_shown() {
    let spec = user("bob", "@all", "*");
    assert!(!format!("{spec:?}").contains("sha256"));
    assert_eq!(
        format!("{:?}", list("", vec![spec])),
        r#"AccessList { deny: DenyList { subjects: [] }, users: ["bob"] }"#,
    );
}

/// What a family's rows may look like: one tells the same as `INFO`, one is administrative.
fn own(list: &AccessList, user: Option<&str>, name: &'static str) -> String {
    let row = OwnRow {
        name,
        categories: match name {
            "SHARD.INFO" => Categories::SLOW.union(Categories::DANGEROUS),
            _ => Categories::ADMIN,
        },
        aliases: match name {
            "SHARD.INFO" => &["info"],
            _ => &[],
        },
        ..OwnRow::EMPTY
    }
    .row(0);
    let args: ArgVec = [name].into_iter().collect();
    let id = user.and_then(|name| list.user_by_name(name.as_bytes()));
    match list.check(id, Some(&row), name.as_bytes(), None, args.as_args()) {
        Ok(()) => "OK".to_owned(),
        Err(denied) => denied.to_string(),
    }
}

#[test]
fn rules_about_a_command_are_rules_about_what_tells_the_same() {
    let denied = no_command("shard.info");
    assert_eq!(own(&list("info", vec![]), None, "SHARD.INFO"), denied);
    assert_eq!(own(&list("@dangerous", vec![]), None, "SHARD.INFO"), denied);
    assert_eq!(own(&list("config", vec![]), None, "SHARD.INFO"), "OK");
    for (rules, want) in [
        ("@all -info", &*denied),
        ("@all -shard.info", &denied),
        ("+info", "OK"),
        ("+shard.info", "OK"),
        ("@all -info +shard.info", "OK"),
        ("@all -@dangerous", &denied),
        ("@read", &denied),
    ] {
        let list = list("", vec![user("bob", rules, "*")]);
        assert_eq!(own(&list, Some("bob"), "SHARD.INFO"), want, "{rules}");
    }
}

#[test]
fn what_is_administrative_is_dangerous() {
    let careful = list("", vec![user("bob", "@all -@dangerous", "*")]);
    assert_eq!(
        own(&careful, Some("bob"), "CACHE.FLUSH"),
        no_command("cache.flush")
    );
    assert!(!careful.is_admin(careful.user_by_name(b"bob")));
    for (rules, is_admin) in [
        ("@all", true),
        ("@read +@admin", true),
        ("@all -@admin", false),
        ("@read +discovery.get", false),
        ("", false),
    ] {
        let list = list("", vec![user("bob", rules, "*")]);
        assert_eq!(
            list.is_admin(list.user_by_name(b"bob")),
            is_admin,
            "{rules}"
        );
        assert!(!list.is_admin(None));
    }
    assert!(list("", vec![]).is_admin(None));
    assert!(!list("@dangerous", vec![]).is_admin(None));
}

#[test]
fn rights_are_those_of_the_user() {
    let list = Arc::new(list("", vec![user("bob", "@all", "app:*")]));
    let bob = list.rights(list.user_by_name(b"bob"));
    assert!(bob.may_use(b"app:1") && !bob.may_use(b"x") && bob.is_admin());
    let nobody = list.rights(None);
    assert!(!nobody.may_use(b"app:1") && !nobody.is_admin() && nobody.are_restricted());
    let trusted = list.rights(Some(UserId::TRUSTED));
    assert!(trusted.may_use(b"x") && trusted.is_admin());
    let open = Arc::new(AccessList::new(&[], vec![]).expect("no rules"));
    assert!(!open.rights(None).are_restricted());
}
