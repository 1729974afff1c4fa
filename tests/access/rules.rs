//! Logging in, commands and keys, transactions, scripts, the deny list.

use super::{APP, KEYED, LOGIN, Pair, ROOT, User, config, same_replies};
use crate::support::{RedisServer, Respite, encode, escape};

#[test]
fn strangers_get_what_redis_says() {
    let pair = Pair::with(&[APP, ROOT]);
    let sequences: [&[&str]; 8] = [
        &[
            "GET a",
            "PING",
            "SET a 1",
            "MULTI",
            "EXEC",
            "CLIENT ID",
            "COMMAND COUNT",
        ],
        &["GET", "SELECT", "CLIENT SETNAME", "ECHO", "SET a"],
        &[
            "HELLO",
            "HELLO 3",
            "HELLO 4",
            "HELLO x",
            "HELLO 3 SETNAME me",
            "GET a",
        ],
        &[
            "AUTH",
            "AUTH secret",
            "AUTH app wrong",
            "AUTH nobody secret",
            "AUTH a b c",
            "GET a",
        ],
        &[
            "HELLO 3 AUTH app wrong",
            "HELLO 3 AUTH nobody x",
            "HELLO 3 AUTH app",
            "GET a",
        ],
        &[
            "RESET",
            "GET app:1",
            "AUTH app secret",
            "GET app:1",
            "RESET",
            "GET app:1",
        ],
        &[
            "AUTH app secret",
            "AUTH app wrong",
            "GET app:1",
            "AUTH root toor",
            "DEL app:1",
        ],
        &[
            "SUBSCRIBE a",
            "BLPOP a 0",
            "WATCH a",
            "INFO",
            "EVAL x 0",
            "QUIT",
        ],
    ];
    for lines in sequences {
        for one_packet in [false, true] {
            same_replies(&mut pair.connect(), one_packet, lines);
        }
    }
}

#[test]
fn hello_logs_in_and_switches_together() {
    let pair = Pair::with(&[APP]);
    let mut client = pair.respite.connect();
    let refused = client.call(&["HELLO", "3", "AUTH", "app", "wrong"]);
    refused.assert_error("WRONGPASS ");
    // A refused HELLO has switched nothing: RESP2's null, not RESP3's, once logged in.
    client.call(&["AUTH", "app", "secret"]).assert_ok();
    assert_eq!(client.call_raw(&["GET", "app:1"]), b"$-1\r\n");
    let mut client = pair.respite.connect();
    let hello = client.call(&["HELLO", "3", "AUTH", "app", "secret", "SETNAME", "me"]);
    assert_eq!(hello.field("proto").int(), 3);
    assert_eq!(client.call_raw(&["GET", "app:1"]), b"_\r\n");
}

#[test]
fn users_run_their_commands_on_their_keys() {
    let pair = Pair::with(&[APP, ROOT, KEYED]);
    let app: &[&str] = &[
        LOGIN,
        "SET app:1 x",
        "GET app:1",
        "GET other",
        "SET other x",
        "MGET app:1 shared",
        "MGET app:1 other",
        "MGET app:1",
        "STRLEN app:1",
        "GETRANGE other 0 -1",
        "DEL app:1",
        "FLUSHALL",
        "PING",
        "ECHO x",
        "SELECT 1",
        "CONFIG GET maxmemory",
        "CLIENT LIST",
        "CLIENT GETNAME",
        "OBJECT ENCODING app:1",
        "OBJECT ENCODING other",
        "SORT_RO app:l",
        "XREAD STREAMS app:s other 0 0",
        "ZUNION 2 app:z other",
        "BITCOUNT other",
        "SUBSCRIBE c",
        "BLPOP app:l 0",
        "GET",
        "DEL",
        "EVAL x 0",
        "get other",
    ];
    // The integer that CLIENT ID gives is each side's own.
    let keyed: &[&str] = &[
        "AUTH keyed pw",
        "SET app:1 x",
        "COPY app:1 app:2",
        "COPY app:1 other",
        "RENAME other app:1",
        "SET other x",
        "LMPOP 2 app:l other LEFT",
        "BLPOP app:l other 0",
        "SORT app:l STORE other",
        "ZUNIONSTORE app:z 1 other",
        "XREADGROUP GROUP g c STREAMS app:s other > >",
        "WATCH other",
        "PING",
        "UNWATCH",
        "MIGRATE 127.0.0.1 1 other 0 1",
    ];
    for lines in [app, keyed] {
        for one_packet in [false, true] {
            same_replies(&mut pair.connect(), one_packet, lines);
        }
    }
    let mut client = pair.respite.connect();
    client.call(&["AUTH", "app", "secret"]).assert_ok();
    assert!(client.call(&["CLIENT", "ID"]).int() > 0);
}

