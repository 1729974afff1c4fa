//! INFO of many servers from memory: who is tracked, how they are, what they said.

mod added;
mod credentials;
mod discovered;
mod info;
mod polling;
mod shards;
mod share;
mod states;
mod watchers;

use crate::support::{Client, DEADLINE, FakeServer, RedisServer, Reply, Respite, wait_until};

/// One poll, and then none for a long time; who cannot be reached stays pending.
const ONE_POLL: &str = "[fleet]\ninterval_min = \"1h\"\ninterval_max = \"1h\"\ngrace = 1000000";

/// Starts a Respite and waits until it has polled its backing.
#[track_caller]
fn start(redis: &RedisServer, config: &str) -> (Respite, Client) {
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(config)
        .start();
    let mut client = respite.connect();
    wait_state(&mut client, &redis.addr(), "live");
    (respite, client)
}

/// Waits until a shard is in this state.
#[track_caller]
fn wait_state(client: &mut Client, id: &str, state: &str) {
    wait_until(&format!("{id} is {state}"), DEADLINE, || {
        listed(client, id).is_some_and(|shard| shard.field("state").as_str() == state)
    });
}

/// A shard as `SHARD.LIST` shows it.
fn listed(client: &mut Client, id: &str) -> Option<Reply> {
    let list = client.call(&["SHARD.LIST"]);
    let found = list
        .items()
        .iter()
        .find(|shard| shard.field("id").as_str() == id);
    found.cloned()
}

#[track_caller]
fn add(client: &mut Client, id: &str, addr: &str) {
    client.call(&["SHARD.ADD", id, addr]).assert_ok();
}

/// Adds a fake server that answers INFO and waits until it was polled once.
#[track_caller]
fn add_fake(client: &mut Client, id: &str, lines: &str) -> FakeServer {
    let fake = FakeServer::start(FakeServer::info(lines));
    add(client, id, &fake.addr());
    wait_state(client, id, "live");
    fake
}

/// The value of the first line `name:value`.
#[track_caller]
fn field<'a>(text: &'a str, name: &str) -> &'a str {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {name} in:\n{text}"))
}

/// The names of the sections of a text.
fn headers(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("# "))
        .collect()
}
