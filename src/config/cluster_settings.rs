//! `[cluster]`: what clients are told of clusters.

use super::{ListenAddr, error::Problems, raw};
use std::{fmt, net::IpAddr, str::FromStr};

/// How clusters are dealt with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterSettings {
    /// Where clients that insist on a cluster find Respite, which then is one of a single node.
    pub announce: Option<Announce>,
    /// Commands that change keys of several slots of a cluster are split, and are not atomic then.
    pub split_writes: bool,
}

/// Where clients find Respite. Displays as `HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// An address or a name; an IPv6 address without brackets.
    pub host: String,
    /// Never 0.
    pub port: u16,
}

// === impl Announce ===

impl fmt::Display for Announce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Announce { host, port } = self;
        match host.contains(':') {
            true => write!(f, "[{host}]:{port}"),
            false => write!(f, "{host}:{port}"),
        }
    }
}

impl FromStr for Announce {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: ListenAddr = text.parse()?;
        let (host, port) = address.as_str().rsplit_once(':').unwrap_or_default();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified()) {
            return Err(format!(
                "\"{text}\" is every address: clients need one that they can connect to"
            ));
        }
        match port.parse() {
            Ok(port) if port != 0 => Ok(Announce {
                host: host.to_owned(),
                port,
            }),
            _ => Err(format!("\"{text}\" needs the port that clients connect to")),
        }
    }
}

pub(super) fn validate(raw: &raw::Cluster, problems: &mut Problems) -> ClusterSettings {
    let announce = match raw.announce.as_str() {
        "" => None,
        text => match text.parse() {
            Ok(announce) => Some(announce),
            Err(reason) => {
                problems.invalid("cluster.announce", reason);
                None
            }
        },
    };
    ClusterSettings {
        announce,
        split_writes: raw.split_writes,
    }
}

/// Reads the settings back, for the effective configuration.
pub(super) fn to_raw(cluster: &ClusterSettings) -> raw::Cluster {
    let announce = cluster.announce.as_ref();
    raw::Cluster {
        announce: announce.map(ToString::to_string).unwrap_or_default(),
        split_writes: cluster.split_writes,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{file, problems};

    #[test]
    fn clients_are_told_where_they_can_connect() {
        for text in ["cache.example:7379", "10.0.0.1:1", "[2001:db8::1]:7379"] {
            let config = file(&format!("[cluster]\nannounce = \"{text}\"")).expect(text);
            let announce = config.cluster.announce.clone().expect("announced");
            assert_eq!(announce.to_string(), text);
            assert_eq!(file(&config.to_toml()), Ok(config));
        }
        assert_eq!(file("").expect("defaults").cluster.announce, None);
        for (text, why) in [
            ("cache", "\"cache\" is not HOST:PORT: it has no port"),
            ("h:0", "\"h:0\" needs the port that clients connect to"),
            (
                "0.0.0.0:7379",
                "\"0.0.0.0:7379\" is every address: clients need one that they can connect to",
            ),
            (
                "[::]:7379",
                "\"[::]:7379\" is every address: clients need one that they can connect to",
            ),
        ] {
            let refused = problems(&format!("[cluster]\nannounce = \"{text}\""));
            assert_eq!(refused, [format!("cluster.announce: {why}")]);
        }
    }
}
