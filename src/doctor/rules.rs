//! The rules: one table, a test each.

use super::facts::{Facts, MasterFacts, ShardFacts};
use super::naming::{brief, names};
use super::services::{calls_stuck, instances_down, services_down};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Worth knowing.
    Notice,
    /// Something suffers.
    Warning,
    /// Something does not work.
    Critical,
}

/// What was noticed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The name of the rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What it is, the numbers it rests on, and what to do.
    pub text: String,
}

/// One thing to look at.
#[derive(Debug)]
pub struct Rule {
    /// Its name.
    pub name: &'static str,
    severity: Severity,
    look: fn(&Facts) -> Option<String>,
}

/// The share of a limit from which on it is said.
const NEAR: f64 = 0.8;
/// Below so many reads a second a ratio says nothing.
const FEW_READS: f64 = 10.0;
/// Redis' default of `tracking-table-max-keys`.
const TRACKING_TABLE: u64 = 1_000_000;
/// Bytes that a replica may be behind without a word.
const LAG_BYTES: u64 = 16 * 1024 * 1024;
/// All rules.
pub const RULES: &[Rule] = &[
    Rule {
        name: "upstream-down",
        severity: Severity::Critical,
        look: upstream_down,
    },
    Rule {
        name: "shards-down",
        severity: Severity::Critical,
        look: shards_down,
    },
    Rule {
        name: "services-down",
        severity: Severity::Critical,
        look: services_down,
    },
    Rule {
        name: "open-to-all",
        severity: Severity::Critical,
        look: open_to_all,
    },
    Rule {
        name: "clients-rejected",
        severity: Severity::Critical,
        look: clients_rejected,
    },
    Rule {
        name: "calls-stuck",
        severity: Severity::Critical,
        look: calls_stuck,
    },
    Rule {
        name: "replicas-behind",
        severity: Severity::Warning,
        look: replicas_behind,
    },
    Rule {
        name: "shards-stale",
        severity: Severity::Warning,
        look: shards_stale,
    },
    Rule {
        name: "save-failed",
        severity: Severity::Warning,
        look: save_failed,
    },
    Rule {
        name: "memory-full",
        severity: Severity::Warning,
        look: memory_full,
    },
    Rule {
        name: "clients-near-limit",
        severity: Severity::Warning,
        look: clients_near_limit,
    },
    Rule {
        name: "pinned-near-limit",
        severity: Severity::Warning,
        look: pinned_near_limit,
    },
    Rule {
        name: "slow-commands",
        severity: Severity::Warning,
        look: slow_commands,
    },
    Rule {
        name: "slow-backing",
        severity: Severity::Warning,
        look: slow_backing,
    },
    Rule {
        name: "cache-too-small",
        severity: Severity::Warning,
        look: cache_too_small,
    },
    Rule {
        name: "cache-degraded",
        severity: Severity::Warning,
        look: cache_degraded,
    },
    Rule {
        name: "tracking-table-full",
        severity: Severity::Warning,
        look: tracking_table_full,
    },
    Rule {
        name: "uncacheable",
        severity: Severity::Warning,
        look: uncacheable,
    },
    Rule {
        name: "watchers-failing",
        severity: Severity::Warning,
        look: watchers_failing,
    },
    Rule {
        name: "instances-down",
        severity: Severity::Warning,
        look: instances_down,
    },
    Rule {
        name: "cache-of-no-use",
        severity: Severity::Notice,
        look: cache_of_no_use,
    },
    Rule {
        name: "one-hot-key",
        severity: Severity::Notice,
        look: one_hot_key,
    },
];

impl Rule {
    /// What this rule finds.
    #[must_use]
    pub fn examine(&self, facts: &Facts) -> Option<Finding> {
        Some(Finding {
            rule: self.name,
            severity: self.severity,
            text: (self.look)(facts)?,
        })
    }
}

// === how things are said ===

fn share((part, whole): (u64, u64)) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    match bytes {
        b if b >= 1073741824.0 => format!("{:.1} GiB", b / 1073741824.0),
        b if b >= 1048576.0 => format!("{:.1} MiB", b / 1048576.0),
        b if b >= 1024.0 => format!("{:.1} KiB", b / 1024.0),
        b => format!("{b:.0} bytes"),
    }
}

fn some(shards: &[ShardFacts], is: impl Fn(&ShardFacts) -> bool) -> Option<Vec<&ShardFacts>> {
    let found: Vec<_> = shards.iter().filter(|shard| is(shard)).collect();
    (!found.is_empty()).then_some(found)
}

fn ids(shards: &[&ShardFacts]) -> String {
    names(shards.iter().map(|shard| shard.id.as_str()))
}

// === the rules ===

fn upstream_down(facts: &Facts) -> Option<String> {
    (!facts.upstream_up).then(|| {
        if let Some(masters) = &facts.masters {
            return cluster_down(masters);
        }
        format!(
            "The backing Redis {} is not usable: commands for it fail. Look whether it runs, whether its port can be \
             reached from here, and whether the login is right; Respite's log has the last error.",
            facts.upstream
        )
    })
}

