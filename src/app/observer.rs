//! Looks at everything once a second: the history of the key figures, and the facts that the doctor examines.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tokio::time::MissedTickBehavior;

use super::backlog::Backlogs;
use super::reload::Reloader;
use super::shards::ShardRows;
use crate::bus::Hub;
use crate::command::Rights;
use crate::doctor::{Facts, MasterFacts, ShardFacts};
use crate::fleet::Fleet;
use crate::gateway::Gateway;
use crate::history::History;
use crate::latency::Counts;
use crate::session::shared::Shared;
use crate::slot::SLOTS;
use crate::tasks::{self, Kind};

/// A figure of the history: its name, its unit, what it is.
pub(super) struct Figure {
    pub(super) name: &'static str,
    pub(super) unit: &'static str,
    pub(super) help: &'static str,
}

macro_rules! figures {
    ($($ident:ident $name:literal $unit:literal $help:literal)+) => {
        #[expect(dead_code, reason = "places in a sample: not all of them are named")]
        #[repr(usize)]
        enum Place { $($ident),+ }
        /// The figures that are not latencies, in the order of a sample.
        pub(super) const FIGURES: &[Figure] = &[
            $(Figure { name: $name, unit: $unit, help: $help }),+
        ];
    };
}

figures! {
    Requests "requests_per_sec" "1/s" "requests of Redis clients"
    Hits "hits_per_sec" "1/s" "reads answered from the cache"
    Misses "misses_per_sec" "1/s" "reads that the cache could not answer"
    HitRatio "hit_ratio" "ratio" "the share of reads answered from the cache"
    Forwarded "forwarded_per_sec" "1/s" "requests passed to the backing over shared links"
    Evictions "evictions_per_sec" "1/s" "keys that had to make room"
    Invalidations "invalidations_per_sec" "1/s" "keys that the backing said have changed"
    Fills "fills_per_sec" "1/s" "fetched values that were kept"
    RejectedFills "rejected_fills_per_sec" "1/s" "fetched values that were not kept"
    Rejected "rejected_clients_per_sec" "1/s" "clients that were turned away"
    Clients "clients" "count" "clients that are connected"
    Pinned "pinned" "count" "connections to the backing of one client's own"
    CacheBytes "cache_bytes" "bytes" "bytes in the cache"
    CacheEntries "cache_entries" "count" "keys in the cache"
    UpstreamUp "upstream_up" "0 or 1" "whether the backing is usable"
    ShardsBad "shards_not_live" "count" "tracked shards that are down, stale or refuse the login"
}

/// Of each kind of command: how many a second, and the time of which half and 99 of 100 took less.
pub(super) const OF_A_KIND: [(&str, &str); 3] =
    [("per_sec", "1/s"), ("p50_us", "us"), ("p99_us", "us")];

/// Looks at everything.
pub(super) struct Observer {
    pub(super) shared: Arc<Shared>,
    fleet: Arc<Fleet>,
    gateway: Arc<Gateway>,
    reloader: Arc<Reloader>,
    pub(super) history: History,
    before: Mutex<Before>,
    backlogs: Arc<Backlogs>,
}

/// What was counted a second ago, and a minute ago.
#[derive(Default)]
struct Before {
    counters: Vec<f64>,
    kinds: Vec<Counts>,
    minute: Vec<Counts>,
}

impl Observer {
    fn new(
        shared: &Arc<Shared>,
        fleet: &Arc<Fleet>,
        gateway: &Arc<Gateway>,
        reloader: Arc<Reloader>,
    ) -> Arc<Self> {
        let kinds = shared.latency.kinds().len();
        Arc::new(Observer {
            shared: Arc::clone(shared),
            fleet: Arc::clone(fleet),
            gateway: Arc::clone(gateway),
            reloader,
            history: History::new(FIGURES.len() + kinds * OF_A_KIND.len()),
            before: Mutex::default(),
            backlogs: Arc::default(),
        })
    }

    /// Begins to look, and says to `observed` who does. On the control runtime.
    pub(super) fn start(
        shared: &Arc<Shared>,
        fleet: &Arc<Fleet>,
        gateway: &Arc<Gateway>,
        bus: &Arc<Hub>,
        reloader: &Arc<Reloader>,
        observed: &OnceLock<Weak<Observer>>,
    ) -> Arc<Self> {
        let observer = Observer::new(shared, fleet, gateway, Arc::clone(reloader));
        let already = observed.set(Arc::downgrade(&observer)).is_err();
        debug_assert!(!already, "started once");
        let own = Arc::clone(&observer);
        let sample = move || Arc::clone(&own).sample();
        tokio::spawn(tasks::keep(Kind::Upkeep, sample));
        let (backlogs, bus) = (Arc::clone(&observer.backlogs), Arc::clone(bus));
        let backing = Arc::clone(&shared.backing);
        let look = move || Arc::clone(&backlogs).look(Arc::clone(&bus), Arc::clone(&backing));
        tokio::spawn(tasks::keep(Kind::Upkeep, look));
        observer
    }

