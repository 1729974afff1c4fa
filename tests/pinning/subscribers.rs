//! Subscribers share one connection of their worker to the backing, and notice nothing of it.

use super::backing_clients;
use crate::support::{
    Client, Connection, DEADLINE, Direction, RedisServer, Relay, Reply, Respite, wait_until,
};

/// The words of a message or a confirmation.
pub(super) fn words(reply: &Reply) -> Vec<String> {
    reply.items().iter().map(shown).collect()
}

pub(super) fn shown(reply: &Reply) -> String {
    match reply {
        Reply::Int(number) => number.to_string(),
        Reply::Null => "nil".to_owned(),
        text => text.as_str().to_owned(),
    }
}

fn feeds(redis: &RedisServer) -> Vec<String> {
    let lines = backing_clients(&mut redis.connect()).into_iter();
    let feeds = lines.filter(|line| line.contains(" name=respite-subscriber "));
    feeds.collect()
}

fn feed(relay: &Relay) -> Connection {
    relay.find(|first| first.windows(18).any(|part| part == b"respite-subscriber"))
}

#[test]
fn many_of_one_channel_are_one_at_the_backing() {
    const MANY: usize = 200;
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .workers(2)
        .config("[limits]\npinned = 1")
        .start();
    let mut clients: Vec<Client> = (0..MANY).map(|_| respite.connect()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        if n % 2 == 0 {
            client.hello3();
        }
        let confirmed = client.call(&["SUBSCRIBE", "news", "more"]);
        assert_eq!(words(&confirmed), ["subscribe", "news", "1"]);
        assert_eq!(words(&client.read_reply()), ["subscribe", "more", "2"]);
        let pattern = client.call(&["PSUBSCRIBE", "n*"]);
        assert_eq!(words(&pattern), ["psubscribe", "n*", "3"]);
    }
    assert_eq!(feeds(&redis).len(), 2);
    assert_eq!(redis.call(&["PUBSUB", "NUMPAT"]).int(), 1);
    // The backing counts connections, Respite clients.
    let many = i64::try_from(MANY).expect("small");
    redis.call(&["PUBLISH", "news", "0"]).assert_int(4);
    let mut through = respite.connect();
    through.call(&["PUBLISH", "news", "1"]).assert_int(2 * many);
    through.call(&["PUBLISH", "none", "1"]).assert_int(many);
    through.call(&["PUBLISH", "of nobody", "1"]).assert_int(0);
    let counted = through.call(&["PUBSUB", "NUMSUB", "news", "none", "more"]);
    let many = MANY.to_string();
    assert_eq!(words(&counted), ["news", &many, "none", "0", "more", &many]);
    for client in &mut clients {
        for n in ["0", "1"] {
            assert_eq!(words(&client.read_reply()), ["message", "news", n]);
            assert_eq!(words(&client.read_reply()), ["pmessage", "n*", "news", n]);
        }
        assert_eq!(words(&client.read_reply()), ["pmessage", "n*", "none", "1"]);
    }
    // Who goes is not counted any more, and the last one ends the subscription at the backing.
    drop(clients.split_off(1));
    wait_until("the others are gone", DEADLINE, || {
        through.call(&["PUBLISH", "news", "2"]).int() == 2
    });
    drop(clients);
    wait_until("nobody is subscribed", DEADLINE, || {
        redis.call(&["PUBSUB", "CHANNELS"]).items().is_empty()
            && redis.call(&["PUBSUB", "NUMPAT"]).int() == 0
    });
}

#[test]
fn what_was_published_before_is_not_heard_and_what_came_before_the_end_is() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder().upstream(&relay.url()).workers(1).start();
    let [mut early, mut late, mut leaving] = [(); 3].map(|()| respite.connect());
    early.call(&["SUBSCRIBE", "c"]);
    leaving.call(&["SUBSCRIBE", "c"]);
    let feed = feed(&relay);
    feed.pause(Direction::Down);
    redis.call(&["PUBLISH", "c", "old"]).assert_int(1);
    let up = feed.forwarded(Direction::Up);
    late.send(&["SUBSCRIBE", "c"]);
    leaving.send(&["UNSUBSCRIBE", "c"]);
    wait_until("both were sent", DEADLINE, || {
        feed.forwarded(Direction::Up) >= up + 40
    });
    redis.call(&["PUBLISH", "c", "new"]).assert_int(1);
    feed.resume(Direction::Down);
    assert_eq!(words(&early.read_reply()), ["message", "c", "old"]);
    assert_eq!(words(&early.read_reply()), ["message", "c", "new"]);
    assert_eq!(words(&late.read_reply()), ["subscribe", "c", "1"]);
    assert_eq!(words(&late.read_reply()), ["message", "c", "new"]);
    assert_eq!(words(&leaving.read_reply()), ["message", "c", "old"]);
    assert_eq!(words(&leaving.read_reply()), ["unsubscribe", "c", "0"]);
    leaving.call(&["PING"]).assert_str("PONG");
}

