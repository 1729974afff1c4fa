//! `RESPITE.SLOWLOG`: which commands took long, and where their time went.

use crate::support::{Client, DEADLINE, Direction, RedisServer, Relay, Reply, Respite, wait_until};

fn entries(client: &mut Client) -> Vec<Reply> {
    client
        .call(&["RESPITE.SLOWLOG", "GET", "100"])
        .items()
        .to_vec()
}

fn args(entry: &Reply) -> Vec<&str> {
    entry.field("args").strings()
}

fn number(entry: &Reply, field: &str) -> i64 {
    entry.field(field).int()
}

/// Waits for an entry of a command.
fn entry(client: &mut Client, first: &str) -> Reply {
    let mut found = None;
    wait_until("the command is in the log", DEADLINE, || {
        let all = entries(client);
        found = all.into_iter().find(|entry| args(entry)[0] == first);
        found.is_some()
    });
    found.expect("just seen")
}

#[test]
fn the_slow_one_of_a_pipeline_is_found() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let mut client = respite.connect();
    client.call(&["CLIENT", "SETNAME", "batch"]).assert_ok();
    client.pipeline(&[
        &["SET", "a", "1"][..],
        &["DEBUG", "SLEEP", "0.05"],
        &["SET", "b", "1"],
    ]);
    let mut other = respite.connect();
    let entry = entry(&mut other, "DEBUG");
    assert_eq!(args(&entry), ["DEBUG", "SLEEP", "0.05"]);
    assert_eq!(entry.field("name").as_str(), "batch");
    assert_eq!(entry.field("user").as_str(), "default");
    assert_eq!(entry.field("client").as_str(), client.local_addr());
    assert!(number(&entry, "backing_us") >= 50_000 - 5_000, "{entry:?}");
    let parts = ["queued_us", "backing_us", "client_us"];
    let sum: i64 = parts.iter().map(|part| number(&entry, part)).sum();
    assert!(
        (number(&entry, "duration_us") - sum).abs() <= 3,
        "{entry:?}"
    );
    // Who was answered in the same piece has waited for it.
    for innocent in entries(&mut other) {
        if args(&innocent)[0] == "SET" {
            let backing = number(&innocent, "backing_us");
            assert!(backing < number(&innocent, "queued_us"), "{innocent:?}");
        }
    }
}

#[test]
fn who_waited_behind_it_sees_that() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = Respite::builder().upstream(&relay.url()).workers(1).start();
    let mut slow = respite.connect();
    let mut behind = respite.connect();
    let mut other = respite.connect();
    slow.call(&["SET", "x", "1"]).assert_ok();
    relay.pause(Direction::Up);
    slow.send(&["DEBUG", "SLEEP", "0.05"]);
    behind.send(&["APPEND", "a", "1"]);
    relay.resume(Direction::Up);
    slow.read_reply().assert_ok();
    behind.read_reply();
    let entry = entry(&mut other, "APPEND");
    assert!(
        number(&entry, "queued_us") > number(&entry, "backing_us"),
        "{entry:?}"
    );
}

#[test]
fn secrets_are_left_out_and_waiting_on_purpose_is_not_slow() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("[slowlog]\nslower_than = \"1ms\"\nmax_len = 2")
        .start();
    let mut client = respite.connect();
    let mut blocked = respite.connect();
    blocked.send(&["BLPOP", "list", "0"]);
    wait_until("it is blocked", DEADLINE, || {
        client
            .call(&["CLIENT", "LIST"])
            .as_str()
            .contains("cmd=blpop")
            || client
                .call(&["CLIENT", "LIST"])
                .as_str()
                .contains("cmd=BLPOP")
    });
    client.call(&["DEBUG", "SLEEP", "0.01"]).assert_ok();
    client.call(&["RPUSH", "list", "x"]);
    blocked.read_reply();
    let script = "local t = redis.call('TIME') repeat local n = redis.call('TIME') until (n[1]-t[1])*1000000+(n[2]-t[2]) > 5000";
    client.pipeline(&[&["MULTI"][..], &["EVAL", script, "0", "a"], &["EXEC"]]);
    let exec = entry(&mut client, "EXEC");
    assert!(number(&exec, "backing_us") >= 4_000, "{exec:?}");
    assert!(
        entries(&mut client)
            .iter()
            .all(|entry| args(entry)[0] != "BLPOP")
    );
    // The newest two.
    for _ in 0..3 {
        client.call(&["DEBUG", "SLEEP", "0.01"]).assert_ok();
    }
    wait_until("the log is full", DEADLINE, || {
        client.call(&["RESPITE.SLOWLOG", "LEN"]).int() == 2
    });
    let ids: Vec<i64> = entries(&mut client)
        .iter()
        .map(|entry| number(entry, "id"))
        .collect();
    assert_eq!(ids[0], ids[1] + 1);
    client.call(&["RESPITE.SLOWLOG", "RESET"]).assert_ok();
    assert_eq!(client.call(&["RESPITE.SLOWLOG", "LEN"]).int(), 0);
}

