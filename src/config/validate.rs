//! From the keys as they were read to the [`Config`] that everything else relies on.

use super::{
    Access, Config, Credential, Limits, ListenAddr, LogFormat, OnLoss, Timeouts, Tls, Upstream,
    UsersOf, bus, cache, cluster_settings, error::Problems, fleet, fleet_targets, gateway, http,
    lists::path, raw, slowlog,
};
use std::collections::{BTreeMap, HashSet};

/// More threads than any machine this runs on has cores.
const MAX_WORKERS: usize = 1024;

const LOG_LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Makes a [`Config`]. It means something only if no problem was added.
pub(super) fn config(raw: raw::Config, problems: &mut Problems) -> Config {
    let credentials: BTreeMap<_, _> = raw
        .credentials
        .into_iter()
        .map(|(name, credential)| {
            if name.is_empty() {
                problems.invalid("credentials", "a name must not be empty");
            }
            let credential = Credential::validate(&name, credential, problems);
            (name, credential)
        })
        .collect();
    let listen = listen(&raw.listen.0, problems);
    let access = Access::validate(raw.access, problems);
    let http = http::validate(raw.http, &listen, problems);
    let upstream_credential = some(raw.upstream_credential);
    let sentinel_credential = some(raw.sentinel_credential);
    let data_dir = path(&raw.data_dir);
    let upstream = match raw.upstream.parse() {
        Ok(mut upstream) => {
            log_in(
                &mut upstream,
                upstream_credential.as_deref(),
                &credentials,
                problems,
            );
            log_in_to_sentinels(
                &mut upstream,
                sentinel_credential.as_deref(),
                &credentials,
                problems,
            );
            if data_dir.is_some() && !upstream.is_embedded() {
                problems.invalid("data_dir", "needs upstream = \"embedded\"");
            }
            upstream
        }
        Err(reason) => {
            problems.invalid("upstream", reason);
            Upstream::Embedded
        }
    };
    if access.users_of == UsersOf::Backing && upstream.is_embedded() {
        problems.invalid(
            "access.users_of",
            "\"backing\" needs an upstream of yours: clients may not change the users of the embedded Redis",
        );
    }
    Config {
        listen,
        upstream,
        upstream_credential,
        sentinel_credential,
        upstream_on_loss: raw.upstream_on_loss.parse().unwrap_or_else(|reason| {
            problems.invalid("upstream_on_loss", reason);
            OnLoss::Close
        }),
        workers: workers(raw.workers, problems),
        data_dir,
        log_format: raw.log_format.parse().unwrap_or_else(|reason| {
            problems.invalid("log_format", reason);
            LogFormat::Text
        }),
        log_level: log_level(&raw.log_level, problems),
        http,
        limits: Limits::validate(&raw.limits, problems),
        timeouts: Timeouts::validate(&raw.timeouts, problems),
        cache: cache::validate(raw.cache, problems),
        fleet: fleet::validate(&raw.fleet, problems),
        targets: fleet_targets::validate(raw.fleet, &credentials, problems),
        gateway: gateway::validate(&raw.gateway, problems),
        bus: bus::validate(&raw.bus, problems),
        cluster: cluster_settings::validate(&raw.cluster, problems),
        slowlog: slowlog::validate(&raw.slowlog, problems),
        tls: Tls::validate(&raw.tls, problems),
        access,
        credentials,
    }
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

fn workers(value: i64, problems: &mut Problems) -> usize {
    match usize::try_from(value) {
        Ok(workers) if workers <= MAX_WORKERS => workers,
        _ => {
            problems.invalid("workers", format!("must be from 0 to {MAX_WORKERS}"));
            0
        }
    }
}

fn log_level(text: &str, problems: &mut Problems) -> String {
    let level = text.to_ascii_lowercase();
    if !LOG_LEVELS.contains(&level.as_str()) {
        let levels = LOG_LEVELS.join(", ");
        problems.invalid("log_level", format!("must be one of {levels}"));
    }
    level
}

fn listen(texts: &[String], problems: &mut Problems) -> Vec<ListenAddr> {
    if texts.is_empty() {
        problems.invalid("listen", "must be HOST:PORT or a list of them");
    }
    let mut seen = HashSet::new();
    let mut addresses = Vec::with_capacity(texts.len());
    for text in texts {
        match text.parse::<ListenAddr>() {
            Ok(address) => {
                if !seen.insert(address.clone()) && !address.is_ephemeral() {
                    problems.invalid("listen", format!("has {address} twice"));
                }
                addresses.push(address);
            }
            Err(reason) => problems.invalid("listen", reason),
        }
    }
    addresses
}

/// Fills the login of the named credential in.
fn log_in(
    upstream: &mut Upstream,
    name: Option<&str>,
    credentials: &BTreeMap<String, Credential>,
    problems: &mut Problems,
) {
    const KEY: &str = "upstream_credential";
    let Some(name) = name else { return };
    let Some(credential) = credentials.get(name) else {
        problems.invalid(KEY, format!("there is no [credentials.{name}]"));
        return;
    };
    match upstream.login() {
        None => problems.invalid(KEY, "cannot be given with upstream = \"embedded\""),
        Some((Some(_), _) | (_, Some(_))) => {
            problems.invalid(KEY, "cannot be given with a user or password in upstream");
        }
        Some((user, password)) => {
            *user = Some(credential.user.clone());
            *password = Some(credential.password.clone());
        }
    }
}

/// Fills the login at the sentinels in.
fn log_in_to_sentinels(
    upstream: &mut Upstream,
    name: Option<&str>,
    credentials: &BTreeMap<String, Credential>,
    problems: &mut Problems,
) {
    const KEY: &str = "sentinel_credential";
    let Some(name) = name else { return };
    let Upstream::Sentinel(set) = upstream else {
        problems.invalid(KEY, "needs an upstream of sentinels");
        return;
    };
    match credentials.get(name) {
        None => problems.invalid(KEY, format!("there is no [credentials.{name}]")),
        Some(credential) => {
            set.sentinel_user = Some(credential.user.clone());
            set.sentinel_password = Some(credential.password.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{file, problems};

    #[test]
    fn listeners_are_checked() {
        assert_eq!(
            problems("listen = []\nhttp.listen = \"8008\""),
            [
                "listen: must be HOST:PORT or a list of them",
                "http.listen: \"8008\" is not HOST:PORT: it has no port"
            ]
        );
        assert_eq!(
            problems(
                "listen = [\"127.0.0.1:1\", \"h:99999\", \"127.0.0.1:1\"]\nhttp.listen = \"127.0.0.1:1\""
            ),
            [
                "listen: \"h:99999\" is not HOST:PORT: the port is not a number up to 65535",
                "listen: has 127.0.0.1:1 twice",
                "http.listen: 127.0.0.1:1 is in listen already"
            ]
        );
        assert_eq!(
            problems("listen = 7379"),
            ["listen: must be HOST:PORT or a list of them"]
        );
        let config =
            file("listen = [\"localhost:0\", \"localhost:0\"]\nhttp.listen = \"localhost:0\"");
        assert_eq!(
            config.expect("the system chooses three ports").listen.len(),
            2
        );
    }

    #[test]
    fn impossible_values_are_refused() {
        for (text, refused) in [
            ("workers = 1025", "workers: must be from 0 to 1024"),
            ("workers = -1", "workers: must be from 0 to 1024"),
            (
                "log_format = \"xml\"",
                "log_format: must be \"text\" or \"json\"",
            ),
            (
                "log_level = \"loud\"",
                "log_level: must be one of error, warn, info, debug, trace, off",
            ),
            (
                "data_dir = \"d\"\nupstream = \"redis://h\"",
                "data_dir: needs upstream = \"embedded\"",
            ),
            (
                "upstream = \"cluster://a:1,b:2/3\"",
                "upstream: a cluster has database 0 only, and its URL no parameters",
            ),
        ] {
            assert_eq!(problems(text), [refused]);
        }
        assert_eq!(file("workers = 1024").expect("valid").workers, 1024);
        assert_eq!(
            file("log_level = \"WARN\"").expect("valid").log_level,
            "warn"
        );
    }
}
