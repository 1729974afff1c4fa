//! The bodies of `/api/…`, typed.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::family::newest;
use super::listed::{buses, groups};
use super::observer::{FIGURES, Observer, now_ms};
use super::shards::ShardRows;
use crate::bus::Hub;
use crate::command::Rights;
use crate::discovery::Discovery;
use crate::doctor::{self, Severity};
use crate::fleet::Fleet;
use crate::gateway::Gateway;
use crate::history::Step;
use crate::http::{Api, ApiPage, Asked, OverviewPart, PageError, Part, Sight, piece, pieces};
use crate::telemetry;

/// So many hot keys are shown.
const HOT_KEYS: usize = 100;
/// So many polls of an instance are shown.
const POLLS: usize = 60;
/// So many clients are shown: the longest connected.
const CLIENTS: usize = 1000;

/// Everything that has something to show.
pub(super) struct Bodies {
    pub(super) observer: Arc<Observer>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) bus: Arc<Hub>,
    pub(super) gateway: Arc<Gateway>,
}

/// What the overview has for whoever may ask for `INFO`.
#[derive(Serialize)]
struct Overview {
    version: &'static str,
    /// Milliseconds since 1970.
    time_ms: u64,
    uptime_seconds: u64,
    upstream: Upstream,
    /// The figures of the last second by name; null where there is none.
    figures: Map<String, Value>,
    limits: Limits,
    /// How many clients, and since the start.
    clients: Clients,
}

#[derive(Serialize)]
struct Upstream {
    address: String,
    up: bool,
    /// `redis` or `valkey`; empty, as its version, before it has been reached.
    server: String,
    version: String,
    cluster: Option<Cluster>,
}

/// The nodes of a cluster behind.
#[derive(Serialize)]
struct Cluster {
    masters: usize,
    masters_up: usize,
    replicas: usize,
    slots_served: usize,
    map_version: u64,
    map_refreshes: u64,
    redirects: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Limits {
    clients: usize,
    pinned: usize,
}

#[derive(Serialize)]
struct Clients {
    connected: usize,
    received: u64,
    rejected: u64,
}

/// `/api/doctor` is a list of these.
#[derive(Serialize)]
struct Finding {
    rule: &'static str,
    /// `critical`, `warning` or `notice`.
    severity: &'static str,
    text: String,
}

/// `/api/latency` is a list of these; microseconds.
#[derive(Serialize)]
struct Latency {
    kind: String,
    user: String,
    count: u64,
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

/// `/api/slowlog` is a list of these, the newest first; microseconds.
#[derive(Serialize)]
struct Slow {
    id: u64,
    time_ms: u64,
    duration_us: u64,
    queued_us: u64,
    backing_us: u64,
    client_us: u64,
    args: Vec<String>,
    client: String,
    name: String,
    user: String,
}

/// `/api/hotkeys` is a list of these, the hottest first.
#[derive(Serialize)]
struct HotKey {
    db: u32,
    key: String,
    hits: u64,
}

/// `/api/clients` is a list of these.
#[derive(Serialize)]
struct Client {
    id: u64,
    addr: String,
    name: String,
    user: String,
    lib: String,
    db: u32,
    resp: u8,
    age_seconds: u64,
    state: &'static str,
}

/// `/api/log` is a list of these, the newest first.
#[derive(Serialize)]
struct LogLine {
    time_ms: u64,
    level: &'static str,
    text: String,
}

fn number(value: f64) -> Value {
    // Not a number is null.
    serde_json::Number::from_f64((value * 1000.0).round() / 1000.0)
        .map_or(Value::Null, Value::Number)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn json_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text, numbers and lists are JSON")
}

impl Api for Bodies {
    fn body(&self, page: &ApiPage, sight: &Sight) -> Asked<Part> {
        let now = |text: String| async { Ok(piece(text)) }.boxed();
        match page {
            ApiPage::History(step) => now(self.history(*step).to_string()),
            ApiPage::Latency => now(json_of(&self.latency())),
            ApiPage::Slowlog => now(json_of(&self.slowlog(&sight.rights()))),
            ApiPage::Doctor => now(json_of(&self.findings(&sight.rights()))),
            ApiPage::Shards => now(json_of(&ShardRows::new(&self.fleet).all())),
            ApiPage::Shard(id) => {
                let shard = self.fleet.shard_json(id, &["everything"]);
                let shard = shard.map(|shard| shard.map_err(PageError::Unavailable));
                let unknown = || Err(PageError::Unknown(format!("NOSHARD no shard '{id}'")));
                let shard = shard.unwrap_or_else(unknown).map(piece);
                async { shard }.boxed()
            }
            ApiPage::HotKeys => now(json_of(&self.hot_keys(sight))),
            ApiPage::Services => {
                let part = groups(Arc::clone(&self.discovery), sight.rights());
                async { Ok(part) }.boxed()
            }
            ApiPage::Buses => {
                let part = buses(Arc::clone(&self.bus), &sight.rights(), true);
                async { Ok(part) }.boxed()
            }
            ApiPage::Gateway => {
                let part = pieces(Box::new(self.gateway.stats_json(POLLS)));
                async { Ok(part) }.boxed()
            }
            ApiPage::Clients => now(json_of(&self.clients())),
            ApiPage::Log => now(json_of(&log())),
            ApiPage::Watchers => now(self.fleet.watchers_json()),
        }
    }

