//! What the backing says unasked stays behind the replies that it gave before, also while they are kept back.

use std::time::Duration;

use super::Stage;
use crate::support::{Asked, Client, Reply, Wire};

const HIDDEN: [&str; 3] = ["EVAL", "return redis.call('SET', 'h', '1')", "0"];
const MESSAGE: &str = ">3\r\n$8\r\nsmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n";
/// How long is looked for what must not come; it would have come before somebody else's reply.
const MOMENT: Duration = Duration::from_millis(20);

/// A RESP3 client with a connection of its own, whose script has been executed and waits for a fence.
struct Held {
    client: Client,
    pinned: Wire,
    ping: Asked,
}

impl Held {
    #[track_caller]
    fn behind(stage: &mut Stage, first: &[&str], answer: Option<&str>, also: &[&[&str]]) -> Self {
        let mut client = stage.respite.connect();
        client.hello3();
        client.send(first);
        if let Some(answer) = answer {
            stage.backing.expect_anywhere(first).1.raw(answer);
        }
        client.read_reply();
        let pinned = stage.backing.pinned();
        stage.fill.hold_pings();
        client.send(&HIDDEN);
        pinned.expect(&HIDDEN).ok();
        let ping = stage.fill.expect(&["PING"]);
        also.iter().for_each(|command| client.send(command));
        Self {
            client,
            pinned,
            ping,
        }
    }

    /// Nothing has come when somebody else has been answered; then the fence ends.
    #[track_caller]
    fn release(mut self, stage: &mut Stage) -> Client {
        stage.client.call(&["CACHE.STATS"]);
        assert!(self.client.silent_for(MOMENT), "something came too early");
        self.ping.pong();
        self.client.read_reply().assert_ok();
        self.client
    }
}

#[track_caller]
fn assert_push(reply: &Reply, kind: &str) {
    assert!(matches!(reply, Reply::Push(_)), "{reply:?}");
    reply.items()[0].assert_str(kind);
}

#[test]
fn an_invalidation_comes_after_the_value_that_it_ends() {
    let mut stage = Stage::start();
    let tracking = ["CLIENT", "TRACKING", "ON"];
    let held = Held::behind(&mut stage, &tracking, None, &[&["GET", "k"]]);
    held.pinned.expect(&["GET", "k"]).value("old");
    held.pinned.push_invalidate("k");
    let mut client = held.release(&mut stage);
    client.read_reply().assert_str("old");
    assert_push(&client.read_reply(), "invalidate");
}

#[test]
fn a_push_stays_between_the_replies_that_it_came_between() {
    let mut stage = Stage::start();
    let tracking = ["CLIENT", "TRACKING", "ON"];
    let reads: [&[&str]; 2] = [&["GET", "a"], &["GET", "b"]];
    let held = Held::behind(&mut stage, &tracking, None, &reads);
    held.pinned.push_invalidate("x");
    held.pinned.expect(reads[0]).value("1");
    held.pinned.push_invalidate("a");
    held.pinned.expect(reads[1]).value("2");
    let mut client = held.release(&mut stage);
    assert_push(&client.read_reply(), "invalidate");
    client.read_reply().assert_str("1");
    let push = client.read_reply();
    assert_push(&push, "invalidate");
    assert_eq!(push.items()[1].strings(), ["a"]);
    client.read_reply().assert_str("2");
}

#[test]
fn a_message_comes_after_the_reply_in_front_of_it() {
    let mut stage = Stage::start();
    let confirmation = ">3\r\n$10\r\nssubscribe\r\n$1\r\nc\r\n:1\r\n";
    let held = Held::behind(
        &mut stage,
        &["SSUBSCRIBE", "c"],
        Some(confirmation),
        &[&["GET", "k"]],
    );
    held.pinned
        .expect(&["GET", "k"])
        .raw(&format!("$1\r\n1\r\n{MESSAGE}"));
    let mut client = held.release(&mut stage);
    client.read_reply().assert_str("1");
    assert_push(&client.read_reply(), "smessage");
}

#[test]
fn a_script_in_a_transaction_keeps_pushes_behind_exec() {
    let mut stage = Stage::start();
    let mut client = stage.respite.connect();
    client.hello3();
    client.send(&["CLIENT", "TRACKING", "ON"]);
    client.read_reply().assert_ok();
    let pinned = stage.backing.pinned();
    stage.fill.hold_pings();
    for command in [&["MULTI"][..], &HIDDEN, &["EXEC"]] {
        client.send(command);
    }
    pinned.expect(&["MULTI"]).ok();
    pinned.expect(&HIDDEN).raw("+QUEUED\r\n");
    pinned.expect(&["EXEC"]).raw("*1\r\n+OK\r\n");
    pinned.push_invalidate("h");
    let ping = stage.fill.expect(&["PING"]);
    client.read_reply().assert_ok();
    client.read_reply().assert_str("QUEUED");
    stage.client.call(&["CACHE.STATS"]);
    assert!(client.silent_for(MOMENT), "something came too early");
    ping.pong();
    assert_eq!(client.read_reply().strings(), ["OK"]);
    assert_push(&client.read_reply(), "invalidate");
}
