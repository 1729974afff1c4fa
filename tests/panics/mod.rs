//! A panic in any kind of task is counted and logged, its clients are told, and service goes on.
//!
//! `INJECT_PANICS` (`src/tasks.rs`) names a file; what a test writes there is where the next panic happens.

use std::path::PathBuf;

use tempfile::TempDir;

use crate::gateway::{Backend, service};
use crate::support::{
    Client, DEADLINE, INJECTED, RedisServer, Reply, ReservedPort, Respite, RespiteBuilder, encode,
    get, wait_until,
};

/// A Respite that panics when told.
struct Fragile {
    respite: Respite,
    folder: TempDir,
    redis: RedisServer,
}

impl Fragile {
    fn start() -> Self {
        Self::with(|builder, _| builder)
    }

    fn with(change: impl FnOnce(RespiteBuilder, &TempDir) -> RespiteBuilder) -> Self {
        let redis = RedisServer::start();
        let folder = TempDir::new().expect("a folder");
        let file = file_in(&folder);
        let builder = Respite::builder()
            .upstream(&redis.url())
            .http()
            .workers(1)
            .env("INJECT_PANICS", file.to_str().expect("UTF-8"))
            .allow_log(INJECTED);
        let respite = change(builder, &folder).start();
        Self {
            respite,
            folder,
            redis,
        }
    }

    /// The next time that anything comes to this place, it panics.
    fn arm(&self, place: &str) {
        let aside = self.folder.path().join("aside");
        std::fs::write(&aside, place).expect("written");
        let file = file_in(&self.folder);
        std::fs::rename(aside, &file).expect("renamed");
        wait_until("the place is known", DEADLINE, || !file.exists());
    }