fn cluster_down(masters: &MasterFacts) -> String {
    let MasterFacts {
        count,
        away,
        slots_away,
    } = masters;
    let who = match away.len() {
        0 => "each of them answers".to_owned(),
        1 => format!("{} does not answer", names(away.iter().map(String::as_str))),
        _ => format!("{} do not answer", names(away.iter().map(String::as_str))),
    };
    format!(
        "The cluster behind is not usable as a whole, {slots_away} of 16384 slots are not served; of its {count} masters {who}. \
         Commands for these slots wait for up to timeouts.failover, then they fail; all others are served. Look whether these \
         masters run and have replicas, and what CLUSTER INFO says at a node; Respite's log has when it began."
    )
}

fn shards_down(facts: &Facts) -> Option<String> {
    let down = some(&facts.shards, |shard| {
        matches!(shard.state, "down" | "authfail")
    })?;
    let why = down.iter().find_map(|shard| shard.error.as_deref());
    let why = why.map_or_else(String::new, |why| format!(" ({})", brief(why)));
    Some(format!(
        "{} of {} shards cannot be asked: {}{why}. Look whether they run and whether [credentials] has their login.",
        down.len(),
        facts.shards.len(),
        ids(&down)
    ))
}

fn shards_stale(facts: &Facts) -> Option<String> {
    let stale = some(&facts.shards, |shard| shard.state == "stale")?;
    let oldest = stale
        .iter()
        .filter_map(|shard| shard.age_ms)
        .max()
        .unwrap_or(0);
    Some(format!(
        "{} shards fall behind with their INFO: {}, the oldest is {:.1} s old. They answer too slowly, or there are more \
         than fleet.max_concurrent_polls can ask in time.",
        stale.len(),
        ids(&stale),
        oldest as f64 / 1000.0
    ))
}

fn open_to_all(facts: &Facts) -> Option<String> {
    (!facts.open_addresses.is_empty()).then(|| {
        format!(
            "Anybody who reaches {} may do everything: protected mode is off and there are no users. Set \
             access.protected_mode, or name users in [access].",
            names(facts.open_addresses.iter().map(String::as_str))
        )
    })
}

fn clients_rejected(facts: &Facts) -> Option<String> {
    (facts.rejected_clients > 0).then(|| {
        format!(
            "{} clients were turned away in the last minute; {} of {} are connected. Raise limits.clients, or look for \
             clients that do not close their connections (CLIENT LIST).",
            facts.rejected_clients, facts.clients.0, facts.clients.1
        )
    })
}

fn clients_near_limit(facts: &Facts) -> Option<String> {
    (share(facts.clients) >= NEAR && facts.rejected_clients == 0).then(|| {
        format!(
            "{} of {} clients are connected ({}): soon further ones are turned away. Raise limits.clients, or look for \
             clients that do not close their connections.",
            facts.clients.0,
            facts.clients.1,
            percent(share(facts.clients))
        )
    })
}

fn pinned_near_limit(facts: &Facts) -> Option<String> {
    (share(facts.pinned) >= NEAR).then(|| {
        format!(
            "{} of {} connections of one client's own are in use ({}): subscribers, blocked clients and transactions need one \
             each, and get an error when there is none. Raise limits.pinned, and maxclients of the backing with it.",
            facts.pinned.0,
            facts.pinned.1,
            percent(share(facts.pinned))
        )
    })
}

fn replicas_behind(facts: &Facts) -> Option<String> {
    let behind = some(&facts.shards, |shard| {
        shard.link_down || shard.lag_bytes.is_some_and(|lag| lag >= LAG_BYTES)
    })?;
    let lag = behind
        .iter()
        .filter_map(|shard| shard.lag_bytes)
        .max()
        .unwrap_or(0);
    let cut = behind.iter().filter(|shard| shard.link_down).count();
    Some(format!(
        "{} replicas are behind their master: {} (up to {}, {cut} with the link down). What is written may be lost in a failover; \
         look at the network between them and at repl-backlog-size.",
        behind.len(),
        ids(&behind),
        bytes(lag)
    ))
}

fn save_failed(facts: &Facts) -> Option<String> {
    let failed = some(&facts.shards, |shard| shard.save_failed)?;
    Some(format!(
        "{} shards could not save their data the last time: {}. Look at their disk and log before they are restarted.",
        failed.len(),
        ids(&failed)
    ))
}

