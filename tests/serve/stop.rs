//! Ending: what is in flight is finished, in bounded time.

use std::io::{BufRead, BufReader};

use nix::sys::signal::Signal;

use crate::support::{
    Client, Connection, DEADLINE, Direction, HttpClient, RedisServer, Relay, Respite, Stopped,
    wait_until,
};

/// A Respite with one command in flight, whose reply a relay holds.
struct InFlight {
    _redis: RedisServer,
    _relay: Relay,
    link: Connection,
    respite: Respite,
    waiting: Client,
    idle: Client,
}

impl InFlight {
    fn start(drain: &str) -> Self {
        let redis = RedisServer::start();
        let relay = Relay::to(redis.port());
        let respite = Respite::builder()
            .upstream(&relay.url())
            .workers(1)
            .config(&format!("timeouts.drain = {drain:?}"))
            .start();
        let mut waiting = respite.connect();
        waiting.call(&["SET", "a", "1"]).assert_ok();
        let link = relay.find(|bytes| bytes.windows(9).any(|part| part == b"respite\r\n"));
        let mut idle = respite.connect();
        idle.call(&["PING"]).assert_str("PONG");
        link.pause(Direction::Down);
        waiting.send(&["GET", "a"]);
        link.wait_held(Direction::Down);
        Self {
            _redis: redis,
            _relay: relay,
            link,
            respite,
            waiting,
            idle,
        }
    }

    /// Sends SIGTERM and waits until the server has taken notice.
    fn terminate(&mut self) {
        self.respite.signal(Signal::SIGTERM);
        assert!(self.idle.closed(), "an idle client is closed");
    }
}

#[track_caller]
fn assert_orderly(stopped: &Stopped) {
    assert!(stopped.status.success(), "{stopped:?}");
    let last = stopped.log.last().expect("a log");
    assert!(last.ends_with("INFO stopped"), "{stopped:?}");
}

#[test]
fn what_is_in_flight_is_finished() {
    let mut server = InFlight::start("1h");
    server.terminate();
    let port = server.respite.port();
    wait_until("new clients are refused", DEADLINE, || {
        Client::try_connect(port).is_err()
    });
    server.link.resume(Direction::Down);
    server.waiting.read_reply().assert_str("1");
    assert!(server.waiting.closed());
    assert_orderly(&server.respite.ended());
}

#[test]
fn a_drain_is_bounded() {
    let mut server = InFlight::start("100ms");
    server.terminate();
    assert!(server.waiting.closed(), "closed without its reply");
    server.respite.expect_log("at most 100ms");
    server
        .respite
        .expect_log("closing clients that are not done clients=1");
    assert_orderly(&server.respite.ended());
}

#[test]
fn a_second_signal_ends_a_drain() {
    for second in [Signal::SIGTERM, Signal::SIGINT] {
        let mut server = InFlight::start("1h");
        server.terminate();
        server.respite.signal(second);
        server
            .respite
            .expect_log("closing clients that are not done");
        assert_orderly(&server.respite.ended());
    }
}

#[test]
fn subscribers_and_transactions_do_not_hold_it_up() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("timeouts.drain = \"1h\"")
        .start();
    let mut subscriber = respite.connect();
    subscriber.call(&["SUBSCRIBE", "c"]).items();
    let mut queueing = respite.connect();
    queueing.call(&["MULTI"]).assert_ok();
    queueing.call(&["SET", "a", "1"]).assert_str("QUEUED");
    let stopped = respite.stop();
    assert!(subscriber.closed() && queueing.closed());
    assert_orderly(&stopped);
    assert!(redis.call(&["GET", "a"]).is_null());
}

#[test]
fn a_page_that_is_live_does_not_hold_it_up() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("timeouts.drain = \"1h\"")
        .http()
        .start();
    let mut page = HttpClient::connect(respite.http_port());
    page.send("GET", "/api/live", &[], b"").expect("sent");
    let stream = page.stream().try_clone().expect("a socket");
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("data: ")));
    let stopped = respite.stop();
    assert_eq!(lines.last().as_deref().unwrap_or(""), "", "it ends whole");
    assert_orderly(&stopped);
}

#[test]
fn a_signal_while_it_starts_ends_it_in_order() {
    // The backing does not answer: the server waits for it before it serves.
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    relay.black_hole(true);
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        let seen = relay.accepted();
        let respite = Respite::builder()
            .upstream(&relay.url())
            .config("timeouts.connect = \"1h\"")
            .start_unanswered();
        relay.connection(seen);
        respite.signal(signal);
        let stopped = respite.ended();
        assert!(stopped.status.success(), "{signal}: {stopped:?}");
    }
}

#[test]
fn interrupt_ends_it_like_terminate() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    client.call(&["PING"]).assert_str("PONG");
    respite.signal(Signal::SIGINT);
    assert!(client.closed());
    assert_orderly(&respite.ended());
}