    /// How many panics there were in tasks of a kind.
    fn panics(&self, task: &str) -> u64 {
        let (status, text) = get(self.respite.http_port(), "/metrics");
        assert_eq!(status, 200, "{text}");
        let name = format!("respite_panics_total{{task=\"{task}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.expect("the metric").parse().expect("a number")
    }

    /// Panics there, in a task of this kind, while `provoke` is done; and serves as before.
    #[track_caller]
    fn survives(&self, place: &str, task: &str, mut provoke: impl FnMut(&Self)) {
        let before = self.panics(task);
        self.arm(place);
        wait_until(&format!("it has panicked: {place}"), DEADLINE, || {
            provoke(self);
            self.panics(task) == before + 1
        });
        self.serves();
    }

    /// Commands of all ways are answered.
    #[track_caller]
    fn serves(&self) {
        let mut client = self.respite.connect();
        client.call(&["SET", "served", "1"]).assert_ok();
        client.call(&["GET", "served"]).assert_str("1");
        client.call(&["MULTI"]).assert_ok();
        client.call(&["INCR", "served"]).assert_str("QUEUED");
        assert_eq!(client.call(&["EXEC"]).items(), [Reply::Int(2)]);
        let info = client.call(&["INFO", "respite"]);
        assert!(info.as_str().contains("backing_usable:1"), "{info:?}");
    }
}

fn file_in(folder: &TempDir) -> PathBuf {
    folder.path().join("panics")
}

/// Whether there is no reply because the connection was closed, and not because none came.
fn is_closed(error: &str) -> bool {
    error.contains("closed instead") || error.contains("reset") || error.contains("Broken pipe")
}

/// One command, whatever becomes of it.
fn try_call(client: &mut Client, command: &[&str]) -> Result<Vec<u8>, String> {
    client
        .try_send_raw(&encode(command))
        .map_err(|error| error.to_string())?;
    client.try_read_reply_raw()
}

#[test]
fn a_clients_panic_closes_its_connection_only() {
    let fragile = Fragile::start();
    let mut other = fragile.respite.connect();
    other.call(&["PING"]).assert_str("PONG");
    let mut client = fragile.respite.connect();
    client.call(&["PING"]).assert_str("PONG");
    fragile.arm("client");
    client.send(&["GET", "a"]);
    assert!(client.closed());
    assert!(other.call(&["GET", "a"]).is_null());
    assert_eq!(fragile.panics("client"), 1);
    let info = other.call(&["INFO", "respite"]);
    assert!(info.as_str().contains("\r\npanics:1\r\n"), "{info:?}");
    let clients = other.call(&["CLIENT", "LIST"]);
    assert_eq!(clients.as_str().lines().count(), 1, "{clients:?}");
    fragile.serves();
}

#[test]
fn a_command_of_a_family_that_panics_is_answered() {
    let fragile = Fragile::start();
    let mut told = 0;
    fragile.survives("a command of a family", "client", |fragile| {
        let reply = fragile.respite.call(&["BUS.METHODS", "b"]);
        if let Reply::Error(text) = reply {
            assert_eq!(text, b"ERR internal error");
            told += 1;
        }
    });
    assert_eq!(told, 1);
}

#[test]
fn a_links_panic_fails_what_is_outstanding_and_nothing_hangs() {
    for place in ["link", "link receives", "link delivers"] {
        let fragile = Fragile::start();
        let mut idle = fragile.respite.connect();
        idle.call(&["SET", "a", "1"]).assert_ok();
        let mut client = fragile.respite.connect();
        fragile.arm(place);
        let mut lines = String::new();
        for _ in 0..100 {
            lines.push_str("INCR counter\r\n");
        }
        client.send_raw(lines.as_bytes());
        // Each is answered, or the connection is closed.
        let mut last = 0;
        for _ in 0..100 {
            match client.try_read_reply_raw() {
                Ok(reply) => match Reply::parse(&reply) {
                    Reply::Int(n) => {
                        assert!(n > last, "{n} after {last}");
                        last = n;
                    }
                    Reply::Error(_) => {}
                    other => panic!("{other:?}"),
                },
                Err(error) => {
                    assert!(is_closed(&error), "{place}: {error}");
                    break;
                }
            }
        }
        assert_eq!(fragile.panics("link"), 1, "{place}");
        fragile.serves();
        // It waited for nothing, so it was not closed.
        idle.call(&["GET", "a"]).assert_str("1");
    }
}

#[test]
fn a_fill_links_panic_leaves_nothing_old_in_the_cache() {
    for place in ["fill_link", "fill link receives", "fill link lands"] {
        let fragile = Fragile::start();
        let mut reader = fragile.respite.connect();
        fragile.redis.call(&["SET", "k", "old"]).assert_ok();
        wait_until("it is served from the cache", DEADLINE, || {
            reader.call(&["GET", "k"]).assert_str("old");
            let info = fragile.respite.call(&["INFO", "respite"]);
            !info.as_str().contains("cache_hits:0\r\n")
        });
        let mut keys = 0;
        fragile.survives(place, "fill_link", |fragile| {
            // A key that is not there yet is fetched; whoever waits for it is answered or closed.
            keys += 1;
            let mut client = fragile.respite.connect();
            if let Err(error) = try_call(&mut client, &["GET", &format!("new-{keys}")]) {
                assert!(is_closed(&error), "{place}: {error}");
            }
        });
        fragile.redis.call(&["SET", "k", "new"]).assert_ok();
        let mut reader = fragile.respite.connect();
        wait_until("the change is seen", DEADLINE, || {
            reader.call(&["GET", "k"]).as_str() == "new"
        });
        let hits = || fragile.respite.call(&["CACHE.STATS"]).field("hits").int();
        let before = hits();
        wait_until("it is served from the cache again", DEADLINE, || {
            reader.call(&["GET", "k"]).assert_str("new");
            hits() > before
        });
    }
}

#[test]
fn a_workers_panic_ends_no_worker() {
    let fragile = Fragile::start();
    let mut idle = fragile.respite.connect();
    idle.call(&["PING"]).assert_str("PONG");
    for _ in 0..3 {
        fragile.survives("worker", "worker", |_| {});
    }
    idle.call(&["PING"]).assert_str("PONG");
}

#[test]
fn listeners_go_on_accepting() {
    let fragile = Fragile::start();
    fragile.survives("listener", "listener", |fragile| {
        fragile.respite.call(&["PING"]).assert_str("PONG");
    });
    // The request that a panic meets is not answered, the next one is.
    fragile.arm("http");
    let port = fragile.respite.http_port();
    wait_until("the pages are there", DEADLINE, || {
        std::panic::catch_unwind(|| get(port, "/health")).is_ok()
    });
    wait_until("it has panicked", DEADLINE, || {
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| fragile.panics("http")))
            .is_ok_and(|count| count == 1)
    });
    fragile.serves();
}

