//! `[http]`: the admin listener and who may use it.

use super::{ListenAddr, Secret, error::Problems, raw};

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it listens; without it, there is none.
    pub listen: Option<ListenAddr>,
    /// The token that requests have to bring; without it, none is accepted.
    pub token: Option<Secret>,
    /// Whether requests may bring the name and password of a user of `[access]` instead.
    pub basic_auth: bool,
    /// The names that requests may call this server by, beside addresses and `localhost`; in lower case.
    pub hosts: Vec<String>,
    /// Whether `/metrics` has every shard.
    pub fleet_metrics: bool,
}

pub(super) fn validate(raw: raw::Http, listen: &[ListenAddr], problems: &mut Problems) -> Http {
    for (index, host) in raw.hosts.iter().enumerate() {
        if host.is_empty()
            || !host
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
        {
            let key = format!("http.hosts[{index}]");
            problems.invalid(key, "must be the name of a host, without a port");
        }
    }
    if raw.token.expose().contains(|c: char| !c.is_ascii_graphic()) {
        problems.invalid("http.token", "must have no spaces and be ASCII");
    }
    Http {
        listen: address(&raw.listen, listen, problems),
        token: Some(raw.token).filter(|token| !token.expose().is_empty()),
        basic_auth: raw.basic_auth,
        hosts: raw
            .hosts
            .iter()
            .map(|host| host.to_ascii_lowercase())
            .collect(),
        fleet_metrics: raw.fleet_metrics,
    }
}

fn address(text: &str, listen: &[ListenAddr], problems: &mut Problems) -> Option<ListenAddr> {
    if text.is_empty() {
        return None;
    }
    match text.parse::<ListenAddr>() {
        Ok(address) => {
            if listen.contains(&address) && !address.is_ephemeral() {
                problems.invalid("http.listen", format!("{address} is in listen already"));
            }
            Some(address)
        }
        Err(reason) => {
            problems.invalid("http.listen", reason);
            None
        }
    }
}

/// Reads the settings back, for the effective configuration.
pub(super) fn to_raw(http: &Http) -> raw::Http {
    raw::Http {
        listen: http
            .listen
            .as_ref()
            .map_or_else(String::new, ListenAddr::to_string),
        token: http.token.clone().unwrap_or_default(),
        basic_auth: http.basic_auth,
        hosts: http.hosts.clone(),
        fleet_metrics: http.fleet_metrics,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{file, problems};

    #[test]
    fn a_token_is_kept_and_not_shown() {
        let config = file("http.token = \"hush-hush\"").expect("valid");
        assert!(config.http.token.is_some());
        let shown = format!("{config:?}{}", config.to_toml());
        assert!(!shown.contains("hush"), "{shown}");
        let text = "http.token = \"hu sh\"";
        assert_eq!(
            problems(text),
            ["http.token: must have no spaces and be ASCII"]
        );
    }

    #[test]
    fn hosts_are_names() {
        let config = file("http.hosts = [\"Respite.example\", \"r1\"]").expect("valid");
        assert_eq!(config.http.hosts, ["respite.example", "r1"]);
        let refused = "must be the name of a host, without a port";
        assert_eq!(
            problems("http.hosts = [\"\", \"a:80\", \"a/b\"]"),
            [0, 1, 2].map(|at| format!("http.hosts[{at}]: {refused}"))
        );
    }
}
