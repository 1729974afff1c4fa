//! SIGHUP and `RESPITE.RELOAD`: limits change under a running server.

use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

fn start(redis: &RedisServer, toml: &str) -> Respite {
    Respite::builder()
        .upstream(&redis.url())
        .config(toml)
        .start()
}

#[test]
fn limits_take_effect_at_once() {
    let redis = RedisServer::start();
    let mut respite = start(&redis, "");
    let mut client = respite.connect();
    let value = "x".repeat(100);
    client.call(&["SET", "a", &value]).assert_ok();
    wait_until("no other client is left", DEADLINE, || {
        client.call(&["CLIENT", "LIST"]).as_str().lines().count() == 1
    });
    respite.reload("[limits]\nbulk_bytes = 50\nclients = 2");
    respite.expect_log("configuration reloaded");
    let mut second = respite.connect();
    second.call(&["PING"]).assert_str("PONG");
    let mut third = respite.connect();
    let refused = third.read_reply();
    assert_eq!(refused.error(), "ERR max number of clients reached");
    assert!(third.closed());
    client.send(&["SET", "a", &value]);
    let refused = client.read_reply();
    assert_eq!(refused.error(), "ERR Protocol error: invalid bulk length");
    assert!(client.closed());
    respite.rewrite_config("[timeouts]\nidle = \"20ms\"");
    second.call(&["RESPITE.RELOAD"]).assert_ok();
    // It is idle from now on, and nobody else says so.
    assert!(second.closed());
}

#[test]
fn what_needs_a_restart_is_named() {
    let redis = RedisServer::start();
    let mut respite = start(&redis, "");
    respite.reload("workers = 7\nlog_format = \"json\"");
    // The flag of the test's own command line wins over the first.
    let line = respite.expect_log("takes effect at the next start");
    assert!(line.contains(" WARN log_format has changed: "), "{line}");
    respite.expect_log("configuration reloaded");
    respite.call(&["PING"]).assert_str("PONG");
}

#[test]
fn the_log_level_changes() {
    let redis = RedisServer::start();
    let mut respite = start(&redis, "log_level = \"info\"");
    let lost = |client: Client| drop(client);
    lost(respite.connect());
    respite.reload("log_level = \"debug\"");
    respite.expect_log("configuration reloaded");
    let mut client = respite.connect();
    client.call(&["PING"]).assert_str("PONG");
    lost(client);
    respite.expect_log("session ended: closed");
}

#[test]
fn a_missing_file_leaves_the_old_configuration() {
    let redis = RedisServer::start();
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("respite.toml");
    std::fs::write(&file, "access.deny = [\"keys\"]").expect("written");
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .arg("--config")
        .arg(&file.display().to_string())
        .start();
    std::fs::remove_file(&file).expect("removed");
    respite.signal(nix::sys::signal::Signal::SIGHUP);
    let line = respite.expect_log("the old configuration stays in force");
    assert!(line.contains("cannot read"), "{line}");
    respite.call(&["KEYS", "*"]).assert_error("NOPERM ");
}

#[test]
fn a_command_that_cannot_be_cached_leaves_the_old_configuration() {
    let redis = RedisServer::start();
    let respite = start(&redis, "cache.commands = [\"hgetall\"]");
    respite.rewrite_config("cache.commands = [\"hgetall\", \"randomkey\"]");
    let refused = respite.call(&["RESPITE.RELOAD"]);
    let said = refused.error();
    assert!(
        said.contains("cache.commands: ") && said.contains("\"randomkey\""),
        "{said}"
    );
    respite.rewrite_config("cache.commands = [\"hgetall\", \"LLEN\"]");
    respite.call(&["RESPITE.RELOAD"]).assert_ok();
}
