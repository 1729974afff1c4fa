//! What changes while clients are at work: none of them has a failed command or a wrong reply.

mod caching;
mod certificates;
mod difference;
mod doors;
mod load;
mod logins;
mod wrong;

use self::load::{Comers, Load};
use crate::support::{RedisServer, Respite};

/// A Respite that has nothing but its file, of which `$PORT` is the port.
#[track_caller]
fn start(redis: &RedisServer, toml: &str) -> Respite {
    Respite::builder().only_file(&file(redis, toml)).start()
}

/// The text of such a file.
fn file(redis: &RedisServer, toml: &str) -> String {
    let upstream = redis.url();
    format!(
        "listen = \"127.0.0.1:$PORT\"\nupstream = \"{upstream}\"\nworkers = 2\n\
         http.listen = \"\"\n{toml}\n"
    )
}

/// Puts a text in force, which must be possible without a restart.
#[track_caller]
fn put_in_force(respite: &Respite, toml: &str) {
    let port = respite.port().to_string();
    respite.rewrite_config(&toml.replace("$PORT", &port));
    respite.connect().call(&["RESPITE.RELOAD"]).assert_ok();
}
