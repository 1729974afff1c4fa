//! `CLIENT PAUSE … WRITE` holds what Redis holds.

use std::time::Duration;

use crate::support::{Client, RedisServer, Respite, encode, escape};

/// How long absence is looked for.
const MOMENT: Duration = Duration::from_millis(60);
const PATIENCE: Duration = Duration::from_secs(3);

/// Each line is a packet of commands of a client of its own, the last of which is held or not.
const PACKETS: &str = "
SET a 1
GET a
DEL a
EVAL return(1) 0
EVAL #!lua\\nreturn(1) 0
EVAL #!lua\\x20flags=no-writes\\nreturn(1) 0
EVAL_RO return(1) 0
EVALSHA e0e1f9fabfc9d4800c877a703b823ac0578ff8db 0
PUBLISH c m
SPUBLISH c m
PFCOUNT h
PFADD h a
SET a
EVAL
NOSUCH a
BLPOP list 0.01
SORT l
SORT l STORE m
PING
SELECT 1
SCRIPT LOAD return(1)
FUNCTION LIST
XREAD STREAMS s 0
INFO server
SUBSCRIBE c
WATCH a
EXEC
CLIENT ID
RESET
OBJECT ENCODING a
MULTI
MULTI|GET a|EXEC
MULTI|GET a|PING|EXEC
MULTI|GET a|SET a
MULTI|GET a|SET a|EXEC
MULTI|NOSUCH|EXEC
MULTI|EXEC
MULTI|GET a|DISCARD
MULTI|SET a 2
MULTI|PUBLISH c m
MULTI|EVAL_RO return(1) 0|EXEC
MULTI|EVAL return(1) 0
";

fn packet(line: &str) -> Vec<Vec<u8>> {
    let command = |text: &str| {
        let words = text.split(' ');
        let unescaped = words.map(|word| word.replace("\\n", "\n").replace("\\x20", " "));
        encode(&unescaped.collect::<Vec<_>>())
    };
    line.split('|').map(command).collect()
}

/// The reply of the last command, or that it is held for so long.
fn outcome(client: &mut Client, line: &str, moment: Duration) -> String {
    let commands = packet(line);
    client.send_raw(&commands.concat());
    for _ in 1..commands.len() {
        client.read_reply_raw();
    }
    if client.silent_for(moment) {
        return "held".to_owned();
    }
    let reply = escape(&client.read_reply_raw());
    // What a server tells of itself, ids and the like.
    reply
        .chars()
        .take(24)
        .filter(|c| !c.is_ascii_digit())
        .collect()
}

#[test]
fn writes_are_held_as_redis_holds_them() {
    let (direct, behind) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&behind);
    let (mut redis_admin, mut admin) = (direct.connect(), respite.connect());
    for admin in [&mut redis_admin, &mut admin] {
        admin
            .call(&["CLIENT", "PAUSE", "100000", "WRITE"])
            .assert_ok();
    }
    for line in PACKETS.lines().filter(|line| !line.is_empty()) {
        let both = |moment| {
            let (mut theirs, mut ours) = (direct.connect(), respite.connect());
            (
                outcome(&mut ours, line, moment),
                outcome(&mut theirs, line, moment),
            )
        };
        // On a busy machine an answer may take longer than a moment.
        let (ours, theirs) = match both(MOMENT) {
            (ours, theirs) if ours != theirs => both(PATIENCE),
            same => same,
        };
        assert_eq!(ours, theirs, "{line}");
    }
}

#[test]
fn an_exec_of_writes_queued_before_the_pause_is_held() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut admin, mut reads, mut writes) =
        (respite.connect(), respite.connect(), respite.connect());
    for (client, command) in [(&mut reads, "GET a"), (&mut writes, "INCR a")] {
        client.call(&["MULTI"]).assert_ok();
        let words: Vec<&str> = command.split(' ').collect();
        client.call(&words).assert_str("QUEUED");
    }
    admin
        .call(&["CLIENT", "PAUSE", "100000", "WRITE"])
        .assert_ok();
    assert!(reads.call(&["EXEC"]).items()[0].is_null());
    writes.send(&["EXEC"]);
    assert!(writes.silent_for(MOMENT));
    admin.call(&["CLIENT", "UNPAUSE"]).assert_ok();
    assert_eq!(writes.read_reply().items()[0].int(), 1);
}