#[test]
fn a_clients_own_commands_keep_their_order_around_subscriptions() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder().upstream(&relay.url()).workers(1).start();
    let mut client = respite.connect();
    client.hello3();
    // The message comes after the confirmation, whichever connections they take.
    client.send(&["PUBLISH", "c", "too early"]);
    client.send(&["SUBSCRIBE", "c"]);
    client.send(&["PUBLISH", "c", "heard"]);
    client.read_reply().assert_int(0);
    assert_eq!(words(&client.read_reply()), ["subscribe", "c", "1"]);
    // As with one connection: where it comes depends on the server's version.
    let mut rest = [client.read_reply(), client.read_reply()];
    rest.sort_by_key(|reply| matches!(reply, Reply::Int(_)));
    assert_eq!(words(&rest[0]), ["message", "c", "heard"]);
    rest[1].assert_int(1);
}

#[test]
fn a_message_comes_between_replies_and_not_in_one() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .workers(1)
        .config("[cache]\nmode = \"off\"")
        .start();
    let value = "v".repeat(8 * 1024 * 1024);
    redis.call(&["SET", "big", &value]).assert_ok();
    let mut client = respite.connect();
    client.hello3();
    client.call(&["SUBSCRIBE", "c"]);
    client.call(&["PING"]).assert_str("PONG");
    for connection in relay.connections() {
        if connection.index() != feed(&relay).index() {
            connection.hold_after(Direction::Down, 4 * 1024 * 1024);
        }
    }
    client.send(&["GET", "big"]);
    client.wait_for_bytes(1024 * 1024);
    for n in 0..3 {
        redis.call(&["PUBLISH", "c", &n.to_string()]).assert_int(1);
    }
    // Another subscriber has got them: they have come.
    relay.resume(Direction::Down);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        let reply = client.read_reply();
        seen.push(match &reply {
            Reply::Bulk(bytes) => {
                assert!(*bytes == value.as_bytes(), "another value");
                "value".to_owned()
            }
            message => words(message).join(" "),
        });
    }
    seen.sort();
    let messages = ["message c 0", "message c 1", "message c 2", "value"];
    assert_eq!(seen, messages);
}

#[test]
fn who_does_not_read_is_cut_off_alone() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config("[limits]\nclient_output_bytes = \"8MB\"")
        .allow_log("it does not read what waits for it")
        .start();
    let [mut reads, mut sleeps] = [(); 2].map(|()| respite.connect());
    reads.call(&["SUBSCRIBE", "c"]);
    sleeps.call(&["SUBSCRIBE", "c"]);
    let payload = "x".repeat(256 * 1024);
    let mut through = respite.connect();
    wait_until("who sleeps is cut off", DEADLINE, || {
        let count = through.call(&["PUBLISH", "c", &payload]).int();
        assert_eq!(reads.read_reply().items()[2].as_str().len(), payload.len());
        count == 1
    });
    through.call(&["PUBLISH", "c", "more"]).assert_int(1);
    reads.read_reply().items()[2].assert_str("more");
}

#[test]
fn when_the_connection_is_lost_its_subscribers_begin_anew() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let [mut subscriber, mut resp3, mut plain, mut left] = [(); 4].map(|()| respite.connect());
    subscriber.call(&["SUBSCRIBE", "c"]);
    resp3.hello3();
    resp3.call(&["PSUBSCRIBE", "c*"]);
    left.call(&["SUBSCRIBE", "c"]);
    left.call(&["UNSUBSCRIBE", "c"]);
    let line = feeds(&redis).remove(0);
    let id = line.split([' ', '=']).nth(1).expect("an id");
    redis.call(&["CLIENT", "KILL", "ID", id]).assert_int(1);
    assert!(subscriber.closed() && resp3.closed());
    // Who is subscribed to nothing has lost nothing.
    for client in [&mut plain, &mut left] {
        client.call(&["PING"]).assert_str("PONG");
        assert_eq!(
            words(&client.call(&["SUBSCRIBE", "c"])),
            ["subscribe", "c", "1"]
        );
    }
    redis.call(&["PUBLISH", "c", "m"]).assert_int(1);
    for client in [&mut plain, &mut left] {
        assert_eq!(words(&client.read_reply()), ["message", "c", "m"]);
    }
}

