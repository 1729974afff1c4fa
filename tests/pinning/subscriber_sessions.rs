//! What a subscriber gets for a session of commands, beside what Redis sends.

use std::time::Duration;

use super::subscribers::shown;
use crate::support::{Client, RedisServer, Respite};

/// What a client sends, after which all that it, and the other one, have got is compared.
const SESSIONS: &[&[&str]] = &[
    &[
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "UNSUBSCRIBE a b",
        "PUNSUBSCRIBE a",
    ],
    &[
        "SUBSCRIBE a",
        "SUBSCRIBE a a b",
        "PSUBSCRIBE a* b",
        "PUBLISH a 1",
        "UNSUBSCRIBE a",
        "PUBLISH a 2",
        "PUBLISH b 3",
        "UNSUBSCRIBE c b c",
        "PUBLISH b 4",
        "PUNSUBSCRIBE",
        "PUBLISH ab 5",
        "GET k",
    ],
    &[
        "SUBSCRIBE a",
        "PING",
        "PING hello",
        "PING a b",
        "GET k",
        "SET k",
        "NO.SUCH x",
        "ECHO x",
    ],
    &[
        "SUBSCRIBE a",
        "MULTI",
        "HELLO 3",
        "CLIENT ID",
        "UNSUBSCRIBE",
        "GET k",
        "PING",
    ],
    &[
        "SUBSCRIBE a",
        "PSUBSCRIBE b",
        "RESET",
        "PUBLISH a 1",
        "PUBLISH b 1",
        "GET k",
    ],
    &[
        "SUBSCRIBE",
        "PSUBSCRIBE",
        "SUBSCRIBE a",
        "SUBSCRIBE",
        "PUBLISH a 1",
    ],
    &["PSUBSCRIBE z* a* m* a", "PUNSUBSCRIBE", "PUBLISH a 1"],
    // Channels of slots are on a connection of the client's own.
    &[
        "SUBSCRIBE a",
        "SSUBSCRIBE s",
        "SUBSCRIBE b",
        "PSUBSCRIBE p*",
        "PUBLISH b 1",
        "UNSUBSCRIBE a",
        "PUBLISH a 2",
        "SUNSUBSCRIBE s",
        "UNSUBSCRIBE",
        "PUNSUBSCRIBE",
        "PUBLISH b 3",
        "GET k",
    ],
    &[
        "SSUBSCRIBE s",
        "UNSUBSCRIBE",
        "SUBSCRIBE a",
        "UNSUBSCRIBE a",
        "SUNSUBSCRIBE",
        "GET k",
    ],
    // In a transaction, too.
    &[
        "MULTI",
        "SUBSCRIBE a",
        "EXEC",
        "PUBLISH a 1",
        "UNSUBSCRIBE a",
        "GET k",
        "PUBLISH a 2",
    ],
    &[
        "SUBSCRIBE a",
        "CLIENT REPLY OFF",
        "SUBSCRIBE b",
        "CLIENT REPLY ON",
        "PUBLISH b 2",
        "PING",
    ],
    &[
        "CLIENT REPLY OFF",
        "SUBSCRIBE b",
        "CLIENT REPLY ON",
        "UNSUBSCRIBE b",
        "PING",
    ],
];

/// All frames that a client gets for a session of commands; `PUBLISH` is sent by somebody else.
fn play(port: u16, hello: &str, session: &[&str]) -> Vec<Vec<String>> {
    let (mut client, mut other) = (Client::connect(port), Client::connect(port));
    let [mut first, mut heard]: [Vec<String>; 2] = Default::default();
    if hello == "3" {
        client.hello3();
    }
    for line in session {
        let command: Vec<&str> = line.split(' ').collect();
        match command[0] {
            "PUBLISH" => first.push(shown(&other.call(&command))),
            _ => client.send(&command),
        }
    }
    client.send(&["SUBSCRIBE", "the end"]);
    loop {
        let raw = client.read_reply_raw();
        let text = String::from_utf8_lossy(&raw).into_owned();
        let ends = text.contains("the end");
        heard.push(text);
        if ends {
            return vec![first, heard];
        }
    }
}

/// Whether the server says the same as the one that is the reference.
fn is_as_in_7_0(session: &[&str]) -> bool {
    // Subcommands in errors, and channels of slots, came with 7.0. In which order newer servers end several patterns is
    // chance.
    let differs = |line: &&str| match RedisServer::version() {
        (..7, ..) => {
            line.starts_with("CLIENT ") || line.contains("SSUB") || line.contains("SUNSUB")
        }
        (7, ..2, _) => false,
        _ => *line == "PUNSUBSCRIBE" && session.iter().any(|line| line.starts_with("PSUBSCRIBE")),
    };
    !session.iter().any(differs)
}

#[test]
fn what_a_subscriber_gets_is_what_redis_sends() {
    let (direct, behind) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&behind);
    for session in SESSIONS.iter().filter(|session| is_as_in_7_0(session)) {
        // In a transaction, or past a refusal, RESP3 clients are told the same by other tests.
        for hello in ["2", "3"] {
            let asks = |line: &&str| line.starts_with("CLIENT ID") || line.starts_with("HELLO");
            if hello == "3" && session.iter().any(asks) {
                continue;
            }
            // One after the other, so that a command is done before the next is sent.
            let both = |patience| {
                [direct.port(), respite.port()]
                    .map(|port| play_slowly(port, hello, session, patience))
            };
            let [mut theirs, mut ours] = both(Duration::from_millis(30));
            if ours != theirs {
                // On a busy machine an answer may take longer.
                [theirs, ours] = both(Duration::from_secs(1));
            }
            assert_eq!(ours, theirs, "RESP{hello} {session:?}");
            let pipelined =
                |session: &&[&str]| !session.iter().any(|line| line.starts_with("PUBLISH"));
            if pipelined(session) {
                let theirs = play(direct.port(), hello, session);
                assert_eq!(
                    play(respite.port(), hello, session),
                    theirs,
                    "RESP{hello} {session:?}"
                );
            }
        }
    }
}

/// The same, but for each command what has come until an answer to a question behind it.
fn play_slowly(port: u16, hello: &str, session: &[&str], patience: Duration) -> Vec<Vec<String>> {
    let (mut client, mut other) = (Client::connect(port), Client::connect(port));
    if hello == "3" {
        client.hello3();
    }
    let mut all = Vec::new();
    for line in session {
        let command: Vec<&str> = line.split(' ').collect();
        let mut heard = Vec::new();
        match command[0] {
            "PUBLISH" => heard.push(shown(&other.call(&command))),
            _ => client.send(&command),
        }
        while !client.silent_for(patience) {
            heard.push(String::from_utf8_lossy(&client.read_reply_raw()).into_owned());
        }
        all.push(heard);
    }
    all
}