#[test]
fn a_refused_command_spoils_the_transaction() {
    // One who may begin transactions and not end them.
    let queuer = User {
        name: "queuer",
        password: "pw",
        commands: &["multi", "get", "discard"],
        keys: &["*"],
        channels: &["*"],
    };
    let pair = Pair::with(&[APP, queuer]);
    let sequences: [&[&str]; 5] = [
        &[
            LOGIN,
            "MULTI",
            "SET app:1 a",
            "SET other b",
            "GET app:1",
            "EXEC",
            "GET app:1",
        ],
        &[
            LOGIN,
            "MULTI",
            "SET app:1 a",
            "DEL app:1",
            "EXEC",
            "GET app:1",
            "EXEC",
        ],
        &[
            LOGIN,
            "MULTI",
            "PING",
            "DISCARD",
            "MULTI",
            "SET app:1 b",
            "EXEC",
            "GET app:1",
        ],
        &[
            "AUTH queuer pw",
            "MULTI",
            "GET a",
            "EXEC",
            "GET a",
            "EXEC",
            "DISCARD",
        ],
        &[
            LOGIN,
            "WATCH app:1",
            "WATCH other",
            "MULTI",
            "GET app:1",
            "EXEC",
        ],
    ];
    for lines in sequences {
        for one_packet in [false, true] {
            same_replies(&mut pair.connect(), one_packet, lines);
        }
    }
}

#[test]
fn scripts_are_refused_to_users_of_some_keys() {
    let pair = Pair::with(&[KEYED, ROOT]);
    let mut keyed = pair.respite.connect();
    keyed.call(&["AUTH", "keyed", "pw"]).assert_ok();
    let script = "return redis.call('get', 'other')";
    let denied = "NOPERM this user has no permissions to access one of the keys used as arguments";
    let refused: [&[&str]; 5] = [
        &["EVAL", script, "0"],
        &["EVAL", script, "1", "app:1"],
        &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
        &["FCALL", "f", "1", "app:1"],
        &["NOSUCH.COMMAND", "app:1"],
    ];
    for command in refused {
        keyed.call(command).assert_error(denied);
    }
    let mut root = pair.respite.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    root.call(&["SET", "other", "seen"]).assert_ok();
    root.call(&["EVAL", script, "0"]).assert_str("seen");
    root.call(&["NOSUCH.COMMAND"])
        .assert_error("ERR unknown command");
}

