//! The effective configuration as TOML, as `respite check-config` shows it.

use super::{
    Config, Credential, ListenAddr, Upstream, UserConfig, UserPassword, listen::ListenList,
    period::Period, raw, secret::MASK, size::Size,
};
use std::{path::PathBuf, time::Duration};

impl Config {
    /// Prints every key with its value, in the order of `config/respite.toml`.
    ///
    /// Passwords and their hashes are `***`; but for those, it loads as the same configuration.
    pub fn to_toml(&self) -> String {
        toml::to_string(&raw(self)).expect("strings, numbers and tables with text keys are TOML")
    }
}

fn raw(config: &Config) -> raw::Config {
    raw::Config {
        listen: ListenList(config.listen.iter().map(ListenAddr::to_string).collect()),
        upstream: match config.upstream_url() {
            embedded @ (Upstream::Embedded | Upstream::EmbeddedCluster(_)) => embedded.to_string(),
            Upstream::Single(endpoint) => endpoint.masked(),
            Upstream::Sentinel(set) => set.masked(),
            Upstream::Cluster(seeds) => seeds.masked(),
        },
        upstream_credential: config.upstream_credential.clone().unwrap_or_default(),
        sentinel_credential: config.sentinel_credential.clone().unwrap_or_default(),
        upstream_on_loss: config.upstream_on_loss.to_string(),
        workers: integer(config.workers),
        data_dir: text(config.data_dir.as_ref()),
        log_format: config.log_format.to_string(),
        log_level: config.log_level.clone(),
        http: super::http::to_raw(&config.http),
        cache: super::cache::to_raw(&config.cache),
        fleet: super::fleet::to_raw(&config.fleet, &config.targets),
        gateway: super::gateway::to_raw(&config.gateway),
        bus: super::bus::to_raw(&config.bus),
        cluster: super::cluster_settings::to_raw(&config.cluster),
        slowlog: super::slowlog::to_raw(&config.slowlog),
        limits: raw::Limits {
            clients: integer(config.limits.clients),
            request_bytes: size(config.limits.request_bytes),
            bulk_bytes: size(config.limits.bulk_bytes),
            client_output_bytes: size(config.limits.client_output_bytes),
            memory: size(config.limits.memory),
            client_in_flight: integer(config.limits.client_in_flight),
            upstream_in_flight: integer(config.limits.upstream_in_flight),
            pinned: integer(config.limits.pinned),
        },
        timeouts: raw::Timeouts {
            connect: Period(config.timeouts.connect),
            failover: Period(config.timeouts.failover),
            reply: period(config.timeouts.reply),
            drain: Period(config.timeouts.drain),
            handover: Period(config.timeouts.handover),
            idle: period(config.timeouts.idle),
        },
        tls: tls(config),
        access: raw::Access {
            protected_mode: config.access.protected_mode,
            deny: config.access.deny.clone(),
            scripts: config.access.scripts,
            users_of: config.access.users_of.to_string(),
            users: config.access.users.iter().map(user).collect(),
        },
        credentials: config
            .credentials
            .iter()
            .map(|(name, entry)| (name.clone(), credential(entry)))
            .collect(),
    }
}

fn tls(config: &Config) -> raw::Tls {
    let server = config.tls.server.as_ref();
    raw::Tls {
        cert: text(server.map(|tls| &tls.cert)),
        key: text(server.map(|tls| &tls.key)),
        client_ca: text(server.and_then(|tls| tls.client_ca.as_ref())),
        upstream_ca: text(config.tls.upstream_ca.as_ref()),
    }
}

fn user(user: &UserConfig) -> raw::User {
    raw::User {
        name: user.name.clone(),
        password_sha256: match user.password {
            UserPassword::Sha256(_) => MASK.to_owned(),
            UserPassword::Hash(_) => String::new(),
        },
        password_hash: match user.password {
            UserPassword::Sha256(_) => super::Secret::default(),
            UserPassword::Hash(_) => super::Secret::new(MASK),
        },
        commands: user.commands.clone(),
        keys: user.keys.clone(),
        channels: user.channels.clone(),
    }
}

fn credential(credential: &Credential) -> raw::Credential {
    raw::Credential {
        user: credential.user.clone(),
        password: match credential.password_file {
            Some(_) => super::Secret::default(),
            None => credential.password.clone(),
        },
        password_file: text(credential.password_file.as_ref()),
        meant_for: credential.meant_for.texts(),
    }
}

fn text(path: Option<&PathBuf>) -> String {
    path.map_or_else(String::new, |path| path.display().to_string())
}

fn integer(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn size(bytes: usize) -> Size {
    Size(u64::try_from(bytes).unwrap_or(u64::MAX))
}

fn period(duration: Option<Duration>) -> Period {
    Period(duration.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{HASH, file, written};

    #[test]
    fn the_defaults_print_as_the_example() {
        let printed: toml::Table = Config::default().to_toml().parse().expect("TOML");
        let example: toml::Table = include_str!("../../config/respite.toml")
            .parse()
            .expect("TOML");
        let keys = |table| crate::config::merge::known_keys(table);
        assert_eq!(keys(&printed), keys(&example));
        assert_eq!(file(&Config::default().to_toml()), Ok(Config::default()));
    }

    #[test]
    fn what_is_printed_loads_as_the_same() {
        let password = written("hush\n");
        let text = format!(
            "listen = [\"[::1]:1\", \"h:2\"]\nupstream = \"rediss://h:1/3\"\nupstream_credential = \"a\"\n\
             workers = 4\nlog_format = \"json\"\n[http]\nlisten = \"\"\n[limits]\nclient_output_bytes = \"3MB\"\n\
             [timeouts]\nreply = 0\nidle = \"90s\"\n[access]\ndeny = [\"keys\"]\n\
             [tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\nupstream_ca = \"up\"\n\
             [credentials.a]\nuser = \"u\"\npassword_file = '{}'\nfor = [\"10.0.0.0/8:1\"]",
            password.path().display()
        );
        let config = file(&text).expect("valid");
        assert_eq!(file(&config.to_toml()), Ok(config));
    }

    #[test]
    fn secrets_are_shown_nowhere() {
        for upstream in ["redis://u:hush@h", "redis://:hush@h"] {
            let text = format!(
                "upstream = \"{upstream}\"\n[credentials.a]\npassword = \"hush\"\n\
                 [[access.users]]\nname = \"n\"\npassword_sha256 = \"{HASH}\"",
            );
            let config = file(&text).expect("valid");
            let printed = config.to_toml();
            assert!(printed.contains(":***@h:6379/0\""), "{printed}");
            assert!(printed.contains("password = \"***\""), "{printed}");
            assert!(printed.contains("password_sha256 = \"***\""), "{printed}");
            let debug = format!("{config:?}");
            let display = config.upstream.to_string();
            for shown in [printed, debug, display] {
                assert!(!shown.contains("hush"), "{shown}");
                assert!(!shown.contains(HASH), "{shown}");
                assert!(!shown.contains("94, 136, 72"), "{shown}");
            }
        }
    }
}
