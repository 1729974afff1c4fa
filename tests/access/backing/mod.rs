//! The users are the backing's: what they are told is what the backing itself would tell them.

mod bounds;
mod checker;
mod ends;
mod logins;
mod matrix;
mod nodes;
mod own;
mod rules;

use crate::support::{Client, RedisServer, Respite, RespiteBuilder};

/// Respite with the users of a backing.
fn builder(url: &str) -> RespiteBuilder {
    builder_with(url, "")
}

/// The same with more under `[access]`, or behind it.
fn builder_with(url: &str, more: &str) -> RespiteBuilder {
    let config = format!("[access]\nusers_of = \"backing\"\n{more}");
    Respite::builder().upstream(url).config(&config)
}

/// A backing with a user for Respite itself, whose rules these are, and where nobody gets in without a login.
fn backing(rules: &[&str]) -> (RedisServer, String) {
    let redis = RedisServer::start();
    set_user(
        &mut redis.connect(),
        "respite",
        &[&["on", ">own"], rules].concat(),
    );
    redis
        .call(&["ACL", "SETUSER", "default", "reset", "off"])
        .assert_ok();
    let url = redis.url().replace("redis://", "redis://respite:own@");
    (redis, url)
}

/// What Respite may: everything.
const ALL: &[&str] = &["~*", "&*", "+@all"];

fn set_user(admin: &mut Client, name: &str, rules: &[&str]) {
    let mut command = [&["ACL", "SETUSER", name], rules].concat();
    // 6.2 gives new users all channels, and takes no other pattern beside.
    let channel = command
        .iter()
        .position(|rule| rule.starts_with('&') && *rule != "&*");
    if let Some(at) = channel {
        command.insert(at, "resetchannels");
    }
    admin.call(&command).assert_ok();
}

/// A client that has logged in.
#[track_caller]
fn log_in(respite: &Respite, user: &str, password: &str) -> Client {
    let mut client = respite.connect();
    client.call(&["AUTH", user, password]).assert_ok();
    client
}

/// Whoever may do everything at the backing.
fn admin(redis: &RedisServer) -> Client {
    let mut admin = redis.connect();
    admin.call(&["AUTH", "respite", "own"]).assert_ok();
    admin
}

/// The users that the backing has connections of, sorted: not Respite's own, nor those that judge logins.
fn users_of(admin: &mut Client) -> Vec<String> {
    let list = admin.call(&["CLIENT", "LIST"]);
    let names = list.as_str().lines().filter_map(|line| {
        let name = line
            .split(' ')
            .find_map(|field| field.strip_prefix("user="));
        name.filter(|name| !["respite", "default"].contains(name))
            .map(str::to_owned)
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}