#[test]
fn watches_of_the_backing_are_started_again() {
    let mut fragile = Fragile::start();
    fragile.survives("backing", "backing", |_| {});
    fragile.respite.allow_log("backing");
    fragile.respite.allow_log("upstream");
    fragile.respite.allow_log("link lost");
    let usable = |respite: &Respite, is: &str| {
        let info = respite.call(&["INFO", "respite"]);
        matches!(&info, Reply::Bulk(_) | Reply::Verbatim(..))
            && info.as_str().contains(&format!("backing_usable:{is}"))
    };
    fragile.redis.kill();
    wait_until("it is seen to be away", DEADLINE, || {
        usable(&fragile.respite, "0")
    });
    fragile.redis.restart();
    wait_until("it is seen to be back", DEADLINE, || {
        usable(&fragile.respite, "1")
    });
    fragile.serves();
}

#[test]
fn a_watch_of_exchanged_databases_that_panics_says_that_there_may_be_one() {
    let fragile = Fragile::start();
    let mut reader = fragile.respite.connect();
    fragile.redis.call(&["SET", "k", "0"]).assert_ok();
    let mut other = fragile.redis.connect();
    other.call(&["SELECT", "1"]).assert_ok();
    other.call(&["SET", "k", "1"]).assert_ok();
    wait_until("it is served from the cache", DEADLINE, || {
        reader.call(&["GET", "k"]).assert_str("0");
        let info = fragile.respite.call(&["INFO", "respite"]);
        !info.as_str().contains("cache_hits:0\r\n")
    });
    fragile.arm("swaps");
    let mut writer = fragile.respite.connect();
    let script = "return redis.call('SWAPDB', 0, 1)";
    writer.call(&["EVAL", script, "0"]).assert_ok();
    assert_eq!(fragile.panics("backing"), 1);
    writer.call(&["GET", "k"]).assert_str("1");
    reader.call(&["GET", "k"]).assert_str("1");
    fragile.serves();
}

#[test]
fn the_bus_goes_on() {
    let fragile = Fragile::start();
    let mut worker = fragile.respite.connect();
    let registered = worker.call(&["BUS.REGISTER", "b", "m", "PARAMS", "1", "text"]);
    assert!(!registered.is_error(), "{registered:?}");
    // The listening, the upkeep and the orders alike: whichever comes first.
    for _ in 0..6 {
        fragile.survives("bus", "bus", |fragile| {
            let mut client = fragile.respite.connect();
            drop(try_call(&mut client, &["BUS.METHODS", "b"]));
        });
    }
    round_trip(&fragile);
}

/// A call that is worked on and answered.
fn round_trip(fragile: &Fragile) {
    let mut n = 0;
    wait_until("a call goes there and back", DEADLINE, || {
        let mut worker = fragile.respite.connect();
        let mut caller = fragile.respite.connect();
        n += 1;
        let text = format!("call:{n}");
        caller.send(&["BUS.CALL", "b", "m", "TIMEOUT", "3000", "ARGS", &text]);
        let fetch = ["BUS.FETCH", "b", "w", "m", "COUNT", "8", "TIMEOUT", "1000"];
        // It may have been lost with what panicked: then it is asked for again.
        let Reply::Array(calls) = worker.call(&fetch) else {
            return false;
        };
        for call in &calls {
            let (id, token) = (call.field("id").as_str(), call.field("token").as_str());
            let text = call.field("args").strings()[0].to_owned();
            worker.call(&["BUS.REPLY", "b", id, token, &text]);
        }
        let reply = caller.read_reply();
        if reply.is_error() {
            return false;
        }
        reply.assert_str(&text);
        true
    });
}