#[test]
fn arguments_are_checked() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    for wrong in [
        &["RESPITE.SLOWLOG", "NO"][..],
        &["RESPITE.SLOWLOG", "GET", "x"],
        &["RESPITE.SLOWLOG", "LEN", "1"],
    ] {
        assert!(respite.call(wrong).is_error(), "{wrong:?}");
    }
    assert_eq!(respite.call(&["RESPITE.SLOWLOG", "GET"]).items().len(), 0);
}

#[test]
fn a_familys_slow_command_is_told_without_another_one() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("slowlog.slower_than = \"1ms\"")
        .start();
    let mut slow = respite.connect();
    slow.call(&["DISCOVERY.GROUPS"]);
    slow.call(&["RESPITE.SLOWLOG", "RESET"]).assert_ok();
    let mut busy = redis.connect();
    let mut other = respite.connect();
    // Which of the two comes first to the backing is left to chance.
    wait_until("it was held up", DEADLINE, || {
        busy.send(&["DEBUG", "SLEEP", "0.2"]);
        slow.call(&["DISCOVERY.GROUPS"]);
        busy.read_reply().assert_ok();
        slow.call(&["PING"]);
        !entries(&mut other).is_empty()
    });
    let entry = entry(&mut other, "DISCOVERY.GROUPS");
    assert_eq!(entry.field("client").as_str(), slow.local_addr());
    assert!(number(&entry, "backing_us") >= 1_000, "{entry:?}");
    // Its client's next command adds nothing.
    slow.call(&["PING"]);
    let all = entries(&mut other);
    let told = all
        .iter()
        .filter(|entry| args(entry)[0] == "DISCOVERY.GROUPS");
    assert_eq!(told.count(), 1, "{all:?}");
}

/// A log of what took 50 ms.
fn noting(url: &str) -> Respite {
    let slow = "[slowlog]\nslower_than = \"50ms\"\n[cache]\nstaleness_max = \"60s\"";
    let respite = Respite::builder().upstream(url).workers(1).config(slow);
    respite.start()
}

