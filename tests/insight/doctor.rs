//! `RESPITE.DOCTOR`: what an engineer on call makes happen is said before he asks what it is.

use crate::support::{Client, DEADLINE, FakeServer, RedisServer, Respite, wait_until};

#[track_caller]
fn says(client: &mut Client, wanted: &[&str]) {
    wait_until(&format!("it says {wanted:?}"), DEADLINE, || {
        let findings = client.call(&["RESPITE.DOCTOR"]);
        let found = findings.strings();
        found
            .iter()
            .any(|text| wanted.iter().all(|word| text.contains(word)))
    });
}

#[test]
fn a_healthy_server_is_told_so() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    says(&mut client, &["All is well"]);
    assert!(client.call(&["RESPITE.DOCTOR", "x"]).is_error());
}

#[test]
fn a_shard_that_was_killed_is_said() {
    let (redis, mut shard) = (RedisServer::start(), RedisServer::start());
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&format!(
            "[[fleet.static]]\nid = \"orders\"\naddr = \"{}\"",
            shard.addr()
        ))
        .allow_log("")
        .start();
    let mut client = respite.connect();
    wait_until("it is live", DEADLINE, || {
        client.call(&["SHARD.LIST", "STATE", "live"]).items().len() == 2
    });
    shard.kill();
    says(&mut client, &["1 of 2", "'orders'"]);
}

#[test]
fn a_flooded_key_and_a_full_cache_are_said() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("cache.max_entries = 100")
        .start();
    let mut client = respite.connect();
    client.call(&["SET", "flooded", "1"]).assert_ok();
    wait_until("one key is hot", DEADLINE, || {
        for _ in 0..10 {
            client.pipeline(&[&["GET", "flooded"][..]; 500]);
        }
        let findings = client.call(&["RESPITE.DOCTOR"]);
        findings
            .strings()
            .iter()
            .any(|text| text.contains("One key has") && text.contains("'flooded'"))
    });
    let keys: Vec<String> = (0..1000).map(|n| format!("key:{n}")).collect();
    let reads: Vec<[&str; 2]> = keys.iter().map(|key| ["GET", key.as_str()]).collect();
    let reads: Vec<&[&str]> = reads.iter().map(|read| &read[..]).collect();
    wait_until("the cache is too small", DEADLINE, || {
        client.pipeline(&reads);
        let findings = client.call(&["RESPITE.DOCTOR"]);
        findings
            .strings()
            .iter()
            .any(|text| text.contains("too small") && text.contains("cache.max_entries (100)"))
    });
}

#[test]
fn a_worker_that_answers_nothing_is_said() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let (mut worker, mut caller) = (respite.connect(), respite.connect());
    worker.call(&["BUS.REGISTER", "mail", "send"]);
    caller.call(&["BUS.CAST", "mail", "send"]);
    // It takes one call and nothing else.
    worker.call(&["BUS.FETCH", "mail", "w1", "send"]);
    caller.call(&["BUS.CAST", "mail", "send"]);
    says(
        &mut caller,
        &["'mail/send' has 1 queued and 1 in flight on 1 workers"],
    );
}

#[test]
fn a_backing_that_is_away_is_said() {
    let mut redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .allow_log("")
        .start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    redis.kill();
    says(&mut client, &["is not usable", &redis.addr()]);
}

#[test]
fn a_shard_behind_its_master_is_said() {
    let redis = RedisServer::start();
    let lines = "# Replication\r\nrole:slave\r\nmaster_link_status:down\r\n";
    let fake = FakeServer::start(FakeServer::info(lines));
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    client
        .call(&["SHARD.ADD", "replica", &fake.addr()])
        .assert_ok();
    says(&mut client, &["replica"]);
}