#[test]
fn what_the_backing_refuses_is_refused() {
    let redis = RedisServer::start();
    let rules = ["on", ">pw", "~*", "resetchannels", "&ok:*", "+@all"];
    let command = [&["ACL", "SETUSER", "respite"][..], &rules].concat();
    redis.call(&command).assert_ok();
    let url = redis.url().replace("redis://", "redis://respite:pw@");
    let respite = Respite::builder().upstream(&url).workers(1).start();
    let mut client = respite.connect();
    client
        .call(&["SUBSCRIBE", "ok:1", "no"])
        .assert_error("NOPERM");
    let mut other = respite.connect();
    assert_eq!(
        words(&other.call(&["SUBSCRIBE", "ok:1"])),
        ["subscribe", "ok:1", "1"]
    );
    // It is in no subscription, so it may do everything.
    client.call(&["SET", "k", "v"]).assert_ok();
    redis.call(&["PUBLISH", "ok:1", "m"]).assert_int(1);
    assert_eq!(words(&other.read_reply()), ["message", "ok:1", "m"]);
    client.call(&["GET", "k"]).assert_str("v");
}

#[test]
fn a_backing_that_is_away_is_told_as_it_is_for_other_commands() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .workers(1)
        .config("upstream_on_loss = \"error\"\n[timeouts]\nconnect = \"200ms\"\nreply = \"500ms\"")
        .allow_log("link lost")
        .allow_log("backing not usable")
        .start();
    let mut client = respite.connect();
    client.call(&["SUBSCRIBE", "c"]);
    client.call(&["UNSUBSCRIBE", "c"]);
    // It is there, and says nothing.
    feed(&relay).pause(Direction::Down);
    client.call(&["SUBSCRIBE", "c"]).assert_error("UPSTREAM");
    relay.refuse();
    relay.cut_all();
    client.call(&["SUBSCRIBE", "c"]).assert_error("UPSTREAM");
    relay.accept();
    wait_until("it is subscribed", DEADLINE, || {
        !matches!(client.call(&["SUBSCRIBE", "c"]), Reply::Error(_))
    });
    redis.call(&["PUBLISH", "c", "m"]);
    assert_eq!(words(&client.read_reply()), ["message", "c", "m"]);
}

/// What it is told may be that a key has changed: the push for the cache is not waited for.
#[test]
fn a_subscriber_reads_what_the_backing_has() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder()
        .upstream(&relay.url())
        .workers(1)
        .config("[cache]\nstaleness_max = \"10s\"")
        .start();
    redis.call(&["SET", "k", "old"]).assert_ok();
    let [mut listens, mut other] = [(); 2].map(|()| respite.connect());
    wait_until("it is kept", DEADLINE, || {
        other.call(&["GET", "k"]).assert_str("old");
        !other.call(&["CACHE.INSPECT", "k"]).is_null()
    });
    listens.hello3();
    listens.call(&["SUBSCRIBE", "c"]);
    let fill = relay.find(|first| first.windows(12).any(|part| part == b"respite-fill"));
    fill.pause(Direction::Down);
    redis.call(&["SET", "k", "new"]).assert_ok();
    redis.call(&["PUBLISH", "c", "k"]).assert_int(1);
    assert_eq!(words(&listens.read_reply()), ["message", "c", "k"]);
    listens.call(&["GET", "k"]).assert_str("new");
    fill.resume(Direction::Down);
    // It is a client like any other again.
    listens.send(&["UNSUBSCRIBE", "c"]);
    assert_eq!(words(&listens.read_reply()), ["unsubscribe", "c", "0"]);
    wait_until("it is answered from memory", DEADLINE, || {
        let hits = |client: &mut Client| client.call(&["CACHE.STATS"]).field("hits").int();
        let before = hits(&mut other);
        listens.call(&["GET", "k"]).assert_str("new");
        hits(&mut other) > before
    });
}
