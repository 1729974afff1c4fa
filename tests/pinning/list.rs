//! `CLIENT LIST` and `INFO` have the fields of the backing's version, and `CLIENT` its subcommands.

use crate::support::{Client, RedisServer, Respite, escape};

/// A line as pairs of names and values.
fn fields(line: &str) -> Vec<(String, String)> {
    let pairs = line.trim_end().split(' ');
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').expect("a pair");
        (name.to_owned(), value.to_owned())
    };
    pairs.map(pair).collect()
}

#[test]
fn lines_are_those_of_the_backing() {
    type Enter = fn(&mut Client);
    let states: [Enter; 6] = [
        |_| {},
        |client| {
            client.hello3();
            client.call(&["CLIENT", "SETNAME", "me"]).assert_ok();
            client.call(&["SELECT", "3"]).assert_ok();
        },
        |client| {
            client.hello3();
            client
                .call(&["CLIENT", "TRACKING", "ON", "BCAST"])
                .assert_ok();
        },
        |client| drop(client.call(&["CLIENT", "NO-EVICT", "ON"])),
        |client| {
            client.hello3();
            client.call(&["SUBSCRIBE", "a"]);
            client.call(&["PSUBSCRIBE", "b*"]);
        },
        |client| {
            client.call(&["WATCH", "a", "b"]).assert_ok();
        },
    ];
    // What tells of buffers and sockets, or of who it is.
    const OWN: [&str; 15] = [
        "id",
        "addr",
        "laddr",
        "fd",
        "age",
        "idle",
        "qbuf",
        "qbuf-free",
        "argv-mem",
        "rbs",
        "rbp",
        "tot-mem",
        "tot-net-in",
        "tot-net-out",
        "tot-cmds",
    ];
    let (direct, behind) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&behind);
    for (n, enter) in states.into_iter().enumerate() {
        let lines = [direct.connect(), respite.connect()].map(|mut client| {
            enter(&mut client);
            let info = client.call(&["CLIENT", "INFO"]);
            let id = client.call(&["CLIENT", "ID"]).int();
            let list = client.call(&["CLIENT", "LIST", "ID", &id.to_string()]);
            [fields(info.as_str()), fields(list.as_str())]
        });
        let shown = |mut lines: [Vec<(String, String)>; 2]| {
            for (name, value) in lines.iter_mut().flatten() {
                if OWN.contains(&name.as_str()) {
                    value.clear();
                }
                // A Valkey shows a transaction of no commands where keys are watched.
                if RedisServer::is_valkey() && name == "multi" && value == "0" {
                    "-1".clone_into(value);
                }
            }
            lines
        };
        let [theirs, ours] = lines.map(shown);
        assert_eq!(ours, theirs, "state {n}");
    }
}

#[test]
fn subcommands_are_those_of_the_backing() {
    let (direct, behind) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&behind);
    let (mut theirs, mut ours) = (direct.connect(), respite.connect());
    let mut commands = vec![
        "CLIENT SETINFO lib-name x",
        "CLIENT NO-TOUCH on",
        "CLIENT NO-EVICT on",
        "CLIENT TRACKING foo",
        "CLIENT TRACKING ON REDIRECT",
        "CLIENT TRACKING ON REDIRECT x",
        "CLIENT TRACKING ON REDIRECT 0",
        "CLIENT TRACKING foo REDIRECT 123456",
        "CLIENT TRACKING OFF REDIRECT 123456",
        "CLIENT TRACKING ON PREFIX REDIRECT REDIRECT 123456",
        "CLIENT TRACKING ON PREFIX a",
        "CLIENT TRACKING OFF foo",
        "CLIENT UNBLOCK x foo",
        "CLIENT UNBLOCK x",
        "CLIENT UNBLOCK 123456",
        "CLIENT GETREDIR",
        "EVAL return(redis.call('client','id')) 0",
    ];
    if RedisServer::version() >= (7, 0, 0) {
        commands.push("CLIENT SETINFO");
        commands.push("CLIENT FOO");
    }
    for command in commands {
        let words: Vec<&str> = command.split(' ').collect();
        let [ours, theirs] = [&mut ours, &mut theirs].map(|client| client.call_raw(&words));
        // Which spelling of an unknown subcommand's error: that of Redis 7.
        if RedisServer::version() >= (7, 0, 0) || !theirs.starts_with(b"-ERR Unknown sub") {
            assert_eq!(escape(&ours), escape(&theirs), "{command}");
        } else {
            assert_eq!(ours[0], b'-', "{command}");
        }
    }
}
