//! `SWAPDB` and its like, of which Redis tells nobody: whoever hides them, the next read sees what they did.

use super::{start, warm};
use crate::support::{Client, DEADLINE, RedisServer, wait_until};

const SWAP: &str = "return redis.call('SWAPDB', 0, 1)";

/// Has `k` cached with a value that database 1 does not have.
fn prepare(redis: &RedisServer, client: &mut Client) {
    let mut direct = redis.connect();
    direct.call(&["SET", "k", "zero"]).assert_ok();
    direct.call(&["SELECT", "1"]).assert_ok();
    direct.call(&["SET", "k", "one"]).assert_ok();
    warm(client, "k");
    client.call(&["GET", "k"]).assert_str("zero");
}

#[track_caller]
fn swaps(args: &[&str], login: &str, commands: &[&[&str]]) {
    let (redis, respite, mut client) = start(args, login);
    prepare(&redis, &mut client);
    let mut writer = respite.connect();
    for command in commands {
        let reply = writer.call(command);
        assert!(!reply.is_error(), "{command:?}: {reply:?}");
    }
    client.call(&["GET", "k"]).assert_str("one");
    writer.call(&["GET", "k"]).assert_str("one");
}

#[test]
fn in_a_script() {
    swaps(&[], "", &[&["EVAL", SWAP, "0"]]);
}

#[test]
fn in_a_transaction() {
    swaps(&[], "", &[&["MULTI"], &["SWAPDB", "0", "1"], &["EXEC"]]);
    swaps(&[], "", &[&["MULTI"], &["EVAL", SWAP, "0"], &["EXEC"]]);
}

#[test]
fn in_a_function() {
    if RedisServer::version() < (7, 0, 0) {
        return;
    }
    let library = "#!lua name=lib\nredis.register_function('f', function() return redis.call('SWAPDB', 0, 1) end)";
    let load = ["FUNCTION", "LOAD", library];
    swaps(&[], "", &[&load, &["FCALL", "f", "0"]]);
}

/// The backing lists the old name, which it does not know any more.
#[test]
fn under_another_name() {
    let renamed = ["--rename-command", "SWAPDB", "exchange"];
    swaps(&renamed, "", &[&["EXCHANGE", "0", "1"]]);
    swaps(
        &renamed,
        "",
        &[&["MULTI"], &["EXCHANGE", "0", "1"], &["EXEC"]],
    );
    let hidden = "return redis.call('EXCHANGE', 0, 1)";
    swaps(&renamed, "", &[&["EVAL", hidden, "0"]]);
}

#[test]
fn when_the_backing_does_not_list_its_commands() {
    swaps(&[], "-command", &[&["SWAPDB", "0", "1"]]);
    swaps(&[], "-command", &[&["EVAL", SWAP, "0"]]);
}

#[test]
fn when_the_backing_does_not_count() {
    swaps(&[], "-info", &[&["EVAL", SWAP, "0"]]);
}

/// After a reset the counters may grow to what they were.
#[test]
fn when_the_counters_were_reset() {
    let (redis, respite, mut client) = start(&[], "");
    let (mut writer, mut direct) = (respite.connect(), redis.connect());
    writer.call(&["EVAL", SWAP, "0"]).assert_ok();
    prepare(&redis, &mut client);
    wait_until("that is counted", DEADLINE, || {
        warm(&mut client, "k");
        writer.call(&["EVAL", "return 1", "0"]).assert_int(1);
        !client.call(&["CACHE.INSPECT", "k"]).is_null()
    });
    direct.call(&["CONFIG", "RESETSTAT"]).assert_ok();
    for _ in 0..100 {
        direct.call(&["INFO", "server"]);
    }
    prepare(&redis, &mut client);
    writer.call(&["EVAL", SWAP, "0"]).assert_ok();
    client.call(&["GET", "k"]).assert_str("one");
}

#[test]
fn when_the_login_may_swap_since_a_moment_ago() {
    let (redis, respite, mut client) = start(&[], "-info -swapdb");
    let mut writer = respite.connect();
    writer.call(&["EVAL", "return 1", "0"]).assert_int(1);
    assert!(writer.call(&["EVAL", SWAP, "0"]).is_error());
    prepare(&redis, &mut client);
    let mut admin = redis.connect();
    admin
        .call(&["ACL", "SETUSER", "respite", "+swapdb"])
        .assert_ok();
    writer.call(&["EVAL", SWAP, "0"]).assert_ok();
    client.call(&["GET", "k"]).assert_str("one");
}

#[test]
fn a_script_that_swaps_nothing_keeps_the_cache() {
    let (redis, respite, mut client) = start(&[], "");
    prepare(&redis, &mut client);
    let mut writer = respite.connect();
    // The first may find that nothing has been counted yet.
    for _ in 0..3 {
        writer.call(&["EVAL", "return 1", "0"]).assert_int(1);
    }
    warm(&mut client, "k");
    writer.call(&["EVAL", "return 1", "0"]).assert_int(1);
    assert!(!client.call(&["CACHE.INSPECT", "k"]).is_null());
}

#[test]
fn keys_that_are_loaded_again_are_read_again() {
    let (_redis, _respite, mut client) = start(&[], "");
    client.call(&["SET", "k", "saved"]).assert_ok();
    client.call(&["SAVE"]).assert_ok();
    client.call(&["SET", "k", "lost"]).assert_ok();
    warm(&mut client, "k");
    client.call(&["DEBUG", "RELOAD", "NOSAVE"]).assert_ok();
    client.call(&["GET", "k"]).assert_str("saved");
}

#[test]
fn what_the_login_may_not_read_any_more_is_not_served() {
    let (_redis, _respite, mut client) = start(&[], "");
    client.call(&["SET", "k", "value"]).assert_ok();
    warm(&mut client, "k");
    let command = ["ACL", "SETUSER", "default", "resetkeys", "~other:*"];
    client.call(&command).assert_ok();
    client.call(&["GET", "k"]).assert_error("NOPERM");
}
