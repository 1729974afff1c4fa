//! `MONITOR` shows what clients send as they sent it, in Redis' own words, and nothing of Respite's.

use crate::support::{Client, DEADLINE, RedisServer, Respite, encode, wait_until};

/// What a client sends, in order. A `|` is in one packet with what follows.
const COMMANDS: &str = r#"
PING
select 9
set a "x\y
GET a
GET a
MULTI
set b 1
GET b
EXEC
MULTI
NOSUCH
EXEC
MULTI
set b 2
DISCARD
WATCH b
UNWATCH
MULTI|
set b 3|
EXEC|
select 8|
GET b|
ECHO x
MSET a 1 b 2
EVAL return(1) 0
AUTH default pw
HELLO 3 AUTH default pw SETNAME me
HELLO 2
CONFIG GET port
GET
NOSUCH
ECHO hello
BLPOP list 0.01
publish c m
SUBSCRIBE c
UNSUBSCRIBE c
COMMAND COUNT
object encoding a
CLIENT LIST
RESET
set é 1
"#;

/// The lines that come, up to that of the last command, without times and addresses.
fn shown(monitor: &mut Client) -> Vec<String> {
    let mut lines = Vec::new();
    loop {
        let line = monitor.read_reply().as_str().to_owned();
        let (time, rest) = line.split_once(' ').expect("a time");
        let (seconds, micros) = time.split_once('.').expect("microseconds");
        assert!(
            seconds.parse::<u64>().is_ok() && micros.len() == 6,
            "{line}"
        );
        let (place, command) = rest.split_once("] ").expect("a place");
        let (db, address) = place.split_once(' ').expect("an address");
        assert!(address.starts_with("127.0.0.1:"), "{line}");
        let last = command.contains("end");
        lines.push(format!("{db} {command}"));
        if last {
            return lines;
        }
    }
}

#[test]
fn lines_are_those_of_redis() {
    let (direct, behind) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::in_front_of(&behind);
    let [theirs, ours] = [direct.connect(), respite.connect()].map(|mut monitor| {
        monitor.call(&["MONITOR"]).assert_ok();
        monitor
    });
    let run = |mut client: Client, mut monitor: Client| {
        let (mut packet, mut replies) = (Vec::new(), 0);
        for line in COMMANDS.lines().filter(|line| !line.is_empty()) {
            let command = line.trim_end_matches('|');
            packet.extend(encode(&command.split(' ').collect::<Vec<_>>()));
            replies += 1;
            if command == line {
                client
                    .exchange(
                        &[&std::mem::take(&mut packet)],
                        std::mem::take(&mut replies),
                    )
                    .expect("replies");
            }
        }
        client.call(&["ECHO", "end"]);
        shown(&mut monitor)
    };
    let theirs = run(direct.connect(), theirs);
    let ours = run(respite.connect(), ours);
    assert_eq!(ours, theirs);
}

#[test]
fn addresses_are_those_of_the_clients_and_reset_ends_it() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(2).start();
    let mut monitor = respite.connect();
    monitor.hello3();
    monitor.call(&["MONITOR"]).assert_ok();
    let mut clients: Vec<Client> = (0..3).map(|_| respite.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.send_raw(&encode(&["SET", "k", &n.to_string()]).repeat(2));
        client.read_reply().assert_ok();
        client.read_reply().assert_ok();
        for _ in 0..2 {
            let line = monitor.read_reply();
            let place = format!(" [0 {}] \"SET\" \"k\" \"{n}\"", client.local_addr());
            assert!(line.as_str().ends_with(&place), "{line:?}");
        }
    }
    for refused in [
        &["GET", "k"][..],
        &["SET", "k", "1"],
        &["EVAL", "return 1", "0"],
    ] {
        let reply = monitor.call(refused);
        reply.assert_error("ERR Replica can't interact with the keyspace");
    }
    monitor.call(&["PING"]).assert_str("PONG");
    assert!(monitor.read_reply().as_str().ends_with("\"PING\""));
    monitor.call(&["RESET"]).assert_str("RESET");
    clients[0].call(&["SET", "k", "x"]).assert_ok();
    monitor.call(&["GET", "k"]).assert_str("x");
}

#[test]
fn one_that_does_not_read_is_cut_off() {
    let redis = RedisServer::start();
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .config("[limits]\nclient_output_bytes = \"1MiB\"")
        .start();
    let (mut monitor, mut client) = (respite.connect(), respite.connect());
    monitor.call(&["MONITOR"]).assert_ok();
    let value = "x".repeat(64 * 1024);
    let shown = " cmd=monitor ";
    wait_until("the monitor is gone", DEADLINE, || {
        client.call(&["SET", "k", &value]).assert_ok();
        !client.call(&["CLIENT", "LIST"]).as_str().contains(shown)
    });
    respite.expect_log("limits.client_output_bytes");
    client.call(&["GET", "k"]).assert_str(&value);
}
