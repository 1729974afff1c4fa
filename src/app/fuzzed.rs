//! One function for everything that reads what others write, for the fuzz targets: each takes any bytes and must not
//! panic. The targets of single parsers, which compare with another parser, are in `fuzz/` alone.

use std::cell::LazyCell;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use parking_lot::Mutex;
use tokio::runtime::{Handle, Runtime};

use super::gateway::prepare;
use super::nodes::ServiceNodes;
use super::{Reloader, RespiteFamily, control_link, families};
use crate::access::{AccessList, Password, UserSpec};
use crate::bus::Hub;
use crate::cache::Cache;
use crate::command::{Answer, Call, Caller, Family, Rights, Row, arity_ok};
use crate::config::{Config, Services, Source, load, read_targets};
use crate::discovery::Discovery;
use crate::fleet::{Fleet, Snapshot, Wanted};
use crate::gateway::{Gateway, answers};
use crate::resp::{ArgVec, Parsed, Proto, RequestLimits, RequestParser};
use crate::upstream::Backing;
use crate::upstream::cluster::read_map;

/// A file of this thread's own with this text.
fn file(ending: &str, text: &[u8]) -> PathBuf {
    let thread = format!("{:?}", std::thread::current().id());
    let id = thread.replace(|c: char| !c.is_ascii_digit(), "");
    let name = format!("respite-fuzz-{}-{id}{ending}", std::process::id());
    let folder = PathBuf::from("/dev/shm");
    let folder = if folder.is_dir() {
        folder
    } else {
        std::env::temp_dir()
    };
    let file = folder.join(name);
    std::fs::write(&file, text).expect("a file can be written");
    file
}

