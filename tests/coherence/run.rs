//! Plays one scenario: a backing, two doors to it, clients, faults; then judges.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::check::{Rules, Violation, check};
use super::check_together::torn;
use super::faults::{self, Fault, Lag};
use super::history::{History, Place, Snapshot, Write, nanos};
use super::liar::{Liar, Lie};
use super::load::{Clients, Load};
use super::report;
use super::world::World;
use crate::support::{
    Random, RedisCluster, RedisServer, Relay, Reply, Respite, SentinelSet, respite_command,
};

/// One scenario.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// The keys of `[cache]`.
    pub(crate) cache: &'static str,
    pub(crate) rules: Rules,
    pub(crate) load: Load,
    pub(crate) faults: &'static [Fault],
    /// The shortest and the longest pause between two faults.
    pub(crate) pauses: [Duration; 2],
    pub(crate) lag: Lag,
    /// Arguments of the backing.
    pub(crate) backing: &'static [&'static str],
    /// Commands for each fresh backing.
    pub(crate) setup: &'static [&'static [&'static str]],
    /// Whether the backing is a master with a replica, under the eyes of sentinels.
    pub(crate) sentinels: bool,
    /// Whether the backing is a cluster of three masters and their replicas.
    pub(crate) cluster: bool,
    /// Hits in the cache, at least: a test without hits proves nothing.
    pub(crate) least_hits: i64,
}

/// The backing of a run.
#[derive(Debug)]
pub(crate) struct Backing {
    server: Server,
    pub(crate) setup: &'static [&'static [&'static str]],
    /// What faults did to the data.
    pub(crate) writes: Vec<Write>,
}

/// One server, or one of several.
#[derive(Debug)]
enum Server {
    One(RedisServer),
    Master(SentinelSet),
    Cluster(RedisCluster),
}

impl Backing {
    fn start(scenario: &Scenario) -> Self {
        let server = if scenario.cluster {
            Server::Cluster(RedisCluster::start(3, 1))
        } else if scenario.sentinels {
            Server::Master(SentinelSet::behind_relays(scenario.backing))
        } else {
            Server::One(RedisServer::builder().args(scenario.backing).start())
        };
        Backing {
            server,
            setup: scenario.setup,
            writes: Vec::new(),
        }
    }

    /// The server that is written to.
    #[track_caller]
    pub(crate) fn redis(&self) -> &RedisServer {
        match &self.server {
            Server::One(redis) => redis,
            Server::Master(set) => set.server(set.master_port().expect("a master")),
            Server::Cluster(cluster) => &cluster.servers[cluster.masters()[0]],
        }
    }

    /// The one server, to be restarted.
    #[track_caller]
    pub(crate) fn one(&mut self) -> &mut RedisServer {
        match &mut self.server {
            Server::One(redis) => redis,
            Server::Master(_) | Server::Cluster(_) => panic!("a fault for a single server"),
        }
    }

    /// The servers, to be failed over.
    #[track_caller]
    pub(crate) fn set(&mut self) -> &mut SentinelSet {
        match &mut self.server {
            Server::Master(set) => set,
            Server::One(_) | Server::Cluster(_) => panic!("a fault for servers with sentinels"),
        }
    }

    /// The cluster, to be changed.
    #[track_caller]
    pub(crate) fn cluster(&mut self) -> &mut RedisCluster {
        match &mut self.server {
            Server::Cluster(cluster) => cluster,
            Server::One(_) | Server::Master(_) => panic!("a fault for a cluster"),
        }
    }
}

/// What stands between the clients and the backing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Door {
    Respite,
    /// A Respite with a fault of its own, by the name of the mutant.
    #[cfg_attr(
        not(feature = "mutants"),
        expect(dead_code, reason = "needs a binary with mutants")
    )]
    Mutant(&'static str),
    /// No Respite at all, but a proxy with a bad cache.
    Liar(Lie),
}

/// How a run went.
#[derive(Debug)]
pub(crate) struct Played {
    pub(crate) violations: Vec<Violation>,
    /// Reads of many keys that are no snapshot.
    pub(crate) torn: Vec<Snapshot>,
    /// Hits and reads of the caches, if there are any.
    pub(crate) hits: Option<(i64, i64)>,
    /// The ways in which keys were written.
    pub(crate) ways: BTreeSet<&'static str>,
    /// How many keys the backing evicted.
    pub(crate) evicted: u64,
    /// The violations with what was around them.
    pub(crate) story: String,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            name: "",
            cache: "staleness_max = \"200ms\"",
            rules: Rules {
                staleness: Some(Duration::from_millis(200)),
                strict: false,
                slack: Duration::from_millis(5),
                keys_vanish: false,
            },
            load: Load::default(),
            faults: &[],
            pauses: [50, 300].map(Duration::from_millis),
            lag: Lag::default(),
            backing: &[],
            setup: &[],
            sentinels: false,
            cluster: false,
            least_hits: 50,
        }
    }
}

/// The length of a scenario.
pub(crate) fn seconds() -> Duration {
    let text = std::env::var("COHERENCE_SECONDS").unwrap_or_else(|_| "3".to_owned());
    Duration::from_secs_f64(text.parse().expect("COHERENCE_SECONDS is a number"))
}

/// Whether the binary has a cache.
pub(crate) fn has_cache() -> bool {
    static KNOWN: OnceLock<bool> = OnceLock::new();
    *KNOWN.get_or_init(|| {
        let mut file = tempfile::NamedTempFile::with_suffix(".toml").expect("temp file");
        file.write_all(b"[cache]\nmode = \"tracking\"\n")
            .expect("write the configuration");
        let path = file.path().display().to_string();
        let output = respite_command(&["check-config", &path]).output();
        output.expect("run respite check-config").status.success()
    })
}

