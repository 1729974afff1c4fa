//! Who may log in and run what: the replies are those of a redis-server with the same ACL users.

mod backing;
mod denied;
mod families;
mod hashes;
mod logins;
mod patterns;
mod protected;
mod reload;
mod renewal;
mod rules;
mod tls;

use sha2::{Digest, Sha256};

use crate::support::{Client, RedisServer, Respite, encode, escape};

/// A user of both sides: `[[access.users]]` here, `ACL SETUSER` there.
#[derive(Clone, Copy)]
struct User {
    name: &'static str,
    password: &'static str,
    commands: &'static [&'static str],
    keys: &'static [&'static str],
    channels: &'static [&'static str],
}

const APP: User = User {
    name: "app",
    password: "secret",
    commands: &["@read", "+set", "+@transaction", "+client|id"],
    keys: &["app:*", "shared"],
    channels: &["*"],
};
const ROOT: User = User {
    name: "root",
    password: "toor",
    commands: &["@all"],
    keys: &["*"],
    channels: &["*"],
};
const KEYED: User = User {
    name: "keyed",
    password: "pw",
    commands: &["@all"],
    keys: &["app:*"],
    channels: &["*"],
};

fn config(users: &[User]) -> String {
    let list = |words: &[&str]| format!("{words:?}");
    let users = users.iter().map(|user| {
        let hash = Sha256::digest(user.password.as_bytes());
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "[[access.users]]\nname = {:?}\npassword_sha256 = \"{hash}\"\ncommands = {}\nkeys = {}\n\
             channels = {}\n",
            user.name,
            list(user.commands),
            list(user.keys),
            list(user.channels)
        )
    });
    users.collect()
}

/// A redis-server with the same users.
fn reference(users: &[User]) -> RedisServer {
    let redis = RedisServer::start();
    let mut admin = redis.connect();
    for user in users {
        let password = format!(">{}", user.password);
        let keys = user.keys.iter().map(|key| match key.starts_with('%') {
            true => (*key).to_owned(),
            false => format!("~{key}"),
        });
        let channels = user.channels.iter().map(|channel| format!("&{channel}"));
        let commands = user.commands.iter().map(|rule| match rule.as_bytes()[0] {
            b'+' | b'-' => (*rule).to_owned(),
            _ => format!("+{rule}"),
        });
        let mut command = [
            "ACL",
            "SETUSER",
            user.name,
            "on",
            &password,
            "resetchannels",
        ]
        .map(str::to_owned)
        .to_vec();
        command.extend(keys.chain(channels).chain(commands));
        admin.call(&command).assert_ok();
    }
    admin
        .call(&["ACL", "SETUSER", "default", "off", "resetpass"])
        .assert_ok();
    redis
}

/// Respite with these users, and a redis-server with the same: what both say has to be the same.
struct Pair {
    _backing: RedisServer,
    reference: RedisServer,
    respite: Respite,
}

impl Pair {
    fn with(users: &[User]) -> Self {
        let backing = RedisServer::start();
        let builder = Respite::builder().upstream(&backing.url());
        let respite = builder.config(&config(users)).start();
        Self {
            _backing: backing,
            reference: reference(users),
            respite,
        }
    }

    fn connect(&self) -> [Client; 2] {
        [self.respite.connect(), self.reference.connect()]
    }
}

/// Sends each line as one command to both sides; one by one, or all in one packet.
fn same_replies(clients: &mut [Client; 2], one_packet: bool, lines: &[&str]) {
    // Before 7.0 it is not for strangers.
    if RedisServer::version() < (7, 0, 0) && lines.contains(&"RESET") {
        return;
    }
    let logs_in = lines.iter().any(|line| line.contains("AUTH "));
    if one_packet && logs_in && RedisServer::swallows_failed_logins() {
        return;
    }
    let commands: Vec<Vec<&str>> = lines.iter().map(|line| line.split(' ').collect()).collect();
    let [ours, theirs] = clients.each_mut().map(|client| -> Vec<String> {
        if one_packet {
            let packet: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
            client.send_raw(&packet);
            let read = |_| escape(&client.read_reply_raw());
            return commands.iter().map(read).collect();
        }
        let call = |words: &Vec<&str>| escape(&client.call_raw(words));
        commands.iter().map(call).collect()
    });
    for ((line, ours), theirs) in lines.iter().zip(ours).zip(theirs) {
        // The errors are worded as in version 7.0.
        let (major, minor, _) = RedisServer::version();
        if (major, minor) != (7, 0) && theirs.starts_with('-') {
            // It asks who it is before it counts the arguments.
            if RedisServer::is_valkey() && theirs.starts_with("-NOAUTH ") {
                assert!(ours.starts_with("-NOAUTH ") || ours.contains("wrong number of arguments"));
                continue;
            }
            // What it does not know yet, and subcommands whose arity it does not know.
            const NEWER: [&str; 3] = ["SORT_RO", "CLIENT SETNAME", "LMPOP"];
            if major < 7 && NEWER.iter().any(|newer| line.starts_with(newer)) {
                continue;
            }
            let code = |reply: &str| reply.split(' ').next().map(str::to_owned);
            assert_eq!(code(&ours), code(&theirs), "{line} in {lines:#?}");
            continue;
        }
        assert_eq!(ours, theirs, "{line} in {lines:#?}");
    }
}

const LOGIN: &str = "AUTH app secret";
