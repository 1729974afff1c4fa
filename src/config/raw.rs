//! The keys as serde reads and writes them, before anything is known to make sense.
//!
//! It holds no defaults: those are in `config/respite.toml`. The exceptions are the tables of which
//! there may be many, such as users and credentials; their keys are listed here too. Nothing here is `Debug`,
//! because an upstream's URL may hold a password.

use super::{Secret, listen::ListenList, period::Period, size::Size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub(super) listen: ListenList,
    pub(super) upstream: String,
    pub(super) upstream_credential: String,
    pub(super) sentinel_credential: String,
    pub(super) upstream_on_loss: String,
    pub(super) workers: i64,
    pub(super) data_dir: String,
    pub(super) log_format: String,
    pub(super) log_level: String,
    pub(super) http: Http,
    pub(super) limits: Limits,
    pub(super) timeouts: Timeouts,
    pub(super) cache: Cache,
    pub(super) fleet: Fleet,
    pub(super) gateway: Gateway,
    pub(super) bus: Bus,
    pub(super) slowlog: Slowlog,
    pub(super) cluster: Cluster,
    pub(super) tls: Tls,
    pub(super) access: Access,
    pub(super) credentials: BTreeMap<String, Credential>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Http {
    pub(super) listen: String,
    pub(super) token: Secret,
    pub(super) basic_auth: bool,
    pub(super) hosts: Vec<String>,
    pub(super) fleet_metrics: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Limits {
    pub(super) clients: i64,
    pub(super) request_bytes: Size,
    pub(super) bulk_bytes: Size,
    pub(super) client_output_bytes: Size,
    pub(super) memory: Size,
    pub(super) client_in_flight: i64,
    pub(super) upstream_in_flight: i64,
    pub(super) pinned: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Timeouts {
    pub(super) connect: Period,
    pub(super) failover: Period,
    pub(super) reply: Period,
    pub(super) drain: Period,
    pub(super) handover: Period,
    pub(super) idle: Period,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cache {
    pub(super) mode: String,
    pub(super) max_entries: i64,
    pub(super) max_bytes: Size,
    pub(super) expiry: Period,
    pub(super) max_value_bytes: Size,
    pub(super) max_variants: i64,
    pub(super) commands: Vec<String>,
    pub(super) include: Vec<String>,
    pub(super) exclude: Vec<String>,
    pub(super) staleness_max: Period,
    pub(super) strict: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Slowlog {
    pub(super) slower_than: Period,
    pub(super) max_len: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Bus {
    pub(super) worker_ttl: Period,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Cluster {
    pub(super) announce: String,
    pub(super) split_writes: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Fleet {
    pub(super) interval_min: Period,
    pub(super) interval_max: Period,
    pub(super) interval_step: Period,
    pub(super) active_ops: i64,
    pub(super) inactive_ops: i64,
    pub(super) timeout: Period,
    pub(super) grace: i64,
    pub(super) max_concurrent_polls: i64,
    pub(super) max_added: i64,
    pub(super) info: String,
    pub(super) share: bool,
    #[serde(rename = "static")]
    pub(super) listed: Vec<StaticTarget>,
    pub(super) file: FleetFile,
    pub(super) local: FleetLocal,
    pub(super) discovery: FleetDiscovery,
}

/// The keys of [`StaticTarget`].
pub(super) const STATIC_KEYS: [&str; 4] = ["id", "addr", "credential", "labels"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticTarget {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) addr: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) credential: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) labels: BTreeMap<String, String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetFile {
    pub(super) paths: Vec<String>,
    pub(super) rescan: Period,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetLocal {
    pub(super) enabled: bool,
    pub(super) rescan: Period,
    pub(super) names: Vec<String>,
    pub(super) credentials: Vec<LocalRule>,
}

/// The keys of [`LocalRule`].
pub(super) const LOCAL_RULE_KEYS: [&str; 4] = ["port", "name", "credential", "tls"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalRule {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) port: Option<i64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) credential: String,
    #[serde(default)]
    pub(super) tls: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FleetDiscovery {
    pub(super) services: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gateway {
    pub(super) listen: String,
    pub(super) services: String,
    pub(super) threads: i64,
    pub(super) connections: i64,
    pub(super) connect: Period,
    pub(super) timeout: Period,
    pub(super) idle: Period,
    pub(super) retry_bytes: Size,
    pub(super) forward_bytes: Size,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    pub(super) cert: String,
    pub(super) key: String,
    pub(super) client_ca: String,
    pub(super) upstream_ca: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Access {
    pub(super) protected_mode: bool,
    pub(super) deny: Vec<String>,
    pub(super) scripts: bool,
    pub(super) users_of: String,
    pub(super) users: Vec<User>,
}

/// The keys of [`User`].
pub(super) const USER_KEYS: [&str; 6] = [
    "name",
    "password_sha256",
    "password_hash",
    "commands",
    "keys",
    "channels",
];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct User {
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) password_sha256: String,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(super) password_hash: Secret,
    #[serde(default = "all_commands")]
    pub(super) commands: Vec<String>,
    #[serde(default = "everything")]
    pub(super) keys: Vec<String>,
    #[serde(default = "everything")]
    pub(super) channels: Vec<String>,
}

/// The keys of [`Credential`].
pub(super) const CREDENTIAL_KEYS: [&str; 4] = ["user", "password", "password_file", "for"];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credential {
    #[serde(default = "default_user")]
    pub(super) user: String,
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(super) password: Secret,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) password_file: String,
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    pub(super) meant_for: Vec<String>,
}

fn all_commands() -> Vec<String> {
    vec!["@all".to_owned()]
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

fn default_user() -> String {
    "default".to_owned()
}

fn is_empty(secret: &Secret) -> bool {
    secret.expose().is_empty()
}
