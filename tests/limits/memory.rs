//! Memory: bounded while clients ask for much, cut off when one does not read, given back afterwards.

use super::{MIB, PATIENCE, highest, resident};
use crate::support::{Client, RedisServer, Respite, encode, wait_until};

#[test]
fn a_slow_reader_is_cut_off_and_others_go_on() {
    let redis = RedisServer::start();
    let config = "[limits]\nclient_output_bytes = \"8MiB\"";
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config(config)
        .start();
    let mut other = respite.connect();
    redis.call(&["SETRANGE", "big", &(64 * MIB).to_string(), "x"]);
    let mut slow = respite.connect();
    slow.call(&["PING"]);
    let address = slow.local_addr();
    slow.send(&["GET", "big"]);
    wait_until("the slow reader is gone", PATIENCE, || {
        other.call(&["SET", "other", "goes on"]).assert_ok();
        !other.call(&["CLIENT", "LIST"]).as_str().contains(&address)
    });
    assert!(slow.try_read_reply_raw().is_err());
    respite.expect_log("limits.client_output_bytes");
    // the value was on its way when it showed that the client does not read
    assert!(highest(&respite) < 150 * MIB, "{} bytes", highest(&respite));
}

#[test]
fn a_thousand_large_replies_are_all_delivered_in_bounded_memory() {
    const REPLIES: usize = 1_000;
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    redis.call(&["SETRANGE", "big", &(MIB - 1).to_string(), "x"]);
    let mut client = respite.connect();
    client.set_timeout(PATIENCE);
    let packet = encode(&["GET", "big"]).repeat(REPLIES);
    let read = client.sending(&[&packet], |client| {
        for n in 0..REPLIES {
            let reply = client
                .try_read_reply_raw()
                .map_err(|error| format!("reply {n}: {error:.100}"))?;
            assert_eq!(reply.len(), MIB + 12, "reply {n}");
        }
        Ok(())
    });
    read.expect("all replies");
    assert!(highest(&respite) < 200 * MIB, "{} bytes", highest(&respite));
}

#[test]
fn a_client_that_stops_reading_many_large_replies_stays_bounded() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    redis.call(&["SETRANGE", "big", &(MIB - 1).to_string(), "x"]);
    let (mut slow, mut other) = (respite.connect(), respite.connect());
    slow.send_raw(&encode(&["GET", "big"]).repeat(500));
    for _ in 0..200 {
        assert_eq!(other.call(&["STRLEN", "big"]).int(), 1 << 20);
    }
    for n in 0..500 {
        let reply = slow
            .try_read_reply_raw()
            .unwrap_or_else(|error| panic!("reply {n}: {error:.100}"));
        assert_eq!(reply.len(), MIB + 12);
    }
    assert!(highest(&respite) < 200 * MIB, "{} bytes", highest(&respite));
}

#[test]
fn a_reader_that_pauses_gets_all_of_what_was_held_back() {
    const MESSAGES: usize = 24;
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let (mut subscriber, mut reader) = (respite.connect(), respite.connect());
    subscriber.call(&["SUBSCRIBE", "c"]);
    redis.call(&["SETRANGE", "big", &(MIB - 1).to_string(), "x"]);
    let packet = [
        encode(&["MULTI"]),
        encode(&["GET", "big"]).repeat(MESSAGES),
        encode(&["EXEC"]),
        encode(&["PING"]).repeat(3000),
    ];
    reader.send_raw(&packet.concat());
    let message = "x".repeat(MIB);
    let mut publisher = redis.connect();
    for _ in 0..MESSAGES {
        assert_eq!(publisher.call(&["PUBLISH", "c", &message]).int(), 1);
    }
    for _ in 0..MESSAGES {
        assert_eq!(subscriber.read_reply().items()[2].as_bytes().len(), MIB);
    }
    for _ in 0..MESSAGES + 1 {
        reader.read_reply();
    }
    assert_eq!(reader.read_reply().items().len(), MESSAGES);
    for _ in 0..3000 {
        reader.read_reply().assert_str("PONG");
    }
}

#[test]
fn a_value_of_100_mb_passes_both_ways_and_memory_goes_back() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    client.set_timeout(PATIENCE);
    client.call(&["SET", "small", "1"]).assert_ok();
    let before = resident(&respite);
    let value: Vec<u8> = (0..100_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    client
        .call(&[b"SET".as_slice(), b"huge", &value])
        .assert_ok();
    let reply = client.call(&["GET", "huge"]);
    assert!(reply.as_bytes() == value, "another value came back");
    let replies = client.pipeline(&[&["MULTI"][..], &["GET", "huge"], &["EXEC"]]);
    assert!(
        replies[2].items()[0].as_bytes() == value,
        "another value in EXEC"
    );
    // Less than the value: on a busy machine the allocator keeps holes between what grew in turns.
    wait_until("memory goes back", PATIENCE, || {
        resident(&respite) < before + 24 * MIB
    });
}

#[test]
fn memory_goes_back_after_a_burst() {
    const CLIENTS: usize = 30;
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("[cache]\nmode = \"off\"")
        .start();
    respite.call(&["SET", "small", "1"]).assert_ok();
    let before = resident(&respite);
    let value = "x".repeat(2 * MIB);
    std::thread::scope(|scope| {
        for n in 0..CLIENTS {
            let (mut client, key, value) = (respite.connect(), format!("k:{n}"), &value);
            client.set_timeout(PATIENCE);
            scope.spawn(move || {
                client.call(&["SET", &key, value]).assert_ok();
                let packet = encode(&["GET", &key]).repeat(3);
                let replies =
                    client.exchange(&[&packet, &encode(&["GET", "small"]).repeat(5000)], 5003);
                assert_eq!(replies.expect("all replies").len(), 5003);
            });
        }
    });
    wait_until("memory goes back", PATIENCE, || {
        resident(&respite) < before + 24 * MIB
    });
}

#[test]
fn idle_connections_are_cheap() {
    const CONNECTIONS: usize = 2_000;
    // a release build stays under 16 KiB
    const EACH: usize = 32 * 1024;
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE)
        .expect("getrlimit");
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, hard, hard)
        .expect("setrlimit");
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let open = |count: usize| -> Vec<Client> {
        let mut clients: Vec<Client> = (0..count).map(|_| respite.connect()).collect();
        for client in &mut clients {
            client.call(&["GET", "k"]);
        }
        clients
    };
    drop(open(10));
    let before = resident(&respite);
    let clients = open(CONNECTIONS);
    let each = resident(&respite).saturating_sub(before) / clients.len();
    assert!(each < EACH, "{each} bytes each");
}

#[test]
fn names_of_clients_are_bounded() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).start();
    let mut client = respite.connect();
    let (most, more) = ("n".repeat(4096), "n".repeat(4097));
    client.call(&["CLIENT", "SETNAME", &most]).assert_ok();
    for command in [
        &["CLIENT", "SETNAME", &more][..],
        &["HELLO", "3", "SETNAME", &more],
    ] {
        client
            .call(command)
            .assert_error("ERR Client names cannot be longer than 4096 bytes");
    }
    client.call(&["CLIENT", "GETNAME"]).assert_str(&most);
}