/// A configuration file. What is accepted can be shown, and the server could start with it.
pub fn configuration(text: &[u8]) {
    let file = file(".toml", text);
    let source = Source {
        file: Some(file.clone()),
        overrides: Vec::new(),
    };
    match load(&source, []) {
        Ok(config) => drop(super::reload::access_list(&config)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    drop(std::fs::remove_file(file));
}

/// A services file.
pub fn services(text: &[u8]) {
    let file = file(".yaml", text);
    if let Err(error) = Services::load(&file) {
        assert!(!error.to_string().is_empty());
    }
    drop(std::fs::remove_file(file));
}

/// A file of targets; the first byte says which format.
pub fn targets(text: &[u8]) {
    let Some((first, text)) = text.split_first() else {
        return;
    };
    let ending = if first % 2 == 0 { ".json" } else { ".yaml" };
    let file = file(ending, text);
    if let Err(error) = read_targets(&file) {
        assert!(!error.to_string().is_empty());
    }
    drop(std::fs::remove_file(file));
}

/// INFO of a server, asked for by sections, and written for Prometheus.
pub fn info(text: &[u8]) {
    let Some(snapshot) = Snapshot::new(text.to_vec()) else {
        return;
    };
    let all: usize = snapshot
        .fields()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    assert!(all <= text.len());
    for names in [
        &[][..],
        &[b"server".to_vec()],
        &[b"ALL".to_vec(), b"x".to_vec()],
    ] {
        let pieces = snapshot.pieces(Wanted::new(names));
        assert!(pieces.iter().map(|piece| piece.len()).sum::<usize>() <= 2 * text.len() + 64);
    }
    for (name, value) in snapshot.fields() {
        if let Ok(name) = std::str::from_utf8(name) {
            assert!(snapshot.field(name).is_some(), "{name} of {value:?}");
            let _ = snapshot.number(name);
        }
    }
}

/// What Respites that share a fleet leave in the backing: a record, a member's row, a set of shards, the script's reply.
pub fn shared_fleet(bytes: &[u8]) {
    crate::fleet::read_shared(bytes);
}

/// What a node of a cluster says of the whole: a reply to `CLUSTER SHARDS` or `CLUSTER NODES`.
pub fn cluster_map(reply: &[u8]) {
    if let Some(topology) = read_map(reply) {
        let owned = (0..16_384).filter(|slot| topology.owner(*slot).is_some());
        assert_eq!(owned.count(), topology.covered());
    }
}

/// Lines: denied commands; a user's commands, keys and channels; then commands that the user gives.
pub fn access_rules(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    let mut words = || -> Vec<String> {
        let line = lines.next().unwrap_or_default();
        line.split(' ')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (deny, commands, keys, channels) = (words(), words(), words(), words());
    let user = UserSpec {
        name: "u".to_owned(),
        password: Password::Sha256([0; 32]),
        commands,
        keys,
        channels,
    };
    let Ok(list) = AccessList::new(&deny, vec![user]) else {
        return;
    };
    let id = list.user_by_name(b"u");
    for line in lines {
        let args: ArgVec = line.split(' ').map(str::as_bytes).collect();
        let name = line.split(' ').next().unwrap_or_default();
        // Without a table nothing is known of a command: its name alone decides.
        drop(list.check(id, None, name.as_bytes(), None, args.as_args()));
        let _ = list.may_read(id, line.as_bytes());
    }
}

/// A server's parts that take commands and requests, without a server behind.
struct Parts {
    runtime: Runtime,
    families: Vec<Arc<dyn Family>>,
    rows: HashMap<Vec<u8>, (usize, Row)>,
    caller: Arc<Caller>,
    gateway: Arc<Gateway>,
}

thread_local! {
    static PARTS: LazyCell<Parts> = LazyCell::new(Parts::new);
}

/// Nothing of it is ever healthy.
const SERVICES: &str = "app:\n  servers: [127.0.0.1:1]\n  polling: {method: health, endpoint: /health, frequency: 1h, \
                        timeout: 1ms}\n  apis: [/a, /b/c]\n";

impl Parts {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let (families, gateway) = runtime.block_on(async {
            let services = file("-services.yaml", SERVICES.as_bytes());
            let overrides = [
                ("upstream", "unix:///nonexistent/respite.sock".to_owned()),
                ("gateway.services", services.display().to_string()),
            ];
            let source = Source {
                file: None,
                overrides: overrides.map(|(key, text)| (key.to_owned(), text)).into(),
            };
            let config = load(&source, []).expect("a configuration");
            let made = Self::families(&source, &config);
            drop(std::fs::remove_file(services));
            made
        });
        let mut rows = HashMap::new();
        for (at, family) in families.iter().enumerate() {
            for row in family.rows() {
                rows.insert(row.name.as_bytes().to_ascii_uppercase(), (at, row.row(at)));
            }
        }
        Parts {
            runtime,
            families,
            rows,
            caller: Arc::new(Caller {
                id: 1,
                peer: None,
                shard: Mutex::default(),
            }),
            gateway,
        }
    }

    fn families(source: &Source, config: &Config) -> (Vec<Arc<dyn Family>>, Arc<Gateway>) {
        let crate::config::Upstream::Single(endpoint) = &config.upstream else {
            panic!("one server is configured");
        };
        let backing = Backing::new(endpoint.clone(), None);
        let control = control_link(&backing, config);
        let reloader = Arc::new(Reloader::new(source.clone(), config.clone()));
        let cache = Cache::new(config.cache.clone());
        let discovery = Discovery::start(Arc::clone(&control), &Handle::current());
        let hub = Hub::new(Arc::clone(&control), config.bus.worker_ttl);
        let nodes = Arc::new(ServiceNodes::new(&discovery, Handle::current()));
        let fleet = Fleet::start(config, Arc::clone(&control), Arc::clone(&nodes) as _);
        let prepared = prepare(config).expect("services");
        let (gateway, _) = prepared.build(config, nodes);
        let (about, _) = RespiteFamily::new(reloader);
        let families = families(about, &cache, &fleet, &discovery, &hub, &gateway);
        (families, gateway)
    }
}

/// Requests as a client sends them, each for a command of a family; the first byte is the protocol version.
pub fn family(bytes: &[u8]) {
    const LIMITS: RequestLimits = RequestLimits {
        bulk_bytes: 1 << 16,
        request_bytes: 1 << 16,
        authenticated: true,
    };
    let Some((first, mut stream)) = bytes.split_first() else {
        return;
    };
    let proto = if first % 2 == 0 {
        Proto::Resp2
    } else {
        Proto::Resp3
    };
    PARTS.with(|parts| {
        parts.runtime.block_on(async {
            let mut parser = RequestParser::default();
            for _ in 0..8 {
                let (len, words) = match parser.parse(stream, &LIMITS) {
                    Ok(Parsed::Nothing { len }) => (len, ArgVec::default()),
                    Ok(Parsed::Request { len }) => (len, parser.args(stream).iter().collect()),
                    Ok(Parsed::Inline { len, encoded }) => {
                        parts.call(parser.args(&encoded), proto);
                        (len, ArgVec::default())
                    }
                    _ => break,
                };
                if !words.as_args().is_empty() {
                    parts.call(words.as_args(), proto);
                }
                stream = &stream[len..];
                // What a command has begun goes on a little.
                tokio::task::yield_now().await;
            }
        });
    });
}

impl Parts {
    fn call(&self, args: crate::resp::Args<'_>, proto: Proto) {
        let Some((at, row)) = self.rows.get(&args[0].to_ascii_uppercase()) else {
            return;
        };
        if !arity_ok(row, args.len()) {
            return;
        }
        let call = Call {
            args,
            proto,
            db: 0,
            caller: &self.caller,
            rights: &Rights::Everything,
        };
        self.families[*at].key(&call);
        let mut reply = Vec::new();
        let reply = match self.families[*at].call(&call, &mut reply) {
            Answer::Given => Some(reply),
            Answer::Later(pending)
            | Answer::Cancelled(pending)
            | Answer::Agreed(pending)
            | Answer::Blocked(pending) => pending.now_or_never(),
        };
        if let Some(reply) = reply {
            let parsed = crate::resp::parse_reply(&reply);
            assert!(
                matches!(parsed, Ok(Some((_, len))) if len == reply.len()),
                "no reply, or more than one: {}",
                String::from_utf8_lossy(&reply)
            );
        }
    }
}

/// A client's bytes to the gateway.
pub fn http_head(bytes: &[u8]) {
    PARTS.with(|parts| {
        let answered = parts.runtime.block_on(answers(&parts.gateway, bytes));
        assert!(answered.is_empty() || answered.starts_with(b"HTTP/1."));
    });
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    type Target = fn(&[u8]);

    /// Every kind of input by the name of its fuzz target.
    const TARGETS: [(&str, Target); 9] = [
        ("configuration", configuration),
        ("services", services),
        ("targets", targets),
        ("info", info),
        ("shared_fleet", shared_fleet),
        ("cluster_map", cluster_map),
        ("access_rules", access_rules),
        ("family", family),
        ("http_head", http_head),
    ];

    /// Inputs made of each seed.
    const CHANGED: usize = 200;

    /// The short form of the fuzz targets: their seeds, and what chance makes of them, the same each time.
    #[test]
    fn seeds_and_what_is_made_of_them_do_no_harm() {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        for (name, target) in TARGETS {
            let folder = seeds.join(name);
            let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
                .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
                .map(|entry| entry.expect("an entry").path())
                .collect();
            files.sort();
            assert!(!files.is_empty(), "{name} has no seed");
            let seeds: Vec<Vec<u8>> = files
                .iter()
                .map(|file| std::fs::read(file).expect("a seed"))
                .collect();
            let mut chance = fastrand::Rng::with_seed(19);
            for (file, seed) in files.iter().zip(&seeds) {
                for round in 0..CHANGED {
                    let mut input = seed.clone();
                    for _ in 0..round.min(8) {
                        change(&mut input, &seeds, &mut chance);
                    }
                    let harmless = std::panic::catch_unwind(|| target(&input));
                    assert!(
                        harmless.is_ok(),
                        "{name}, made of {} in round {round}: {:?}",
                        file.display(),
                        String::from_utf8_lossy(&input)
                    );
                }
            }
        }
    }

    fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], chance: &mut fastrand::Rng) {
        const WORDS: [&[u8]; 10] = [
            b"\r\n",
            b"-1",
            b"0",
            b"18446744073709551616",
            b"*",
            b"\0",
            b"\xff",
            b"{",
            b"[",
            b"1e9",
        ];
        let at = chance.usize(..=input.len());
        let end = chance.usize(at..=input.len().min(at + 16));
        match chance.u8(..5) {
            0 => drop(input.drain(at..end)),
            1 => input
                .splice(
                    at..at,
                    chance.choice(&WORDS).expect("words").iter().copied(),
                )
                .for_each(drop),
            2 if at < input.len() => input[at] ^= 1 << chance.u8(..8),
            3 => {
                let piece = input[at..end].to_vec();
                input.extend(piece);
            }
            _ => {
                let other = &seeds[chance.usize(..seeds.len())];
                let from = chance.usize(..=other.len());
                input.truncate(at);
                input.extend_from_slice(&other[from..]);
            }
        }
        input.truncate(1 << 16);
    }
}
