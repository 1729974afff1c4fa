//! The arguments of `respite join`.

use clap::{Args, ValueHint};
use std::path::PathBuf;

/// The flags of `respite join`.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct JoinArgs {
    /// The service that the node belongs to.
    pub service: String,
    /// The name of the node, unique in the service.
    pub node: String,
    #[command(flatten)]
    /// Where the Respite is.
    pub server: ServerArgs,
    /// The group of the service.
    #[arg(long, value_name = "GROUP", default_value = "default")]
    pub group: String,
    /// Seconds that the node stays without a word from this agent; decimals allowed.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = positive)]
    pub ttl: f64,
    /// Where the node is reached [default: this host, as the Respite sees it, and no port].
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub addr: Option<(String, u16)>,
    /// A tag; may be given several times.
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<String>,
    /// A fact of the host, in place of the one found here; may be given several times.
    #[arg(long = "fact", value_name = "NAME=VALUE", value_parser = name_and_value)]
    pub facts: Vec<(String, String)>,
    /// Seconds that the node is kept as critical after it has lapsed [default: 0].
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    pub deregister_after: Option<f64>,
}

/// The Respite that an agent talks to.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct ServerArgs {
    /// The Respite: HOST:PORT, or a redis://, rediss:// (TLS) or unix:// URL.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7379")]
    pub server: String,
    /// Who logs in.
    #[command(flatten)]
    pub login: LoginArgs,
}

/// How a client of a Respite logs in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct LoginArgs {
    /// The user to log in as [default: that of the URL, or "default"].
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,
    /// A file that holds the password (one newline at its end is dropped).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub password_file: Option<PathBuf>,
    /// The CA certificates (PEM) for rediss:// [default: the system's].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub ca: Option<PathBuf>,
}

fn positive(text: &str) -> Result<f64, String> {
    let seconds: Option<f64> = text.parse().ok();
    seconds
        .filter(|seconds| seconds.is_finite() && *seconds > 0.0)
        .ok_or_else(|| "must be a number of seconds above 0".to_owned())
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let wrong = || "must be HOST:PORT".to_owned();
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    let port: u16 = port.parse().map_err(|_| wrong())?;
    if host.is_empty() || port == 0 || (bare.is_none() && host.contains(':')) {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or_default();
    if name.is_empty() {
        return Err("must be NAME=VALUE".to_owned());
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_facts_are_two_parts() {
        assert_eq!(host_and_port("h:80"), Ok(("h".to_owned(), 80)));
        assert_eq!(host_and_port("[::1]:80"), Ok(("::1".to_owned(), 80)));
        for wrong in ["h", "h:", ":80", "h:0", "::1:80", "h:65536"] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
        let fact = ("os".to_owned(), "a=b".to_owned());
        assert_eq!(name_and_value("os=a=b"), Ok(fact));
        assert!(name_and_value("os").is_err() && name_and_value("=x").is_err());
        for wrong in ["0", "-1", "nan", "inf", "x"] {
            assert!(positive(wrong).is_err(), "{wrong}");
        }
    }
}