    /// Samples once a second, for ever.
    async fn sample(self: Arc<Self>) {
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        // A late sample is one sample: rates are of the time that has passed.
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = clock.tick().await;
        self.take(1.0);
        loop {
            let now = clock.tick().await;
            self.take(now.duration_since(last).as_secs_f64().max(0.001));
            last = now;
        }
    }

    /// The counters whose rates are shown, in the order of [`FIGURES`]; the ratio's place is left out.
    fn counters(&self) -> Vec<f64> {
        let shared = &self.shared;
        let cache = shared.cache.numbers();
        let cached = |name: &str| {
            let found = cache.iter().find(|(given, _)| *given == name);
            found.map_or(0, |(_, number)| *number)
        };
        let counters = [
            shared.total(|stats| &stats.commands),
            cached("hits"),
            cached("misses"),
            0,
            shared.total(|stats| &stats.forwarded),
            cached("evictions"),
            cached("invalidations"),
            cached("fills"),
            cached("rejected_fills"),
            shared.clients.total_rejected(),
        ];
        let gauges = [
            shared.clients.len() as f64,
            shared.pinned.used() as f64,
            cached("bytes") as f64,
            cached("entries") as f64,
            f64::from(u8::from(shared.backing.is_ready())),
        ];
        let shards = self.fleet.shards();
        let bad = shards.sorted().iter().filter(|shard| {
            let state = self.fleet.status(shard).state.name();
            matches!(state, "down" | "stale" | "authfail")
        });
        let counters = counters.iter().map(|number| *number as f64);
        counters.chain(gauges).chain([bad.count() as f64]).collect()
    }

    fn take(&self, seconds: f64) {
        let now = self.counters();
        let kinds = self.shared.latency.by_kind();
        let mut before = self.before.lock();
        let first = before.counters.is_empty();
        let mut sample = now.clone();
        for at in 0..Place::Clients as usize {
            let then = before.counters.get(at).copied();
            sample[at] = then.map_or(f64::NAN, |then| (now[at] - then).max(0.0) / seconds);
        }
        let (hits, misses) = (sample[Place::Hits as usize], sample[Place::Misses as usize]);
        sample[Place::HitRatio as usize] = hits / (hits + misses);
        for (at, counts) in kinds.iter().enumerate() {
            let since = before.kinds.get(at).map(|then| counts.since(then));
            sample.extend(of_a_kind(since.as_ref(), seconds));
        }
        if before.minute.is_empty() {
            before.minute.clone_from(&kinds);
        }
        let minute = &mut before.minute;
        let whole = || {
            let mut values = Vec::new();
            for (at, counts) in kinds.iter().enumerate() {
                let figures = of_a_kind(Some(&counts.since(&minute[at])), 60.0);
                let place = FIGURES.len() + at * OF_A_KIND.len();
                values.extend(
                    figures
                        .into_iter()
                        .enumerate()
                        .map(|(n, value)| (place + n, value)),
                );
            }
            minute.clone_from(&kinds);
            values
        };
        if !first {
            self.history.add(sample.into(), whole);
        }
        before.counters = now;
        before.kinds = kinds;
    }

    /// The names of all figures, in the order of a sample.
    pub(super) fn names(&self) -> Vec<String> {
        let plain = FIGURES.iter().map(|figure| figure.name.to_owned());
        let kinds = self.shared.latency.kinds().iter().flat_map(|kind| {
            OF_A_KIND
                .iter()
                .map(move |(name, _)| format!("{kind}_{name}"))
        });
        plain.chain(kinds).collect()
    }

