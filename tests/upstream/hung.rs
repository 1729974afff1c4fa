//! A backing that is there and says nothing.

use super::{SENT, builder, wait_for_service};
use crate::support::{Client, DEADLINE, RedisServer, Relay, Respite, wait_until};

const CONFIG: &str = "[timeouts]\nconnect = \"500ms\"\nreply = \"300ms\"";

#[test]
fn a_frozen_backing_costs_errors_and_is_used_again_when_it_thaws() {
    let redis = RedisServer::start();
    let respite = builder(&redis.url()).config(CONFIG).start();
    let mut clients: Vec<Client> = (0..4).map(|_| respite.connect()).collect();
    let [reader, writer, multi, watch] = &mut clients[..] else {
        unreachable!()
    };
    writer.call(&["SET", "k", "0"]).assert_ok();
    multi.call(&["MULTI"]).assert_ok();
    multi.call(&["INCR", "m"]).assert_str("QUEUED");
    watch.call(&["WATCH", "k"]).assert_ok();
    redis.freeze();
    writer.send(&["INCR", "k"]);
    reader.send(&["GET", "k"]);
    multi.send(&["EXEC"]);
    watch.send(&["GET", "k"]);
    for client in [&mut *writer, multi] {
        let reply = client.read_reply();
        reply.assert_error("UPSTREAM no reply from the backing within timeouts.reply");
        assert!(reply.error().ends_with(SENT), "{reply:?}");
    }
    reader.read_reply().assert_error("UPSTREAM ");
    watch.read_reply().assert_error("UPSTREAM ");
    redis.thaw();
    for client in &mut clients {
        wait_for_service(client);
    }
    let [_, writer, multi, watch] = &mut clients[..] else {
        unreachable!()
    };
    writer.call(&["SET", "k", "1"]).assert_ok();
    multi.call(&["EXEC"]).assert_error("ERR EXEC without MULTI");
    watch.call(&["MULTI"]).assert_ok();
    assert!(watch.call(&["EXEC"]).is_null(), "the watch was lost");
}

#[test]
fn blocking_commands_have_their_own_time() {
    let redis = RedisServer::start();
    let config = "[timeouts]\nreply = \"100ms\"";
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(config)
        .start();
    let (mut blocked, mut other) = (respite.connect(), respite.connect());
    blocked.send(&["BLPOP", "list", "0"]);
    for _ in 0..3 {
        assert!(other.call(&["BLPOP", "none", "0.3"]).is_null());
    }
    other.call(&["RPUSH", "list", "x"]);
    assert_eq!(blocked.read_reply().strings(), ["list", "x"]);
    // idle in a transaction or subscribed is not waiting for a reply
    blocked.call(&["MULTI"]).assert_ok();
    let mut subscriber = respite.connect();
    subscriber.call(&["SUBSCRIBE", "c"]);
    assert!(other.call(&["BLPOP", "none", "0.5"]).is_null());
    assert!(blocked.call(&["EXEC"]).items().is_empty());
    other.call(&["PUBLISH", "c", "still there"]);
    subscriber.read_reply().items()[2].assert_str("still there");
}

/// What a blocking command says that it waits, and then `timeouts.reply`: a backing that is silent for longer is lost.
#[test]
fn a_blocking_command_does_not_outlast_its_time_at_a_frozen_backing() {
    let redis = RedisServer::start();
    let respite = builder(&redis.url()).config(CONFIG).start();
    let waiting: [&[&str]; 4] = [
        &["BLPOP", "list", "0.2"],
        &["XREAD", "BLOCK", "200", "STREAMS", "stream", "$"],
        &["BZPOPMIN", "zset", "0.2"],
        &["WAIT", "1", "200"],
    ];
    let mut clients: Vec<Client> = waiting.iter().map(|_| respite.connect()).collect();
    for client in &mut clients {
        // It has a connection of its own already.
        client.call(&["WATCH", "k"]).assert_ok();
    }
    redis.freeze();
    for (client, command) in clients.iter_mut().zip(waiting) {
        client.send(command);
    }
    for client in &mut clients {
        let reply = client.read_reply();
        reply.assert_error("UPSTREAM no reply from the backing within timeouts.reply");
        assert!(reply.error().ends_with(SENT), "{reply:?}");
    }
    redis.thaw();
    for client in &mut clients {
        wait_for_service(client);
    }
}

