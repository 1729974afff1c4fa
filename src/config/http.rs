//! `[http]`: the admin listener and who may use it.

use super::{Access, ListenAddr, Secret, error::Problems, raw};

/// `[http]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Where it listens; without it, there is none.
    pub listen: Option<ListenAddr>,
    /// The token that requests have to bring; without it, none is accepted.
    pub token: Option<Secret>,
    /// Whether requests may bring the name and password of a user of `[access]` instead, and must
    /// when there is no token.
    pub basic_auth: bool,
    /// Whether `/metrics` has every shard.
    pub fleet_metrics: bool,
}

impl Http {
    /// Whether everybody may use it.
    pub fn is_open(&self) -> bool {
        self.token.is_none() && !self.basic_auth
    }
}

pub(super) fn validate(
    raw: raw::Http,
    listen: &[ListenAddr],
    access: &Access,
    problems: &mut Problems,
) -> Http {
    if raw.basic_auth && access.users.is_empty() {
        problems.invalid("http.basic_auth", "needs [[access.users]]");
    }
    if raw.token.expose().contains(|c: char| !c.is_ascii_graphic()) {
        problems.invalid("http.token", "must have no spaces and be ASCII");
    }
    Http {
        listen: address(&raw.listen, listen, problems),
        token: Some(raw.token).filter(|token| !token.expose().is_empty()),
        basic_auth: raw.basic_auth,
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
        fleet_metrics: http.fleet_metrics,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{HASH, file, problems};

    #[test]
    fn a_token_is_kept_and_not_shown() {
        let config = file("http.token = \"hush-hush\"").expect("valid");
        assert!(!config.http.is_open());
        let shown = format!("{config:?}{}", config.to_toml());
        assert!(!shown.contains("hush"), "{shown}");
        let text = "http.token = \"hu sh\"";
        assert_eq!(
            problems(text),
            ["http.token: must have no spaces and be ASCII"]
        );
    }

    #[test]
    fn basic_auth_needs_somebody_to_log_in() {
        let refused = ["http.basic_auth: needs [[access.users]]"];
        assert_eq!(problems("http.basic_auth = true"), refused);
        let text = format!(
            "http.basic_auth = true\n[[access.users]]\nname = \"a\"\npassword_sha256 = \"{HASH}\""
        );
        assert!(!file(&text).expect("valid").http.is_open());
        assert!(file("").expect("valid").http.is_open());
    }
}
