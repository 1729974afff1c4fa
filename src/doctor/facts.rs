//! What the rules look at.

/// The masters of a cluster that have slots.
#[derive(Debug, Clone, Default)]
pub struct MasterFacts {
    /// How many there are.
    pub count: usize,
    /// The addresses of those that do not answer.
    pub away: Vec<String>,
    /// Slots whose master does not answer, or that have none.
    pub slots_away: usize,
}

/// What is known at one moment. Rates and counts "of late" are those of the last minute.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Whether the backing is usable.
    pub upstream_up: bool,
    /// Its address.
    pub upstream: String,
    /// Of a cluster: its masters with slots.
    pub masters: Option<MasterFacts>,
    /// `tracking`, `expiry` or `off`.
    pub cache_mode: &'static str,
    /// Whether the backing has no tracking that works although it is wanted.
    pub cache_degraded: bool,
    /// Reads answered from the cache a second, of late.
    pub hits_per_sec: f64,
    /// Reads that it could not answer a second, of late.
    pub misses_per_sec: f64,
    /// Keys that had to make room a second, of late.
    pub evictions_per_sec: f64,
    /// Fetched values that were kept a second, of late.
    pub fills_per_sec: f64,
    /// Fetched values that were not kept a second, of late.
    pub rejected_fills_per_sec: f64,
    /// Bytes in the cache, and how many there may be.
    pub cache_bytes: (u64, u64),
    /// Entries in the cache, and how many there may be.
    pub cache_entries: (u64, u64),
    /// The key with the most hits of late, and its share of those that the sketch has seen.
    pub hottest: Option<(String, f64)>,
    /// Clients, and how many there may be.
    pub clients: (u64, u64),
    /// Clients turned away, of late.
    pub rejected_clients: u64,
    /// Connections to the backing of one client's own, and how many there may be.
    pub pinned: (u64, u64),
    /// 99 of 100 forwarded commands took at most so many milliseconds, of late.
    pub forward_p99_ms: f64,
    /// Slow commands of late, and the slowest: its name and milliseconds.
    pub slow: (u64, Option<(String, f64)>),
    /// The tracked shards.
    pub shards: Vec<ShardFacts>,
    /// Keys in the backing's tracking table.
    pub tracked_keys: Option<u64>,
    /// What the backing does when its memory is full.
    pub backing_policy: Option<String>,
    /// Watchers that cannot tell their targets, with why.
    pub failing_watchers: Vec<(String, String)>,
    /// Services of the gateway without a healthy instance.
    pub services_down: Vec<String>,
    /// Instances of the gateway that are down or ejected, and all.
    pub instances_down: (u64, u64),
    /// Methods of the bus whose calls wait while none ends.
    pub stuck_methods: Vec<StuckMethod>,
    /// Addresses on which other hosts may connect, while protected mode is off and there are no users.
    pub open_addresses: Vec<String>,
}

/// A method of the bus whose calls wait while none ends.
#[derive(Debug, Clone, Default)]
pub struct StuckMethod {
    /// Its bus and its name.
    pub name: String,
    /// Calls that no worker has fetched.
    pub queued: u64,
    /// Calls that workers have fetched and not answered.
    pub in_flight: u64,
    /// Workers that are alive and serve it.
    pub workers: u64,
    /// For so long none of its calls has ended.
    pub seconds: u64,
}

/// A tracked shard.
#[derive(Debug, Clone, Default)]
pub struct ShardFacts {
    /// Its id.
    pub id: String,
    /// Its state, as `SHARD.LIST` names it.
    pub state: &'static str,
    /// Why it could not be asked.
    pub error: Option<String>,
    /// How old its INFO is, in milliseconds.
    pub age_ms: Option<u64>,
    /// Bytes that a replica is behind its master.
    pub lag_bytes: Option<u64>,
    /// Whether a replica's link to its master is down.
    pub link_down: bool,
    /// Memory, and how much it may have.
    pub memory: Option<(u64, u64)>,
    /// Whether its last save or rewrite failed.
    pub save_failed: bool,
}