    /// What the doctor looks at, without keys and buses that the asker may not use.
    pub(super) fn facts(&self, rights: &Rights) -> Facts {
        let shared = &self.shared;
        let minute = self.history.last_minute();
        let of_late = |place: Place| {
            let value = minute.get(place as usize).copied().unwrap_or(f64::NAN);
            if value.is_nan() { 0.0 } else { value }
        };
        let cache = shared.cache.numbers();
        let cached = |name: &str| {
            cache
                .iter()
                .find(|(n, _)| *n == name)
                .map_or(0, |(_, n)| *n)
        };
        let settings = shared.settings();
        let backing = self.fleet.backing_shard().and_then(|shard| shard.latest());
        let number = |name: &str| {
            backing
                .as_ref()
                .and_then(|latest| latest.snapshot.number(name))
        };
        let policy = backing.as_ref().and_then(|latest| {
            let policy = latest.snapshot.field("maxmemory_policy")?;
            Some(String::from_utf8_lossy(policy).into_owned())
        });
        let watchers = self.fleet.watchers().into_iter();
        let services = self.gateway.stats();
        let instances = services.iter().flat_map(|(_, instances)| instances);
        let down = instances
            .clone()
            .filter(|i| i.state == "down" || i.ejected_ms > 0);
        let forward = FIGURES.len() + OF_A_KIND.len() * 2 + 2;
        let p99_us = minute.get(forward).copied().unwrap_or(f64::NAN);
        Facts {
            upstream_up: shared.backing.is_ready(),
            upstream: shared.backing.address(),
            masters: shared.backing.is_cluster().then(|| {
                let figures = shared.backing.figures();
                MasterFacts {
                    count: figures.masters,
                    away: figures.away,
                    slots_away: usize::from(SLOTS).saturating_sub(figures.slots_served),
                }
            }),
            cache_mode: shared.cache.mode().name(),
            cache_degraded: shared.cache.is_degraded(),
            hits_per_sec: of_late(Place::Hits),
            misses_per_sec: of_late(Place::Misses),
            evictions_per_sec: of_late(Place::Evictions),
            fills_per_sec: of_late(Place::Fills),
            rejected_fills_per_sec: of_late(Place::RejectedFills),
            cache_bytes: (cached("bytes"), cached("max_bytes")),
            cache_entries: (cached("entries"), cached("max_entries")),
            hottest: self
                .hottest()
                .filter(|(key, _)| rights.may_use(key))
                .map(named),
            clients: (shared.clients.len() as u64, settings.limits.clients as u64),
            rejected_clients: (of_late(Place::Rejected) * 60.0).round() as u64,
            pinned: (shared.pinned.used() as u64, settings.limits.pinned as u64),
            forward_p99_ms: if p99_us.is_nan() {
                0.0
            } else {
                p99_us / 1000.0
            },
            slow: self.slow(),
            shards: self.shards(),
            tracked_keys: number("tracking_total_keys"),
            backing_policy: policy,
            failing_watchers: watchers
                .filter_map(|report| Some((report.name.to_string(), report.error?)))
                .collect(),
            services_down: services
                .iter()
                .filter(|(service, _)| service.total > 0 && service.healthy == 0)
                .map(|(service, _)| service.service.clone())
                .collect(),
            instances_down: (down.count() as u64, instances.count() as u64),
            stuck_methods: self.backlogs.stuck(Instant::now(), rights),
            open_addresses: self.open_addresses(),
        }
    }

    fn shards(&self) -> Vec<ShardFacts> {
        let rows = ShardRows::new(&self.fleet);
        let facts = rows.all().into_iter().map(|row| ShardFacts {
            id: row.id,
            state: row.state,
            error: row.error,
            age_ms: row.age_ms,
            lag_bytes: row.lag_bytes,
            link_down: row.link_up == Some(false),
            memory: row.memory_bytes.zip(row.maxmemory_bytes),
            save_failed: row.save_failed,
        });
        facts.collect()
    }

    /// The key with the most hits, and its share of what the sketch of hot keys has seen.
    fn hottest(&self) -> Option<(Vec<u8>, f64)> {
        let hot = self.shared.cache.hottest(1000, |_| true);
        let all: u64 = hot.iter().map(|(_, _, hits)| hits).sum();
        let (_, key, hits) = hot.first()?;
        Some((key.clone(), *hits as f64 / all.max(1) as f64))
    }

    /// Slow commands of the last minute, and the slowest.
    fn slow(&self) -> (u64, Option<(String, f64)>) {
        let entries = self.shared.slowlog.newest(usize::MAX);
        let since = now_ms().saturating_sub(60_000);
        let of_late = entries.iter().filter(|entry| entry.time_ms >= since);
        let slowest = of_late.clone().max_by_key(|entry| entry.spent.backing);
        let slowest = slowest.map(|entry| {
            let name = entry
                .args
                .first()
                .map(|name| String::from_utf8_lossy(name).into_owned());
            (
                name.unwrap_or_default(),
                entry.spent.total().as_secs_f64() * 1000.0,
            )
        });
        (of_late.count() as u64, slowest)
    }

    /// Where other hosts may connect, while nothing protects the server.
    fn open_addresses(&self) -> Vec<String> {
        let settings = self.shared.settings();
        if settings.protected_mode || !settings.access.is_open() {
            return Vec::new();
        }
        let foreign = |address: &String| {
            let host = address
                .rsplit_once(':')
                .map_or(address.as_str(), |(host, _)| host);
            let bare = host.trim_start_matches('[').trim_end_matches(']');
            match bare.parse::<IpAddr>() {
                Ok(ip) => !ip.to_canonical().is_loopback(),
                Err(_) => !bare.eq_ignore_ascii_case("localhost"),
            }
        };
        let addresses = self.reloader.listens_on().into_iter();
        addresses.filter(foreign).collect()
    }
}

fn named((key, share): (Vec<u8>, f64)) -> (String, f64) {
    (String::from_utf8_lossy(&key).into_owned(), share)
}

fn of_a_kind(since: Option<&Counts>, seconds: f64) -> [f64; 3] {
    let Some(since) = since else {
        return [f64::NAN; 3];
    };
    let micros = |time: Option<Duration>| time.map_or(f64::NAN, |time| time.as_secs_f64() * 1e6);
    [
        since.count() as f64 / seconds,
        micros(since.quantile(0.5)),
        micros(since.quantile(0.99)),
    ]
}

/// Milliseconds since 1970.
pub(super) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX))
}
