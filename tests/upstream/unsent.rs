//! A connection lost while requests leave: nothing that left in full is sent a second time.

use nix::sys::signal::Signal;

use super::{link, uncached};
use crate::support::{DEADLINE, Direction, RedisServer, Relay, Reply, encode, wait_until};

/// More than the relay and the sockets in between take in while nobody reads.
const COMMANDS: usize = 30_000;

#[test]
fn a_write_that_left_in_full_is_never_sent_again() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let config = "[limits]\nclient_in_flight = 100000";
    let respite = uncached(&relay.url()).config(config).start();
    let mut client = respite.connect();
    // as many may be outstanding as have been answered before
    let warm = encode(&["EXISTS", "warm"]).repeat(COMMANDS);
    client.exchange(&[&warm], COMMANDS).expect("all replies");
    let link = link(&relay);
    let pad = "x".repeat(1000);
    let packets: Vec<Vec<u8>> = (0..COMMANDS)
        .map(|n| encode(&["APPEND", &format!("k:{n}"), &pad]))
        .collect();
    let all = packets.concat();
    let (mut executed, mut refused) = (0, 0);
    let replies = client.sending(&[&all], |client| {
        link.pause(Direction::Up);
        let mut before = 0;
        wait_until("Respite cannot write any more", DEADLINE, || {
            let now = link.received(Direction::Up);
            let stuck = now > 8 << 20 && now == before;
            before = now;
            stuck
        });
        // what the system has taken reaches the backing, and Respite writes no more to this one
        respite.signal(Signal::SIGSTOP);
        link.resume(Direction::Up);
        let mut last = 0;
        wait_until("all that was sent has been executed", DEADLINE, || {
            let now: u64 = redis
                .info("stats", "total_commands_processed")
                .parse()
                .expect("count");
            let settled =
                link.forwarded(Direction::Up) == link.received(Direction::Up) && now == last + 1; // only this INFO
            last = now;
            settled
        });
        link.cut();
        respite.signal(Signal::SIGCONT);
        (0..COMMANDS)
            .map(|_| client.try_read_reply_raw())
            .collect::<Result<Vec<_>, _>>()
    });
    for (n, raw) in replies.expect("all replies").iter().enumerate() {
        let (reply, key) = (Reply::parse(raw), format!("k:{n}"));
        match &reply {
            Reply::Int(1000) => executed += 1,
            Reply::Error(_) => refused += 1,
            _ => panic!("{key}: {reply:?}"),
        }
    }
    let mut admin = redis.connect();
    for n in 0..COMMANDS {
        let len = admin.call(&["STRLEN", &format!("k:{n}")]).int();
        assert!(len <= 1000, "k:{n} was appended to twice");
    }
    assert!(
        executed > 0 && refused > 0,
        "{executed} executed, {refused} refused"
    );
}