    fn overview(&self) -> Vec<OverviewPart> {
        let shared = &self.observer.shared;
        let whole = json_of(&self.overview_for_all());
        let cache = json_of(&CacheFigures::new(shared));
        vec![
            OverviewPart::members("INFO", &whole),
            OverviewPart::new("cache", "CACHE.STATS", cache),
            OverviewPart::new("shards", "SHARD.LIST", self.shards_by_state().to_string()),
            OverviewPart::new(
                "findings",
                "RESPITE.DOCTOR",
                json_of(&self.findings(&Rights::Everything)),
            )
            .of_all_keys(),
        ]
    }
}

impl Bodies {
    fn overview_for_all(&self) -> Overview {
        let shared = &self.observer.shared;
        let settings = shared.settings();
        let names = self.observer.names();
        let newest = self.observer.history.newest();
        let hello = settings.hello.as_ref();
        let (server, version) = hello
            .map(|hello| (hello.server.clone(), hello.version.clone()))
            .unwrap_or_default();
        Overview {
            version: env!("CARGO_PKG_VERSION"),
            time_ms: now_ms(),
            uptime_seconds: shared.started.elapsed().as_secs(),
            upstream: Upstream {
                address: shared.backing.address(),
                up: shared.backing.is_ready(),
                server,
                version,
                cluster: shared.backing.is_cluster().then(|| {
                    let figures = shared.backing.figures();
                    Cluster {
                        masters: figures.masters,
                        masters_up: figures.masters_up,
                        replicas: figures.replicas,
                        slots_served: figures.slots_served,
                        map_version: figures.map_version,
                        map_refreshes: figures.map_refreshes,
                        redirects: figures.redirects.into_iter().collect(),
                    }
                }),
            },
            figures: names
                .into_iter()
                .zip(newest.into_iter().map(number))
                .collect(),
            limits: Limits {
                clients: settings.limits.clients,
                pinned: settings.limits.pinned,
            },
            clients: Clients {
                connected: shared.clients.len(),
                received: shared.clients.total_connections(),
                rejected: shared.clients.total_rejected(),
            },
        }
    }

    /// How many shards are in each state.
    fn shards_by_state(&self) -> Value {
        let mut shards = Map::new();
        let table = self.fleet.shards();
        for shard in table.sorted() {
            let state = self.fleet.status(shard).state.name();
            let count = shards.get(state).and_then(Value::as_u64).unwrap_or(0);
            shards.insert(state.to_owned(), (count + 1).into());
        }
        Value::Object(shards)
    }