/// What each of these waits for comes in 200 ms or not at all: none of them is slow.
#[test]
fn what_waits_by_design_is_not_slow() {
    let redis = RedisServer::start();
    let respite = noting(&redis.url());
    let mut client = respite.connect();
    client.call(&["BUS.REGISTER", "b", "m"]);
    client.call(&["DISCOVERY.JOIN", "web", "n"]);
    let watched = client.call(&["DISCOVERY.WATCH", "web", "INDEX", "0", "TIMEOUT", "1"]);
    let index = watched.field("index").as_str().to_owned();
    let cast = client.call(&["BUS.CAST", "b", "m", "TIMEOUT", "60000"]);
    client.call(&["RESPITE.SLOWLOG", "RESET"]).assert_ok();
    for waiting in [
        &["BLPOP", "none", "0.2"][..],
        &["BLMOVE", "none", "other", "LEFT", "RIGHT", "0.2"],
        &["BZPOPMIN", "none", "0.2"],
        &["XREAD", "BLOCK", "200", "STREAMS", "none", "$"],
        &["WAIT", "1", "200"],
        &["BUS.RESULT", "b", cast.as_str(), "TIMEOUT", "200"],
        &["DISCOVERY.WATCH", "web", "INDEX", &index, "TIMEOUT", "200"],
    ] {
        let reply = client.call(waiting);
        assert!(!reply.is_error(), "{waiting:?}: {reply:?}");
        // What stands behind it in one packet waits with it.
        let replies = client.pipeline(&[waiting, &["ECHO", "behind"], &["SET", "behind", "1"]]);
        replies[2].assert_ok();
    }
    client.call(&["BUS.FETCH", "b", "w", "m"]);
    client.call(&["BUS.FETCH", "b", "w", "m", "TIMEOUT", "200"]);
    client
        .call(&["BUS.CALL", "b", "m", "TIMEOUT", "200"])
        .assert_error("DEADLINE");
    // Paused clients.
    let mut other = respite.connect();
    other.call(&["CLIENT", "PAUSE", "200", "ALL"]).assert_ok();
    client.call(&["SET", "paused", "1"]).assert_ok();
    other.call(&["CLIENT", "PAUSE", "200", "WRITE"]).assert_ok();
    client.call(&["SET", "paused", "1"]).assert_ok();
    let noted = entries(&mut other);
    assert!(noted.is_empty(), "{noted:?}");
    // It would have been noted.
    client.call(&["DEBUG", "SLEEP", "0.2"]).assert_ok();
    entry(&mut other, "DEBUG");
}

/// Other Respites that do not let go are waited for.
#[test]
fn what_waits_for_other_respites_is_not_slow() {
    let redis = RedisServer::start();
    let respite = noting(&redis.url());
    let mut client = respite.connect();
    client.call(&["BUS.REGISTER", "b", "m"]);
    let lease = "local t = redis.call('TIME') \
                 redis.call('ZADD', 'respite:b:{b}:x', t[1] * 1000 + 3000, '0123456789abcdef')";
    for command in [
        &["BUS.REGISTER", "b", "other"][..],
        &["BUS.UNREGISTER", "b", "other"],
    ] {
        redis.call(&["EVAL", lease, "0"]);
        let reply = client.call(command);
        assert!(!reply.is_error(), "{reply:?}");
    }
    let mut other = respite.connect();
    let noted = entries(&mut other);
    assert!(noted.is_empty(), "{noted:?}");
}

/// A fetch behind another one waits until that is answered; only then the backing can begin with it.
#[test]
fn a_fetch_behind_another_one_is_queued() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let respite = noting(&relay.url());
    redis.call(&["SET", "a", "first"]).assert_ok();
    redis.call(&["SET", "b", "second"]).assert_ok();
    let (mut first, mut second) = (respite.connect(), respite.connect());
    wait_until("a link fetches", DEADLINE, || {
        first.call(&["GET", "small"]);
        !first.call(&["CACHE.INSPECT", "small"]).is_null()
    });
    first.call(&["RESPITE.SLOWLOG", "RESET"]).assert_ok();
    let fill = relay.find(|bytes| bytes.windows(8).any(|part| part == b"TRACKING"));
    fill.pause(Direction::Down);
    let mut timer = redis.connect();
    first.send(&["GET", "a"]);
    fill.wait_held(Direction::Down);
    second.send(&["GET", "b"]);
    timer.call(&["DEBUG", "SLEEP", "0.3"]).assert_ok();
    fill.hold_after(Direction::Down, ":-1\r\n$5\r\nfirst\r\n".len());
    first.read_reply().assert_str("first");
    fill.resume(Direction::Down);
    second.read_reply().assert_str("second");
    let mut found = Vec::new();
    wait_until("both are in the log", DEADLINE, || {
        found = entries(&mut first);
        found.len() == 2
    });
    for entry in &found {
        let (queued, backing) = (number(entry, "queued_us"), number(entry, "backing_us"));
        match args(entry)[1] {
            "a" => assert!(queued < 50_000 && backing > 250_000, "{entry:?}"),
            _ => assert!(queued > 250_000 && backing < queued, "{entry:?}"),
        }
    }
}
