//! What a module brings is known at once.

use crate::support::{DEADLINE, RedisServer, Respite, wait_until};

/// How often the server was asked for its commands.
fn asked(redis: &RedisServer) -> u64 {
    let stats = redis.call(&["INFO", "commandstats"]);
    let line = stats.as_str().lines().find_map(|line| {
        let calls = line.strip_prefix("cmdstat_command:calls=")?;
        calls.split(',').next()?.parse().ok()
    });
    line.unwrap_or(0)
}

#[test]
fn the_commands_are_learnt_again_after_module_load() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).start();
    let mut client = respite.connect();
    client.call(&["PING"]).assert_str("PONG");
    let before = asked(&redis);
    let refused = client.call(&["MODULE", "LOAD", "/nowhere/module.so"]);
    assert!(refused.error().starts_with("ERR "), "{refused:?}");
    wait_until("the commands are asked for", DEADLINE, || {
        asked(&redis) > before
    });
}