    fn history(&self, step: Step) -> Value {
        let history = &self.observer.history;
        let figures = FIGURES.iter().map(|figure| {
            let about = json!({ "unit": figure.unit, "what": figure.help });
            (figure.name.to_owned(), about)
        });
        let figures: Map<String, Value> = figures.collect();
        let names = self.observer.names().into_iter().enumerate();
        let samples: Map<String, Value> = names
            .map(|(at, name)| {
                let values = history.of(at, step).into_iter().map(number);
                (name, Value::Array(values.collect()))
            })
            .collect();
        json!({
            "step_seconds": step.seconds(),
            "end_ms": now_ms(),
            "kinds": self.observer.shared.latency.kinds(),
            "figures": figures,
            "samples": samples,
        })
    }

    fn latency(&self) -> Vec<Latency> {
        let lines = self
            .observer
            .shared
            .latency
            .lines()
            .into_iter()
            .map(|line| {
                let micros = |time: Option<std::time::Duration>| {
                    time.map_or(0.0, |time| (time.as_secs_f64() * 1e9).round() / 1e3)
                };
                Latency {
                    count: line.counts.count(),
                    p50_us: micros(line.counts.quantile(0.5)),
                    p99_us: micros(line.counts.quantile(0.99)),
                    max_us: micros(line.counts.max()),
                    kind: line.kind,
                    user: line.user,
                }
            });
        lines.collect()
    }

    fn slowlog(&self, rights: &Rights) -> Vec<Slow> {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let log = &self.observer.shared.slowlog;
        let entries = newest(log, usize::MAX, rights)
            .into_iter()
            .map(|entry| Slow {
                id: entry.id,
                time_ms: entry.time_ms,
                duration_us: micros(entry.spent.total()),
                queued_us: micros(entry.spent.queued),
                backing_us: micros(entry.spent.backing),
                client_us: micros(entry.spent.client),
                args: entry.args.iter().map(|arg| text(arg)).collect(),
                client: entry.client.addr,
                name: entry.client.name,
                user: entry.client.user,
            });
        entries.collect()
    }

    fn findings(&self, rights: &Rights) -> Vec<Finding> {
        let findings = doctor::examine(&self.observer.facts(rights))
            .into_iter()
            .map(|finding| Finding {
                rule: finding.rule,
                severity: match finding.severity {
                    Severity::Critical => "critical",
                    Severity::Warning => "warning",
                    Severity::Notice => "notice",
                },
                text: finding.text,
            });
        findings.collect()
    }

    fn hot_keys(&self, sight: &Sight) -> Vec<HotKey> {
        let rights = sight.rights();
        let cache = &self.observer.shared.cache;
        let hottest = cache
            .hottest(HOT_KEYS, |key| rights.may_use(key))
            .into_iter();
        hottest
            .map(|(db, key, hits)| HotKey {
                db,
                key: text(&key),
                hits,
            })
            .collect()
    }

    fn clients(&self) -> Vec<Client> {
        let clients = self.observer.shared.clients.all().into_iter().take(CLIENTS);
        let clients = clients.map(|entry| {
            let facts = entry.facts();
            let subscribes = facts.is_subscriber();
            Client {
                id: entry.id,
                addr: entry.addr().to_owned(),
                age_seconds: entry.age_secs(),
                db: facts.db,
                resp: facts.proto.number(),
                state: match () {
                    () if facts.blocked_here => "blocked",
                    () if facts.monitor => "monitor",
                    () if subscribes => "subscribed",
                    () if facts.multi.is_some() => "transaction",
                    () => "",
                },
                lib: format!("{} {}", facts.lib_name, facts.lib_ver)
                    .trim()
                    .to_owned(),
                name: facts.name,
                user: facts.user,
            }
        });
        clients.collect()
    }
}

/// The cache, for the overview.
#[derive(Serialize)]
struct CacheFigures {
    mode: &'static str,
    degraded: bool,
    #[serde(flatten)]
    numbers: std::collections::BTreeMap<&'static str, u64>,
}

impl CacheFigures {
    fn new(shared: &crate::session::shared::Shared) -> Self {
        CacheFigures {
            mode: shared.cache.mode().name(),
            degraded: shared.cache.is_degraded(),
            numbers: shared.cache.numbers().into_iter().collect(),
        }
    }
}

fn log() -> Vec<LogLine> {
    let lines = telemetry::recent().into_iter().map(|line| LogLine {
        time_ms: line.time_ms,
        level: line.level,
        text: line.text,
    });
    lines.collect()
}