/// All commands that run scripts, and those that change what others run.
const SCRIPTS: [&[&str]; 10] = [
    &["EVAL", "return redis.call('flushall')", "0"],
    &["EVAL_RO", "return redis.call('keys', '*')", "0"],
    &["EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "0"],
    &[
        "EVALSHA_RO",
        "e0e1f9fabfc9d4800c877a703b823ac0578ff8db",
        "0",
    ],
    &["FCALL", "f", "0"],
    &["FCALL_RO", "f", "0"],
    &[
        "FUNCTION",
        "LOAD",
        "REPLACE",
        "#!lua name=l\nredis.register_function('f', function() return redis.call('flushall') end)",
    ],
    &["FUNCTION", "DELETE", "l"],
    &["FUNCTION", "FLUSH"],
    &["FUNCTION", "RESTORE", "x"],
];

#[test]
fn scripts_are_refused_to_users_of_some_commands() {
    const NO_DANGER: User = User {
        name: "nodanger",
        password: "pw",
        commands: &["+@all", "-@dangerous"],
        keys: &["*"],
        channels: &["*"],
    };
    const SOME: User = User {
        name: "some",
        commands: &["+get", "+multi", "+exec", "+@scripting"],
        ..NO_DANGER
    };
    let redis = RedisServer::start();
    let users = config(&[NO_DANGER, SOME, ROOT]);
    let respite = Respite::builder().upstream(&redis.url());
    let respite = respite.config(&users).start();
    redis.call(&["SET", "kept", "1"]).assert_ok();
    let login = |name, password| {
        let mut client = respite.connect();
        client.call(&["AUTH", name, password]).assert_ok();
        client
    };
    for name in ["nodanger", "some"] {
        let text =
            format!("NOPERM scripts can run commands that user '{name}' may not: [access] scripts");
        let mut client = login(name, "pw");
        for command in SCRIPTS {
            if name == "nodanger" && command[0] == "FUNCTION" && command[1] == "RESTORE" {
                // Dangerous by itself in some versions of Redis.
                client.call(command).assert_error("NOPERM ");
                continue;
            }
            assert_eq!(client.call(command).error(), text, "{command:?}");
            client.call(&["MULTI"]).assert_ok();
            assert_eq!(client.call(command).error(), text, "{command:?}");
            client.call(&["EXEC"]).assert_error("EXECABORT ");
        }
        client.call(&["SCRIPT", "LOAD", "return 1"]);
        if RedisServer::version() >= (7, 0, 0) {
            client.call(&["FUNCTION", "LIST"]).items();
        }
    }
    let mut root = login("root", "toor");
    root.call(&["EVAL", "return 1", "0"]).assert_int(1);
    root.call(&["GET", "kept"]).assert_str("1");
    // Who becomes somebody else in a transaction is judged as that one.
    root.call(&["MULTI"]).assert_ok();
    root.call(&["AUTH", "nodanger", "pw"]);
    root.call(SCRIPTS[0]);
    root.call(&["EXEC"]).items()[1].assert_error("NOPERM ");
    redis.call(&["GET", "kept"]).assert_str("1");
    respite.rewrite_config(&users.replacen("[[access", "[access]\nscripts = true\n[[access", 1));
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    root.call(&["RESPITE.RELOAD"]).assert_ok();
    let mut trusted = login("nodanger", "pw");
    if RedisServer::version() >= (7, 0, 0) {
        trusted.call(SCRIPTS[6]).assert_str("l");
    }
    trusted.call(SCRIPTS[0]).assert_ok();
}

#[test]
fn a_deny_list_is_for_scripts_as_well() {
    let redis = RedisServer::start();
    let start = |rules: &str| {
        let respite = Respite::builder().upstream(&redis.url());
        respite.config(rules).start()
    };
    let denying = start("[access]\ndeny = [\"flushall\"]");
    let mut client = denying.connect();
    for command in SCRIPTS {
        let error = client.call(command);
        error.assert_error("NOPERM scripts can run commands that user 'default' may not: ");
    }
    let trusting = start("[access]\ndeny = [\"flushall\"]\nscripts = true");
    let mut client = trusting.connect();
    client.call(&["FLUSHALL"]).assert_error("NOPERM ");
    client.call(SCRIPTS[0]).assert_ok();
    // Nobody changes for others what he may not touch himself.
    let rules = config(&[KEYED]).replacen("[[access", "[access]\nscripts = true\n[[access", 1);
    let keyed = start(&rules);
    let mut client = keyed.connect();
    client.call(&["AUTH", "keyed", "pw"]).assert_ok();
    for command in SCRIPTS {
        client
            .call(command)
            .assert_error("NOPERM this user has no permissions");
    }
}

#[test]
fn whoever_has_some_keys_watches_nobody_unless_a_rule_says_so() {
    const WATCHER: User = User {
        name: "watcher",
        commands: &["+@all", "+monitor"],
        ..KEYED
    };
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url());
    let respite = respite.config(&config(&[KEYED, WATCHER, ROOT])).start();
    for (name, password) in [("watcher", "pw"), ("root", "toor")] {
        let mut client = respite.connect();
        client.call(&["AUTH", name, password]).assert_ok();
        client.call(&["MONITOR"]).assert_ok();
    }
    let mut client = respite.connect();
    client.call(&["AUTH", "keyed", "pw"]).assert_ok();
    let refused = client.call(&["MONITOR"]);
    refused.assert_error("NOPERM this user has no permissions to run the 'monitor' command");
}