/// Plays a scenario that must hold, with Respite, and fails the test if it does not.
#[track_caller]
pub(crate) fn holds(scenario: &Scenario) -> Played {
    let played = play(scenario, Door::Respite, seconds(), &mut Random::from_env());
    assert!(
        played.violations.is_empty() && played.torn.is_empty(),
        "{}:\n{}",
        scenario.name,
        played.story
    );
    if let Some((hits, reads)) = played.hits {
        assert!(
            hits >= scenario.least_hits,
            "{}: too few hits to prove anything: {hits} of {reads}",
            scenario.name
        );
    }
    played
}

/// Plays a scenario for so long.
pub(crate) fn play(
    scenario: &Scenario,
    door: Door,
    length: Duration,
    random: &mut Random,
) -> Played {
    let seed = random.seed();
    let mut backing = Backing::start(scenario);
    faults::prepare(&backing);
    let relays = [(); 2].map(|()| Relay::to(backing.redis().port()));
    let (mut respites, mut liars) = (Vec::new(), Vec::new());
    for relay in &relays {
        let upstream = match &backing.server {
            Server::One(_) => relay.url(),
            Server::Master(set) => set.url(),
            Server::Cluster(cluster) => cluster.url(),
        };
        match door {
            Door::Liar(lie) => liars.push(Liar::start(relay.port(), lie, random.next())),
            Door::Respite => respites.push(start(scenario, &upstream, None)),
            Door::Mutant(name) => respites.push(start(scenario, &upstream, Some(name))),
        }
    }
    let mut ports: Vec<u16> = respites.iter().map(Respite::port).collect();
    ports.extend(liars.iter().map(Liar::port));
    let ports = [ports[0], ports[1], backing.redis().port()];
    let world = Arc::new(World::new(&scenario.load, ports));

    let clients = Clients::start(&scenario.load, &world, random);
    std::thread::scope(|scope| {
        let _stop = StopAtEnd(&world);
        scope.spawn(|| faults::lag(&relays, &world, scenario.lag));
        let end = world.clock.now() + nanos(length);
        while world.clock.now() < end {
            faults::wait(scenario.pauses, world.clock, end, random);
            if !scenario.faults.is_empty() && world.clock.now() < end {
                random
                    .pick(scenario.faults)
                    .strike(&mut backing, &relays, &world, random);
            }
        }
    });
    let mut history = clients.finish();
    history.writes.append(&mut backing.writes);

    let violations = check(&history, &scenario.rules);
    let hits = hits(&respites);
    tell(scenario, seed, &history, hits, &violations);
    let ways = history
        .writes
        .iter()
        .filter(|write| write.sure)
        .map(|write| write.how)
        .collect();
    let evicted = backing.redis().info("stats", "evicted_keys");
    let evicted = evicted.parse().expect("a number");
    let torn = torn(&history, scenario.rules.keys_vanish);
    let mut story = report::explain(&history, &violations, &world);
    story.extend(torn.iter().take(5).map(|torn| format!("torn: {torn:?}\n")));
    if scenario.load.together != [0; 3] {
        eprintln!(
            "    {} snapshots, {} of them torn",
            history.snapshots.len(),
            torn.len()
        );
    }
    Played {
        violations,
        torn,
        hits,
        ways,
        evicted,
        story,
    }
}

/// Stops the run when the faults are over, and when they fail.
struct StopAtEnd<'a>(&'a World);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

fn start(scenario: &Scenario, upstream: &str, mutant: Option<&str>) -> Respite {
    let mut config = "[timeouts]\nreply = \"2s\"\n".to_owned();
    if has_cache() {
        config += &format!("[cache]\n{}\n", scenario.cache);
    }
    let mut builder = Respite::builder().upstream(upstream).config(&config);
    let calm = scenario.faults.is_empty() && scenario.lag.fills_down.is_zero();
    if !calm || mutant.is_some() {
        builder = builder.allow_log(""); // lost connections are what is asked for
    }
    if let Some(name) = mutant {
        builder = builder.env("MUTANT", name);
    }
    builder.start()
}

/// What `CACHE.STATS` says, over all.
fn hits(respites: &[Respite]) -> Option<(i64, i64)> {
    let mut sum = (0, 0);
    for respite in respites {
        let stats = respite.call(&["CACHE.STATS"]);
        if matches!(stats, Reply::Error(_)) {
            return None;
        }
        let hits = stats.field("hits").int();
        sum.0 += hits;
        sum.1 += hits + stats.field("misses").int();
    }
    (!respites.is_empty()).then_some(sum)
}

fn ratio(hits: i64, reads: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a ratio")]
    let ratio = hits as f64 / (reads as f64).max(1.0);
    ratio
}

fn tell(
    scenario: &Scenario,
    seed: u64,
    history: &History,
    hits: Option<(i64, i64)>,
    violations: &[Violation],
) {
    let direct = history
        .reads
        .iter()
        .filter(|read| read.place == Place::Direct)
        .count();
    let unsure = history.writes.iter().filter(|write| !write.sure).count();
    eprintln!(
        "coherence {}: RESPITE_SEED={seed}, {} reads ({direct} direct), {} writes ({unsure} unsure), {}, {}",
        scenario.name,
        history.reads.len(),
        history.writes.len(),
        hits.map_or("no cache".to_owned(), |(hits, reads)| format!(
            "hit ratio {:.2}",
            ratio(hits, reads)
        )),
        report::count(violations),
    );
}
