//! The bus: callers, workers and what is between them, over one Respite and over two.

mod commands;
mod delivery;
mod direct;
mod endings;
mod faults;
mod limits;
mod outage;
mod races;
mod remote;
mod revival;
mod session;
mod sharing;
mod upkeep;
mod worker;

use std::thread::JoinHandle;

use crate::support::{Client, RedisServer, Reply, Respite};

/// A Redis with Respites in front.
struct World {
    // Before the server that they would miss.
    respites: Vec<Respite>,
    redis: RedisServer,
}

/// A fetched call.
#[derive(Debug, Clone)]
struct Fetched {
    id: String,
    token: String,
    reply: Reply,
}

impl World {
    /// So many Respites in front of a fresh Redis.
    fn of(respites: usize) -> Self {
        Self::with(respites, "")
    }

    /// With these lines of configuration.
    fn with(respites: usize, config: &str) -> Self {
        let redis = RedisServer::start();
        let start = |_| {
            let respite = Respite::builder().upstream(&redis.url()).config(config);
            respite.start()
        };
        let respites = (0..respites).map(start).collect();
        World { respites, redis }
    }

    /// The backing goes and comes back, which is no surprise.
    fn restart_backing(&mut self) {
        for respite in &mut self.respites {
            respite.allow_log("backing not usable");
        }
        self.redis.restart();
    }

    fn connect(&self) -> Client {
        self.respites[0].connect()
    }

    /// Connects to the last Respite, where workers are in tests with two.
    fn connect_worker(&self) -> Client {
        self.respites[self.respites.len() - 1].connect()
    }

    fn register(&self, method: &str, options: &[&str]) {
        let command = [&["BUS.REGISTER", "b", method], options].concat();
        let reply = self.connect().call(&command);
        assert!(!reply.is_error(), "{reply:?}");
    }

    /// All keys of the backing, sorted.
    fn keys(&self) -> Vec<String> {
        let reply = self.redis.call(&["KEYS", "*"]);
        let mut keys: Vec<String> = reply.strings().into_iter().map(str::to_owned).collect();
        keys.sort();
        keys
    }

    /// The keys of calls, and what is on their list.
    fn calls_kept(&self) -> Vec<String> {
        let is_call = |key: &String| key.contains("}:k:") || key.contains("}:r:");
        let mut kept: Vec<String> = self.keys().into_iter().filter(is_call).collect();
        let listed = self.redis.call(&["ZRANGE", "respite:b:{b}:t", "0", "-1"]);
        kept.extend(listed.strings().into_iter().map(str::to_owned));
        kept
    }

    /// A key of the bus.
    fn key(name: &str) -> String {
        format!("respite:b:{{b}}:{name}")
    }

    /// A field of a method's counters.
    fn stat(&self, method: &str, field: &str) -> Reply {
        let stats = self.connect().call(&["BUS.STATS", "b", method]);
        stats.items()[0].field(field).clone()
    }

    /// A caller on a connection of its own, in the background.
    fn calling(&self, command: &[&str]) -> JoinHandle<Reply> {
        let mut client = self.connect();
        client.send(command);
        std::thread::spawn(move || client.read_reply())
    }

    /// A worker that replies to every call of these methods with what `work` makes of it, until the test ends.
    fn serve(&self, patterns: &[&str], work: impl Fn(&Fetched) -> String + Send + 'static) {
        let mut client = self.connect_worker();
        let command = [&["BUS.FETCH", "b", "served"], patterns, &["TIMEOUT", "0"]].concat();
        let command: Vec<String> = command.into_iter().map(str::to_owned).collect();
        client.send(&command);
        std::thread::spawn(move || {
            loop {
                let Ok(raw) = client.try_read_reply_raw() else {
                    return;
                };
                for call in Fetched::all(&Reply::parse(&raw)) {
                    let payload = work(&call);
                    client.call(&["BUS.REPLY", "b", &call.id, &call.token, &payload]);
                }
                client.send(&command);
            }
        });
    }
}

impl Fetched {
    fn all(reply: &Reply) -> Vec<Self> {
        if reply.is_null() {
            return Vec::new();
        }
        let one = |call: &Reply| Fetched {
            id: call.field("id").as_str().to_owned(),
            token: call.field("token").as_str().to_owned(),
            reply: call.clone(),
        };
        reply.items().iter().map(one).collect()
    }

    fn args(&self) -> Vec<&str> {
        self.reply.field("args").strings()
    }
}

/// Fetches one call; it must come.
#[track_caller]
fn fetch(client: &mut Client, worker: &str, pattern: &str) -> Fetched {
    let reply = client.call(&["BUS.FETCH", "b", worker, pattern, "TIMEOUT", "8000"]);
    let mut calls = Fetched::all(&reply);
    assert_eq!(calls.len(), 1, "{reply:?}");
    calls.remove(0)
}

/// Replies to a call; returns whether it was in time.
#[track_caller]
fn reply(client: &mut Client, call: &Fetched, payload: &str) -> i64 {
    client
        .call(&["BUS.REPLY", "b", &call.id, &call.token, payload])
        .int()
}

/// Waits until a worker is known to wait for calls.
#[track_caller]
fn wait_for_worker(world: &World, worker: &str) {
    let mut client = world.connect();
    crate::support::wait_until("the worker waits", crate::support::DEADLINE, || {
        let workers = client.call(&["BUS.WORKERS", "b"]);
        let mut names = workers.items().iter().map(|row| row.field("worker"));
        names.any(|name| name.as_str() == worker)
    });
}