#[test]
fn strangers_may_send_little() {
    let pair = Pair::with(&[APP]);
    let ten = format!("*10\r\n{}", "$1\r\na\r\n".repeat(10));
    let too_much: [&[u8]; 3] = [
        b"*11\r\n",
        b"*1\r\n$16385\r\n",
        b"*2\r\n$3\r\nGET\r\n$999999\r\n",
    ];
    for bytes in too_much {
        let [ours, theirs] = pair.connect().map(|mut client| {
            client.send_raw(bytes);
            let reply = escape(&client.read_reply_raw());
            assert!(client.closed(), "{reply}");
            reply
        });
        assert_eq!(ours, theirs);
    }
    let mut client = pair.respite.connect();
    client.send_raw(ten.as_bytes());
    client.read_reply().assert_error("NOAUTH ");
    // The limit falls with the login, in the same packet too.
    let many: Vec<String> = (0..50).map(|n| format!("app:{n}")).collect();
    let login = encode(&["AUTH", "app", "secret"]);
    let mget: Vec<&str> = std::iter::once("MGET")
        .chain(many.iter().map(|key| &**key))
        .collect();
    client.send_raw(&[login, encode(&mget)].concat());
    client.read_reply().assert_ok();
    assert_eq!(client.read_reply().items().len(), 50);
}

#[test]
fn the_deny_list_is_for_everybody() {
    let redis = RedisServer::start();
    let deny = "[access]\ndeny = [\"flushall\", \"config|set\", \"@pubsub\", \"ping\"]\n";
    let open = Respite::builder()
        .upstream(&redis.url())
        .config(deny)
        .start();
    let with_users = format!("{deny}{}", config(&[ROOT]));
    let closed = Respite::builder()
        .upstream(&redis.url())
        .config(&with_users)
        .start();
    let mut stranger = open.connect();
    let mut root = closed.connect();
    root.call(&["AUTH", "root", "toor"]).assert_ok();
    for client in [&mut stranger, &mut root] {
        client.call(&["SET", "a", "1"]).assert_ok();
        let refused: [(&[&str], &str); 5] = [
            (&["FlushAll"], "flushall"),
            (&["CONFIG", "SET", "maxmemory", "0"], "config|set"),
            (&["SUBSCRIBE", "c"], "subscribe"),
            (&["PUBLISH", "c", "m"], "publish"),
            (&["PING"], "ping"),
        ];
        for (command, name) in refused {
            let text = format!("NOPERM this user has no permissions to run the '{name}' command");
            assert_eq!(client.call(command).error(), text);
        }
        client.call(&["CONFIG", "GET", "maxmemory"]).items();
        client.call(&["MULTI"]).assert_ok();
        client.call(&["FLUSHALL"]).assert_error("NOPERM ");
        client.call(&["EXEC"]).assert_error("EXECABORT ");
        client.call(&["GET", "a"]).assert_str("1");
    }
}

#[test]
fn rights_are_judged_again_when_a_transaction_is_executed() {
    const RO: User = User {
        name: "ro",
        password: "ro",
        commands: &["@read", "+@connection", "+@transaction"],
        keys: &["app:*"],
        channels: &["*"],
    };
    let pair = Pair::with(&[ROOT, RO]);
    let lines: &[&str] = &[
        "AUTH root toor",
        "SET app:1 x",
        "MULTI",
        "SET app:1 before",
        "AUTH ro ro",
        "SET app:1 after",
        "GET app:1",
        "GET other",
        "AUTH ro wrong",
        "DEL app:1",
        "CLIENT KILL ID 123456",
        "SET app:1 y",
        "EXEC",
        "GET app:1",
        "SET app:1 z",
        "MULTI",
        "GET app:1",
        "HELLO 3 AUTH root toor",
        "EXEC",
        "AUTH root toor",
        "MULTI",
        "AUTH ro ro",
        "DISCARD",
        "SET app:1 z",
        "MULTI",
        "SET app:1 again",
        "EXEC",
    ];
    // HELLO tells of each side what is its own.
    let lines: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| !line.starts_with("HELLO"))
        .collect();
    if RedisServer::swallows_failed_logins() {
        return;
    }
    for one_packet in [false, true] {
        same_replies(&mut pair.connect(), one_packet, &lines);
    }
}