fn memory_full(facts: &Facts) -> Option<String> {
    let full = some(&facts.shards, |shard| {
        shard.memory.is_some_and(|memory| share(memory) >= 0.9)
    })?;
    let worst = full
        .iter()
        .filter_map(|shard| shard.memory)
        .max_by(|a, b| share(*a).total_cmp(&share(*b)))?;
    let policy = facts.backing_policy.as_deref().unwrap_or("its policy");
    Some(format!(
        "{} shards are near maxmemory: {}, the fullest with {} of {}. When it is full, {policy} decides: keys go, or writes fail.",
        full.len(),
        ids(&full),
        bytes(worst.0),
        bytes(worst.1)
    ))
}

fn slow_commands(facts: &Facts) -> Option<String> {
    let (count, slowest) = &facts.slow;
    let (name, ms) = slowest.as_ref()?;
    (*count > 0).then(|| {
        format!(
            "{count} slow commands in the last minute, the slowest {} with {ms:.0} ms. While the backing works on one, all others \
             wait: RESPITE.SLOWLOG says which and where their time went.",
            brief(name)
        )
    })
}

fn slow_backing(facts: &Facts) -> Option<String> {
    let (count, p99) = (facts.slow.0, facts.forward_p99_ms);
    (count == 0 && p99 >= 5.0).then(|| {
        format!(
            "One in a hundred forwarded commands took more than {p99:.1} ms in the last minute, though none was slow by itself. The \
             backing's processor may be busy, or the network to it."
        )
    })
}

fn hit_ratio(facts: &Facts) -> Option<f64> {
    let reads = facts.hits_per_sec + facts.misses_per_sec;
    (reads >= FEW_READS).then(|| facts.hits_per_sec / reads)
}

fn cache_too_small(facts: &Facts) -> Option<String> {
    let ratio = hit_ratio(facts)?;
    let full = share(facts.cache_bytes).max(share(facts.cache_entries));
    (facts.evictions_per_sec >= 1.0 && full >= NEAR && ratio < 0.9).then(|| {
        let which = if share(facts.cache_bytes) >= share(facts.cache_entries) {
            format!("cache.max_bytes ({})", bytes(facts.cache_bytes.1))
        } else {
            format!("cache.max_entries ({})", facts.cache_entries.1)
        };
        format!(
            "The cache is too small for what is read: {} of its room is used, {:.0} keys a second have to go, and {} of the reads \
             are hits. Raise {which}.",
            percent(full.min(1.0)),
            facts.evictions_per_sec,
            percent(ratio)
        )
    })
}

fn cache_degraded(facts: &Facts) -> Option<String> {
    facts.cache_degraded.then(|| {
        "The backing has no tracking that works, so entries live until cache.expiry and changes made past this Respite are seen \
         that late. Use Redis 7.0.9 or later, or shorten cache.expiry."
            .to_owned()
    })
}

fn tracking_table_full(facts: &Facts) -> Option<String> {
    let keys = facts.tracked_keys?;
    (keys as f64 >= TRACKING_TABLE as f64 * 0.9).then(|| {
        format!(
            "The backing tracks {keys} keys for its clients; at tracking-table-max-keys ({TRACKING_TABLE} unless it was changed) it \
             begins to invalidate keys at random. Raise that setting of the backing, or lower cache.max_entries."
        )
    })
}

fn uncacheable(facts: &Facts) -> Option<String> {
    let (kept, rejected) = (facts.fills_per_sec, facts.rejected_fills_per_sec);
    (rejected >= FEW_READS && rejected > kept).then(|| {
        format!(
            "{rejected:.0} of {:.0} values a second that were fetched for the cache could not be kept: they are larger than \
             cache.max_value_bytes, about to expire, or written as often as they are read. Exclude such keys (cache.exclude) to spare \
             the fetches, or raise cache.max_value_bytes.",
            kept + rejected
        )
    })
}

fn cache_of_no_use(facts: &Facts) -> Option<String> {
    let ratio = hit_ratio(facts)?;
    (ratio < 0.2 && facts.evictions_per_sec < 1.0 && facts.cache_mode != "off").then(|| {
        format!(
            "Only {} of {:.0} reads a second are hits, though the cache has room: keys are read once, or change between reads. \
             CACHE.HOTKEYS shows what is read often; cache.include limits the cache to it.",
            percent(ratio),
            facts.hits_per_sec + facts.misses_per_sec
        )
    })
}

fn one_hot_key(facts: &Facts) -> Option<String> {
    let (key, part) = facts.hottest.as_ref()?;
    (*part >= 0.5 && facts.hits_per_sec >= 1000.0).then(|| {
        format!(
            "One key has {} of {:.0} hits a second: '{}'. It costs little here, but whoever writes it takes it away from all; if it \
             was not in the cache, one shard would carry all that.",
            percent(*part),
            facts.hits_per_sec,
            brief(key)
        )
    })
}

fn watchers_failing(facts: &Facts) -> Option<String> {
    let (name, why) = facts.failing_watchers.first()?;
    Some(format!(
        "{} sources of shards cannot be read, '{}' for one: {}. The shards that they named last stay tracked.",
        facts.failing_watchers.len(),
        brief(name),
        brief(why)
    ))
}