#[test]
fn discovery_goes_on() {
    let fragile = Fragile::start();
    let mut client = fragile.respite.connect();
    let join = ["DISCOVERY.JOIN", "web", "n1", "ADDR", "h", "1", "TTL", "60"];
    let joined = client.call(&join);
    assert!(!joined.is_error(), "{joined:?}");
    for _ in 0..4 {
        fragile.survives("discovery", "discovery", |fragile| {
            fragile.respite.call(&["DISCOVERY.NODES", "web"]);
        });
    }
    let nodes = fragile.respite.call(&["DISCOVERY.NODES", "web"]);
    let [node] = nodes.field("nodes").items() else {
        panic!("{nodes:?}");
    };
    node.field("node").assert_str("n1");
}

#[test]
fn the_fleet_goes_on() {
    let fragile = Fragile::with(|builder, _| builder.allow_log("it panicked; it is started again"));
    let mut client = fragile.respite.connect();
    let addr = fragile.redis.addr();
    client.call(&["SHARD.ADD", "one", &addr]).assert_ok();
    for _ in 0..4 {
        fragile.survives("fleet", "fleet", |_| {});
    }
    wait_until("the shard is polled", DEADLINE, || {
        let info = client.call(&["INFO", "one"]);
        matches!(&info, Reply::Bulk(_)) && info.as_str().contains("redis_version")
    });
}

#[test]
fn figures_and_reloads_go_on() {
    let fragile = Fragile::with(|builder, _| builder.config("# the defaults\n"));
    for _ in 0..2 {
        fragile.survives("upkeep", "upkeep", |_| {});
    }
    fragile.respite.call(&["RESPITE.RELOAD"]).assert_ok();
}

#[test]
fn a_login_whose_check_panics_fails_and_the_next_one_does_not() {
    // The password is not known: only whether it is checked counts.
    const HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ\
        $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let users = format!("[[access.users]]\nname = \"ann\"\npassword_hash = \"{HASH}\"\n");
    let redis = RedisServer::start();
    let folder = TempDir::new().expect("a folder");
    let file = file_in(&folder);
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&users)
        .env("INJECT_PANICS", file.to_str().expect("UTF-8"))
        .allow_log(INJECTED)
        .start();
    std::fs::write(&file, "passwords").expect("written");
    wait_until("the place is known", DEADLINE, || !file.exists());
    let mut client = respite.connect();
    let first = client.call(&["AUTH", "ann", "x"]);
    assert!(matches!(first, Reply::Error(_)), "{first:?}");
    client.call(&["AUTH", "ann", "x"]).assert_error("WRONGPASS");
    let log = respite.log();
    let panics = log.iter().filter(|line| line.contains(INJECTED)).count();
    assert_eq!(panics, 1, "{log:?}");
}

#[test]
fn the_gateway_goes_on() {
    let backend = Backend::start();
    let port = ReservedPort::any();
    let fragile = Fragile::with(|builder, folder| {
        let services = service(&[&backend]);
        let file = folder.path().join("services.yaml");
        std::fs::write(&file, services).expect("written");
        builder
            .config(&format!(
                "[gateway]\nlisten = \"127.0.0.1:{}\"\nservices = '{}'\n",
                port.get(),
                file.display()
            ))
            .allow_log(" is down: ")
            .allow_log("times in a row")
    });
    let serves = || {
        std::panic::catch_unwind(|| get(port.get(), "/count"))
            .is_ok_and(|(status, _)| status == 200)
    };
    wait_until("requests are forwarded", DEADLINE, serves);
    for _ in 0..6 {
        fragile.survives("gateway", "gateway", |_| {
            serves();
        });
        wait_until("requests are forwarded again", DEADLINE, serves);
    }
}
