//! The address of a server as the services file writes it: `HOST[:PORT]`, or a URL.

use std::{fmt, str::FromStr};
use url::{Host, Url};

/// Where an instance is. Displays as it was written.
#[derive(Debug, Clone)]
pub struct ServerUrl {
    text: String,
    /// Whether it is spoken to over TLS.
    pub tls: bool,
    /// The name or address, an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What stands before the path of every request, without a slash at its end.
    pub base: String,
}

impl ServerUrl {
    /// Returns the host and the port, as a `Host` header has them.
    pub fn authority(&self) -> String {
        let default = if self.tls { 443 } else { 80 };
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        if self.port == default {
            host
        } else {
            format!("{host}:{}", self.port)
        }
    }

    /// Returns the text that was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn key(&self) -> (bool, &str, u16, &str) {
        (self.tls, &self.host, self.port, &self.base)
    }
}

/// The same place, however it is written.
impl PartialEq for ServerUrl {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ServerUrl {}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "must be HOST, HOST:PORT, http://… or https://…";
        if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(HELP.to_owned());
        }
        let whole = match text.contains("://") {
            true => text.to_owned(),
            false => format!("http://{text}"),
        };
        let url = Url::parse(&whole).map_err(|error| format!("{HELP}: {error}"))?;
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return Err(HELP.to_owned()),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err("must have no user or password".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must have no ? or #".to_owned());
        }
        let host = match url.host() {
            Some(Host::Domain(name)) => name.to_owned(),
            Some(Host::Ipv4(address)) => address.to_string(),
            Some(Host::Ipv6(address)) => address.to_string(),
            None => return Err(HELP.to_owned()),
        };
        let port = url.port_or_known_default().filter(|port| *port != 0);
        Ok(Self {
            text: text.to_owned(),
            tls,
            host,
            port: port.ok_or("the port must not be 0")?,
            base: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serverpy_accepts_is_read() {
        for (text, tls, host, port, base) in [
            ("127.0.0.1:8080", false, "127.0.0.1", 8080, ""),
            ("www.example.com", false, "www.example.com", 80, ""),
            ("http://h:81/", false, "h", 81, ""),
            ("https://h", true, "h", 443, ""),
            ("https://h/v1/", true, "h", 443, "/v1"),
            ("[::1]:80", false, "::1", 80, ""),
        ] {
            let url: ServerUrl = text.parse().expect(text);
            assert_eq!(
                (url.tls, url.host.as_str(), url.port, url.base.as_str()),
                (tls, host, port, base)
            );
            assert_eq!(url.to_string(), text);
        }
        let url: ServerUrl = "[::1]:80".parse().expect("valid");
        assert_eq!(url.authority(), "[::1]");
        assert_eq!(
            "h:80".parse::<ServerUrl>(),
            "http://h/".parse::<ServerUrl>()
        );
    }

    #[test]
    fn what_is_no_server_is_refused() {
        for text in [
            "", "a b", "ftp://h", "h:0", "h:99999", "http://", "u:p@h", "h?a", "h#a",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text:?}");
        }
    }
}
