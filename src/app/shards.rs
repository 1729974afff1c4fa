//! The shards with what one wants to see of each at a glance.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::fleet::{Fleet, Latest, Role, Status};

/// A shard.
#[derive(Debug, Serialize)]
pub(super) struct ShardRow {
    pub(super) id: String,
    pub(super) addr: String,
    pub(super) role: Option<&'static str>,
    pub(super) state: &'static str,
    pub(super) age_ms: Option<u64>,
    pub(super) interval_ms: u64,
    pub(super) ops_per_sec: Option<u64>,
    pub(super) memory_bytes: Option<u64>,
    pub(super) maxmemory_bytes: Option<u64>,
    pub(super) clients: Option<u64>,
    /// Bytes that a replica is behind its master, when that is tracked too.
    pub(super) lag_bytes: Option<u64>,
    /// Whether a replica is connected to its master.
    pub(super) link_up: Option<bool>,
    pub(super) version: Option<String>,
    pub(super) source: String,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) failures: u32,
    pub(super) error: Option<String>,
    #[serde(skip)]
    pub(super) save_failed: bool,
}

/// All shards at one moment.
pub(super) struct ShardRows {
    statuses: Vec<Status>,
    /// What masters say of their replicas: bytes behind, by address.
    lags: HashMap<String, u64>,
}

impl ShardRows {
    pub(super) fn new(fleet: &Fleet) -> Self {
        let shards = fleet.shards();
        let statuses: Vec<Status> = shards
            .sorted()
            .iter()
            .map(|shard| fleet.status(shard))
            .collect();
        let latest = statuses.iter().filter_map(|status| status.latest.as_ref());
        let masters = latest.filter(|latest| latest.role == Some(Role::Master));
        let lags = masters.flat_map(|latest| replicas_of(latest)).collect();
        ShardRows { statuses, lags }
    }

    pub(super) fn all(&self) -> Vec<ShardRow> {
        self.statuses
            .iter()
            .map(|status| self.row(status))
            .collect()
    }

    fn row(&self, status: &Status) -> ShardRow {
        let latest = status.latest.as_ref();
        let number = |name: &str| latest.and_then(|latest| latest.snapshot.number(name));
        let text = |name: &str| latest.and_then(|latest| latest.snapshot.field(name));
        let addr = status.target.endpoint.address.to_string();
        let millis =
            |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // A Valkey has both, and in the first what Redis it takes after.
        let version = text("valkey_version").or_else(|| text("redis_version"));
        let version = version.map(|text| String::from_utf8_lossy(text).into_owned());
        let failed = |name| text(name).is_some_and(|text| text == b"err");
        ShardRow {
            id: status.id.to_string(),
            role: latest.and_then(|latest| latest.role).map(Role::name),
            state: status.state.name(),
            age_ms: status.age.map(millis),
            interval_ms: millis(status.interval),
            ops_per_sec: latest.and_then(|latest| latest.ops_per_sec),
            memory_bytes: number("used_memory"),
            maxmemory_bytes: number("maxmemory").filter(|most| *most > 0),
            clients: number("connected_clients"),
            lag_bytes: self.lags.get(&addr).copied(),
            link_up: text("master_link_status").map(|status| status == b"up"),
            version,
            source: status.source.to_string(),
            labels: status.target.labels.clone(),
            failures: status.failures,
            error: status.error.as_deref().map(str::to_owned),
            save_failed: failed("rdb_last_bgsave_status") || failed("aof_last_write_status"),
            addr,
        }
    }
}

/// `slave0:ip=10.0.0.2,port=6379,state=online,offset=1234,lag=0`
fn replicas_of(latest: &Latest) -> Vec<(String, u64)> {
    let snapshot = &latest.snapshot;
    let Some(ours) = snapshot.number("master_repl_offset") else {
        return Vec::new();
    };
    let count = snapshot.number("connected_slaves").unwrap_or(0).min(64);
    let each = (0..count).filter_map(|n| {
        let line = snapshot.field(&format!("slave{n}"))?;
        let line = std::str::from_utf8(line).ok()?;
        let part = |name: &str| {
            line.split(',')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let offset: u64 = part("offset")?.parse().ok()?;
        let addr = format!("{}:{}", part("ip")?, part("port")?);
        Some((addr, ours.saturating_sub(offset)))
    });
    each.collect()
}
