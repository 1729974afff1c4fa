//! Memory of many clients: it follows what came, and has a bound over all of them.

use super::{MIB, PATIENCE, highest, resident};
use crate::support::{
    Client, DEADLINE, Direction, RedisServer, Relay, Respite, encode, wait_until,
};

#[test]
fn what_is_only_announced_takes_no_memory() {
    const CLIENTS: usize = 400;
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    for announced in [
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$500000000\r\nx",
        "*2\r\n$500000000\r\nx",
        "*1000000\r\n$3\r\nDEL\r\n",
    ] {
        let before = resident(&respite);
        let clients: Vec<Client> = (0..CLIENTS)
            .map(|_| {
                let mut client = respite.connect();
                client.call(&["PING"]).assert_str("PONG");
                client.send_raw(announced.as_bytes());
                client
            })
            .collect();
        let each = resident(&respite).saturating_sub(before) / clients.len();
        assert!(each < 64 * 1024, "{each} bytes each for {announced:?}");
    }
}

#[test]
fn what_a_transaction_keeps_here_is_bounded() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    client.set_timeout(PATIENCE);
    let name = "n".repeat(8 * MIB);
    client.call(&["MULTI"]).assert_ok();
    client
        .call(&["CLIENT", "SETNAME", "small"])
        .assert_str("QUEUED");
    for command in [
        &["CLIENT", "SETNAME", &name][..],
        &["CLIENT", "KILL", "ADDR", &name],
        &["HELLO", "3", "SETNAME", &name],
    ] {
        for _ in 0..8 {
            client.call(command).assert_error(
                "ERR the names and ids in this transaction have more than 1 MiB in all",
            );
        }
    }
    client
        .call(&["EXEC"])
        .assert_error("EXECABORT Transaction discarded because of previous errors.");
    // keys are queued at the backing; here only so many are kept
    client.call(&["MULTI"]).assert_ok();
    for _ in 0..8 {
        client.call(&["GET", &name]).assert_str("QUEUED");
    }
    assert_eq!(client.call(&["EXEC"]).items().len(), 8);
    assert!(highest(&respite) < 150 * MIB, "{} bytes", highest(&respite));
    // a quarter at a time, and the next transaction begins anew
    let name = "n".repeat(MIB / 4);
    for _ in 0..8 {
        let packet = [
            encode(&["MULTI"]),
            encode(&["CLIENT", "KILL", "ADDR", &name]).repeat(3),
            encode(&["EXEC"]),
        ];
        let replies = client
            .exchange(&[&packet.concat()], 5)
            .expect("all replies");
        assert_eq!(replies[4], b"*3\r\n:0\r\n:0\r\n:0\r\n");
    }
}

/// A Respite that keeps 48 MiB for clients.
fn small(redis: &RedisServer) -> Respite {
    Respite::builder()
        .upstream(&redis.url())
        .config("[limits]\nmemory = \"48MiB\"")
        .start()
}

#[test]
fn what_waits_behind_blocked_clients_is_bounded_in_sum() {
    let redis = RedisServer::start();
    let mut respite = small(&redis);
    let mut modest = respite.connect();
    modest.send(&["BLPOP", "list", "0"]);
    modest.send(&["SET", "modest", &"m".repeat(MIB)]);
    let behind = encode(&["SET", "k", &"x".repeat(MIB)]).repeat(200);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let mut client = respite.connect();
            client.send(&["BLPOP", "none", "0"]);
            let behind = &behind;
            scope.spawn(move || assert!(client.try_send_raw(behind).is_err(), "not cut off"));
        }
    });
    respite.expect_log("limits.memory");
    assert!(highest(&respite) < 250 * MIB, "{} bytes", highest(&respite));
    redis.call(&["RPUSH", "list", "element"]);
    assert_eq!(modest.read_reply().strings(), ["list", "element"]);
    modest.read_reply().assert_ok();
    wait_until("memory goes back", PATIENCE, || {
        resident(&respite) < 100 * MIB
    });
}

#[test]
fn the_client_for_whom_most_is_kept_goes_first_unless_it_may_not() {
    if RedisServer::lacks((7, 0), "CLIENT NO-EVICT") {
        return;
    }
    let redis = RedisServer::start();
    let mut respite = small(&redis);
    // A request whose last byte is missing.
    let begin = |client: &mut Client, mib: usize| {
        let mut request = encode(&["ECHO", &"n".repeat(mib * MIB)]);
        request.truncate(request.len() - 2);
        client.send_raw(&request);
    };
    let hold = |mib: usize| {
        let mut client = respite.connect();
        begin(&mut client, mib);
        client
    };
    let mut exempt = respite.connect();
    exempt.set_timeout(PATIENCE);
    exempt.call(&["CLIENT", "NO-EVICT", "ON"]).assert_ok();
    begin(&mut exempt, 25);
    let (mut most, mut some) = (hold(14), hold(8));
    let mut last = hold(6);
    wait_until("the largest is gone", DEADLINE, || most.closed());
    for client in [&mut exempt, &mut some, &mut last] {
        client.send_raw(b"\r\n");
        assert!(client.read_reply().as_str().starts_with("nnn"));
    }
    let line = respite.expect_log("limits.memory");
    assert!(line.contains("bytes=14"), "{line}");
}

#[test]
fn replies_that_are_not_read_count_as_well() {
    let redis = RedisServer::start();
    let mut respite = small(&redis);
    redis.call(&["SETRANGE", "big", &(20 * MIB).to_string(), "x"]);
    let mut clients: Vec<Client> = (0..6).map(|_| respite.connect()).collect();
    for client in &mut clients {
        client.call(&["PING"]);
        client.send(&["GETRANGE", "big", "0", "-1"]);
    }
    respite.expect_log("limits.memory");
    wait_until("some are gone", PATIENCE, || {
        respite.call(&["CLIENT", "LIST"]).as_str().lines().count() < 4
    });
    let whole = clients
        .into_iter()
        .filter_map(|mut client| client.try_read_reply_raw().ok())
        .filter(|reply| reply.len() > 20 * MIB)
        .count();
    assert!((1..4).contains(&whole), "{whole} got all");
}

/// Many who wait for one fetch have one copy of what it brings: there is no time to cut anybody off in between.
#[test]
fn what_a_fetch_brings_is_kept_once_for_all_who_wait() {
    const CLIENTS: usize = 40;
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .workers(1)
        .config("[cache]\nstaleness_max = \"60s\"")
        .start();
    redis.call(&["SETRANGE", "big", &(900_000 - 1).to_string(), "x"]);
    let mut first = respite.connect();
    wait_until("a link fetches", DEADLINE, || {
        first.call(&["GET", "small"]);
        !first.call(&["CACHE.INSPECT", "small"]).is_null()
    });
    let fill = relay.find(|bytes| bytes.windows(8).any(|part| part == b"TRACKING"));
    fill.pause(Direction::Down);
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| respite.connect()).collect();
    for client in &mut clients {
        client.send_raw(&encode(&["GET", "big"]).repeat(32));
    }
    fill.wait_held(Direction::Down);
    // All are noted before it lands.
    wait_until("all have joined", DEADLINE, || {
        first.call(&["CACHE.STATS"]).field("coalesced").int() >= 32 * CLIENTS as i64 - 1
    });
    fill.resume(Direction::Down);
    for client in &mut clients {
        client.set_timeout(PATIENCE);
        for _ in 0..32 {
            assert_eq!(client.read_reply_raw().len(), 900_000 + 11);
        }
    }
    assert!(highest(&respite) < 300 * MIB, "{} bytes", highest(&respite));
}
