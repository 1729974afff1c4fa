//! The validated configuration as a whole.

use super::{
    Access, BusSettings, CacheSettings, ClusterSettings, Credential, FleetSettings, FleetTargets,
    GatewaySettings, Http, Limits, ListenAddr, OnLoss, SlowlogSettings, Source, Timeouts, Tls,
    Upstream, load,
};
use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr};

/// Everything that can be configured, checked and immutable. Shared as one value; a reload makes a new one.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect; at least one.
    pub listen: Vec<ListenAddr>,
    /// The Redis behind, its login already filled in.
    pub upstream: Upstream,
    /// The name of the credential that the upstream's login came from.
    pub upstream_credential: Option<String>,
    /// The name of the credential that the login of the sentinels came from.
    pub sentinel_credential: Option<String>,
    /// What clients are told when a connection to the upstream is lost.
    pub upstream_on_loss: OnLoss,
    /// Worker threads; 0 is to be chosen from the cores. At most 1024.
    pub workers: usize,
    /// Where the embedded Redis keeps its data; without it, it keeps none.
    pub data_dir: Option<PathBuf>,
    /// How log lines look.
    pub log_format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace` or `off`.
    pub log_level: String,
    /// `[http]`.
    pub http: Http,
    /// `[limits]`.
    pub limits: Limits,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `[cache]`.
    pub cache: CacheSettings,
    /// `[fleet]`.
    pub fleet: FleetSettings,
    /// Where the servers come from that the fleet tracks.
    pub targets: FleetTargets,
    /// `[gateway]`.
    pub gateway: GatewaySettings,
    /// `[bus]`.
    pub bus: BusSettings,
    /// `[slowlog]`.
    pub slowlog: SlowlogSettings,
    /// `[cluster]`.
    pub cluster: ClusterSettings,
    /// `[tls]`.
    pub tls: Tls,
    /// `[access]`.
    pub access: Access,
    /// `[credentials.NAME]`, by name.
    pub credentials: BTreeMap<String, Credential>,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: one compact line per event.
    Text,
    /// For machines: one JSON object per line.
    Json,
}

// === impl Config ===

impl Default for Config {
    /// Returns the defaults: `config/respite.toml` as it is, no file, no environment.
    fn default() -> Self {
        load(&Source::default(), []).expect("the built-in respite.toml is valid: a test loads it")
    }
}

impl Config {
    /// Returns the keys that differ in `new` and take effect at the next start only.
    pub fn changes_needing_restart(&self, new: &Self) -> Vec<&'static str> {
        let other_users = self.access.users_of != new.access.users_of;
        let changes = [
            ("upstream", !self.upstream.may_become(&new.upstream)),
            ("workers", self.workers != new.workers),
            ("data_dir", self.data_dir != new.data_dir),
            ("log_format", self.log_format != new.log_format),
            ("access.users_of", other_users),
            // They wait with the users that they are about.
            (
                "access.deny",
                other_users && self.access.deny != new.access.deny,
            ),
            (
                "access.scripts",
                other_users && self.access.scripts != new.access.scripts,
            ),
        ];
        changes
            .into_iter()
            .filter_map(|(key, changed)| changed.then_some(key))
            .collect()
    }

    /// Returns these settings with the values before where others take effect at the next start.
    #[must_use]
    pub fn waiting_for_restart(self, before: &Self) -> Self {
        let upstream = match before.upstream.may_become(&self.upstream) {
            true => self.upstream,
            false => before.upstream.clone(),
        };
        let access = match before.access.users_of == self.access.users_of {
            true => self.access,
            false => Access {
                protected_mode: self.access.protected_mode,
                ..before.access.clone()
            },
        };
        Config {
            upstream,
            access,
            workers: before.workers,
            data_dir: before.data_dir.clone(),
            log_format: before.log_format,
            ..self
        }
    }

    /// Returns the upstream as the key `upstream` gives it: without a login that a credential gave.
    pub(super) fn upstream_url(&self) -> Upstream {
        let mut upstream = self.upstream.clone();
        if let (Some((user, password)), Some(_)) = (upstream.login(), &self.upstream_credential) {
            (*user, *password) = (None, None);
        }
        if let Upstream::Sentinel(set) = &mut upstream {
            set.sentinel_user = None;
            set.sentinel_password = None;
        }
        upstream
    }
}

// === impl LogFormat ===

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Json => "json",
        })
    }
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be \"text\" or \"json\""),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::file;

    #[test]
    fn only_what_a_reload_cannot_change_needs_a_restart() {
        let cred = |password: &str| format!("[credentials.a]\npassword = \"{password}\"");
        for (old, new, expected) in [
            (String::new(), String::new(), &[][..]),
            (String::new(), "upstream = \"redis://h\"".into(), &["upstream"]),
            ("upstream = \"redis://:a@h\"".into(), "upstream = \"redis://:b@i\"".into(), &[]),
            ("upstream = \"redis://h\"".into(), "upstream = \"redis://h/1\"".into(), &["upstream"]),
            (cred("a"), cred("b"), &[]),
            (String::new(), "workers = 1".into(), &["workers"]),
            (String::new(), "data_dir = \"d\"".into(), &["data_dir"]),
            (String::new(), "log_format = \"json\"".into(), &["log_format"]),
            (String::new(), "cache.mode = \"off\"".into(), &[]),
            (String::new(), "tls.upstream_ca = \"u\"".into(), &[]),
            (String::new(), "http.token = \"t\"".into(), &[]),
            (
                String::new(),
                "listen = \"h:1\"\nhttp.listen = \"\"\nbus.worker_ttl = 5\ngateway.services = \"s\"\ncache.max_bytes = 1\nlog_level = \"warn\"\nlimits.clients = 1\ntimeouts.idle = 1\naccess.deny = [\"x\"]".into(),
                &[],
            ),
        ] {
            let old = file(&old).expect("valid");
            let new = file(&new).expect("valid");
            assert_eq!(old.changes_needing_restart(&new), expected, "{new:?}");
            assert_eq!(new.changes_needing_restart(&old), expected, "{new:?}");
        }
    }
}