#[test]
fn a_backing_that_accepts_and_never_answers() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    relay.black_hole(true);
    let respite = builder(&relay.url()).config(CONFIG).start();
    let mut client = respite.connect();
    for command in [
        &["GET", "k"][..],
        &["INCR", "n"],
        &["MULTI"],
        &["BLPOP", "l", "0"],
    ] {
        let reply = client.call(command);
        reply.assert_error("UPSTREAM no connection to ");
        assert!(
            reply.error().ends_with("; the command was not sent"),
            "{reply:?}"
        );
        client.call(&["DISCARD"]);
    }
    client.call(&["PING"]).assert_str("PONG");
    relay.black_hole(false);
    relay.cut_all();
    wait_for_service(&mut client);
    assert!(redis.call(&["GET", "n"]).is_null());
}

/// Whoever only listens has nothing to wait for: that the backing is silent is learnt all the same, and told.
#[test]
fn who_only_listens_is_told_that_the_backing_is_silent() {
    let redis = RedisServer::start();
    let respite = builder(&redis.url()).config(CONFIG).start();
    let listening: [&[&[&str]]; 4] = [
        &[&["SUBSCRIBE", "channel"]],
        &[&["HELLO", "3"], &["PSUBSCRIBE", "pattern*"]],
        // These have a connection of their own.
        &[&["SUBSCRIBE", "__redis__:invalidate"]],
        &[&["HELLO", "3"], &["CLIENT", "TRACKING", "ON"]],
    ];
    let listen = |commands: &[&[&str]]| {
        let mut client = respite.connect();
        for command in commands {
            let reply = client.call(command);
            assert!(!reply.is_error(), "{command:?}: {reply:?}");
        }
        client
    };
    let mut clients: Vec<Client> = listening.map(listen).into();
    redis.freeze();
    for client in &mut clients {
        assert!(client.closed(), "it waits for ever");
    }
    redis.thaw();
    let mut subscriber = listen(listening[0]);
    let mut other = respite.connect();
    wait_until("a message comes", DEADLINE, || {
        other.call(&["PUBLISH", "channel", "again"]).int() == 1
    });
    subscriber.read_reply().items()[2].assert_str("again");
}

/// Waits until Respite has asked on a new connection of a client that only listens whether the backing is there: it has
/// asked on those before by then.
fn wait_until_asked(redis: &RedisServer, respite: &Respite) {
    let mut quiet = respite.connect();
    quiet.hello3();
    quiet
        .call(&["CLIENT", "TRACKING", "ON", "BCAST"])
        .assert_ok();
    wait_until("the quiet connection is asked", DEADLINE, || {
        let list = redis.call(&["CLIENT", "LIST"]);
        let mut lines = list.as_str().lines();
        lines.any(|line| line.contains(" cmd=ping ") && line.contains(" flags=tB "))
    });
}

#[test]
fn what_is_meant_for_the_next_command_is_not_spent_on_that_question() {
    let redis = RedisServer::start();
    let respite = builder(&redis.url()).start();
    let mut client = respite.connect();
    client.hello3();
    client
        .call(&["CLIENT", "TRACKING", "ON", "OPTIN"])
        .assert_ok();
    client.call(&["CLIENT", "CACHING", "YES"]).assert_ok();
    wait_until_asked(&redis, &respite);
    assert!(client.call(&["GET", "k"]).is_null());
    redis.call(&["SET", "k", "v"]).assert_ok();
    let push = client.read_reply();
    push.items()[0].assert_str("invalidate");
    assert_eq!(push.items()[1].strings(), ["k"]);
}

/// Its connection is not read meanwhile, which says nothing of the backing.
#[test]
fn a_subscriber_that_reads_late_is_not_taken_for_one_without_a_backing() {
    const MESSAGES: usize = 200;
    let redis = RedisServer::start();
    let respite = builder(&redis.url()).config(CONFIG).start();
    let mut slow = respite.connect();
    for channel in ["__redis__:invalidate", "channel"] {
        slow.call(&["SUBSCRIBE", channel]);
    }
    let message = "x".repeat(64 * 1024);
    for _ in 0..MESSAGES {
        redis.call(&["PUBLISH", "channel", &message]).assert_int(1);
    }
    // Once until it is asked, and once more for what it is given to answer.
    wait_until_asked(&redis, &respite);
    wait_until_asked(&redis, &respite);
    for _ in 0..MESSAGES {
        assert_eq!(slow.read_reply().items()[2].as_bytes().len(), message.len());
    }
}
