//! Commands with effects that no push tells of, and what is known of commands when the backing says nothing.

mod refused;
mod swaps;

use crate::support::{Client, DEADLINE, RedisServer, Respite, wait_until};

/// A δ that no test waits for.
const CALM: &str = "[cache]\nstaleness_max = \"20s\"";

fn start(args: &[&str], login: &str) -> (RedisServer, Respite, Client) {
    let redis = RedisServer::builder().args(args).start();
    if !login.is_empty() {
        let mut rights = vec![
            "ACL", "SETUSER", "respite", "on", ">secret", "~*", "&*", "+@all",
        ];
        rights.extend(login.split(' '));
        redis.call(&rights).assert_ok();
    }
    let url = match login {
        "" => redis.url(),
        _ => redis.url().replace("://", "://respite:secret@"),
    };
    let mut builder = Respite::builder().upstream(&url).workers(2).config(CALM);
    if !login.is_empty() {
        builder = builder.allow_log("the built-in table serves");
        builder = builder.allow_log("whether scripts exchange databases");
        builder = builder.allow_log("list of commands is of no use");
    }
    let respite = builder.start();
    let client = respite.connect();
    (redis, respite, client)
}

/// Reads a key until the cache answers for it.
#[track_caller]
fn warm(client: &mut Client, key: &str) {
    wait_until("the key is cached", DEADLINE, || {
        client.call(&["GET", key]);
        !client.call(&["CACHE.INSPECT", key]).is_null()
    });
}
