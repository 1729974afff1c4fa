//! Scripts behind a cluster: known at every node once they were loaded or run.

use super::start;
use crate::support::{RedisCluster, RedisServer, Reply, Respite, slot_of};

/// Keys of all masters.
const KEYS: [&str; 6] = ["foo", "hello", "bar", "a", "b", "c"];
const BODY: &str = "return redis.call('INCR', KEYS[1])";

fn sha(server: &RedisServer, body: &str) -> String {
    let sha = server.call(&["SCRIPT", "LOAD", body]).as_str().to_owned();
    server.call(&["SCRIPT", "FLUSH"]).assert_ok();
    sha
}

#[test]
fn a_script_that_was_loaded_or_run_is_known_everywhere() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let sha = sha(&cluster.servers[0], BODY);
    let mut client = respite.connect();
    let call = |key: &'static str| {
        [
            "EVALSHA".to_owned(),
            sha.clone(),
            "1".to_owned(),
            key.to_owned(),
        ]
    };
    client.call(&call("foo")).assert_error("NOSCRIPT ");
    // Run at one node.
    client.call(&["EVAL", BODY, "1", "foo"]).assert_int(1);
    for key in KEYS {
        assert!(client.call(&call(key)).int() > 0);
    }
    let known = client.call(&["SCRIPT", "EXISTS", &sha, &sha.to_uppercase(), "x"]);
    assert_eq!(
        known.items().iter().map(Reply::int).collect::<Vec<_>>(),
        [1, 1, 0]
    );
    // What a node has forgotten: one that was started again, say.
    for server in &cluster.servers {
        server.call(&["SCRIPT", "FLUSH"]).assert_ok();
    }
    let known = client.call(&["SCRIPT", "EXISTS", &sha]);
    known.items()[0].assert_int(1);
    // A call with nothing behind it is made again.
    for key in KEYS {
        assert!(client.call(&call(key)).int() > 0);
    }
    // One Redis would not know it either.
    client.call(&["SCRIPT", "FLUSH"]).assert_ok();
    client.call(&call("foo")).assert_error("NOSCRIPT ");
    let known = client.call(&["SCRIPT", "EXISTS", &sha]);
    known.items()[0].assert_int(0);
    let loaded = client.call(&["SCRIPT", "LOAD", BODY]);
    loaded.assert_str(&sha);
    for key in KEYS {
        assert!(client.call(&call(key)).int() > 0);
    }
}

#[test]
fn a_clients_order_holds_around_a_script_that_is_loaded() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let sha = sha(&cluster.servers[0], BODY);
    respite.call(&["EVAL", BODY, "1", "foo"]).assert_int(1);
    for resp3 in [false, true] {
        let mut client = respite.connect();
        if resp3 {
            client.hello3();
        }
        for key in KEYS {
            let replies = client.pipeline(&[
                &["SET", key, "20"][..],
                &["EVALSHA", &sha, "1", key],
                &["GET", key],
                &["EVALSHA", &sha, "1", key],
                &["GET", key],
            ]);
            replies[1].assert_int(21);
            replies[2].assert_str("21");
            replies[3].assert_int(22);
            replies[4].assert_str("22");
        }
        // Each node has it now; the next ones come over other connections.
        for server in &cluster.servers {
            let known = server.call(&["SCRIPT", "EXISTS", &sha]);
            known.items()[0].assert_int(1);
        }
    }
    // A node that was made to forget it past Respite says so, as one Redis would; nothing overtakes.
    for server in &cluster.servers {
        server.call(&["SCRIPT", "FLUSH"]).assert_ok();
    }
    let mut client = respite.connect();
    client.call(&["SET", "foo", "1"]).assert_ok();
    let replies = client.pipeline(&[&["EVALSHA", &*sha, "1", "foo"][..], &["GET", "foo"]]);
    match &replies[0] {
        Reply::Int(2) => replies[1].assert_str("2"),
        error => {
            error.assert_error("NOSCRIPT ");
            replies[1].assert_str("1");
        }
    }
}

#[test]
fn a_script_follows_its_slot() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    let sha = sha(&cluster.servers[0], BODY);
    let mut client = respite.connect();
    client.call(&["EVAL", BODY, "1", "foo"]).assert_int(1);
    let slot = slot_of(&mut cluster.servers[0].connect(), "foo");
    let mut count = 1;
    for _ in 0..3 {
        let to = (cluster.owner(slot) + 1) % 3;
        for server in &cluster.servers {
            server.call(&["SCRIPT", "FLUSH"]).assert_ok();
        }
        // While it is on its way, too: the key has gone.
        cluster.move_slot(slot, to, || {
            count += 1;
            client
                .call(&["EVALSHA", &sha, "1", "foo"])
                .assert_int(count);
        });
        count += 1;
        client
            .call(&["EVALSHA", &sha, "1", "foo"])
            .assert_int(count);
    }
}

#[test]
fn nothing_is_gained_by_who_may_not_load() {
    let cluster = RedisCluster::start(3, 0);
    let sha = sha(&cluster.servers[0], BODY);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .config(
            r#"
            [access]
            scripts = true
            [[access.users]]
            name = "default"
            password_sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
            commands = ["+@all"]
            keys = ["*"]
            [[access.users]]
            name = "caller"
            password_sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
            commands = ["+evalsha"]
            keys = ["*"]
            [[access.users]]
            name = "reader"
            password_sha256 = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8"
            commands = ["+get"]
            keys = ["*"]
            "#,
        )
        .start();
    let mut caller = respite.connect();
    caller.call(&["AUTH", "caller", "password"]).assert_ok();
    // What it is refused is not remembered.
    caller
        .call(&["EVAL", BODY, "1", "foo"])
        .assert_error("NOPERM ");
    caller
        .call(&["SCRIPT", "LOAD", BODY])
        .assert_error("NOPERM ");
    caller
        .call(&["EVALSHA", &sha, "1", "foo"])
        .assert_error("NOSCRIPT ");
    let mut owner = respite.connect();
    owner.call(&["AUTH", "default", "password"]).assert_ok();
    owner.call(&["EVAL", BODY, "1", "bar"]).assert_int(1);
    // As with one Redis: who may call it may.
    caller.call(&["EVALSHA", &sha, "1", "foo"]).assert_int(1);
    let mut reader = respite.connect();
    reader.call(&["AUTH", "reader", "password"]).assert_ok();
    reader
        .call(&["EVALSHA", &sha, "1", "foo"])
        .assert_error("NOPERM ");
}
