//! The addresses that listeners bind.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeSeq};
use std::{fmt, net::SocketAddr, str::FromStr};

/// A `HOST:PORT` to listen on. The host may be a name: it is resolved when the port is bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ListenAddr(String);

/// One address or several, as they stand in the file: a string (commas separate) or a list.
pub(super) struct ListenList(pub(super) Vec<String>);

// === impl ListenAddr ===

impl ListenAddr {
    /// Returns the address as `HOST:PORT`, an IPv6 host in brackets.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reports whether the system chooses the port.
    pub(super) fn is_ephemeral(&self) -> bool {
        self.0.ends_with(":0")
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ListenAddr {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self(address.to_string()));
        }
        let refuse = |why: &str| Err(format!("\"{text}\" is not HOST:PORT: {why}"));
        let Some((host, port)) = text.rsplit_once(':') else {
            return refuse("it has no port");
        };
        if host.is_empty() || host == "*" {
            return refuse("it has no host (0.0.0.0 or [::] is every address)");
        }
        if host.contains(':') {
            return refuse("an IPv6 address stands in brackets, [::1]:7379");
        }
        if !is_host_name(host) {
            return refuse("the host is neither an address nor a name");
        }
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        match port.parse::<u16>() {
            Ok(port) if digits => Ok(Self(format!("{host}:{port}"))),
            _ => refuse("the port is not a number up to 65535"),
        }
    }
}

/// Accepts letters, digits, `-`, `_` and `.`, but not what can only be a mistyped IPv4 address.
fn is_host_name(host: &str) -> bool {
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    host.bytes().all(known) && !host.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

// === impl ListenList ===

impl Serialize for ListenList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let [only] = self.0.as_slice() {
            return serializer.serialize_str(only);
        }
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for address in &self.0 {
            list.serialize_element(address)?;
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for ListenList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const HELP: &str = "must be HOST:PORT or a list of them";
        let text = |value| match value {
            toml::Value::String(text) => Ok(text),
            _ => Err(de::Error::custom(HELP)),
        };
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(text) => Ok(Self(super::lists::split(&text))),
            toml::Value::Array(list) => {
                let list: Result<_, _> = list.into_iter().map(text).collect();
                Ok(Self(list?))
            }
            _ => Err(de::Error::custom(HELP)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_accepted() {
        for text in [
            "127.0.0.1:7379",
            "0.0.0.0:0",
            "[::1]:7379",
            "[::]:65535",
            "localhost:7379",
            "cache-1.my_zone.example:6379",
        ] {
            let address: ListenAddr = text.parse().expect(text);
            assert_eq!(address.as_str(), text);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn the_refusal_says_why() {
        for (text, why) in [
            ("", "it has no port"),
            ("7379", "it has no port"),
            (":7379", "it has no host (0.0.0.0 or [::] is every address)"),
            (
                "*:7379",
                "it has no host (0.0.0.0 or [::] is every address)",
            ),
            ("::1:7379", "an IPv6 address stands in brackets, [::1]:7379"),
            ("localhost:", "the port is not a number up to 65535"),
            ("localhost:+80", "the port is not a number up to 65535"),
            ("localhost:65536", "the port is not a number up to 65535"),
            (
                "127.0.0.1:http",
                "the host is neither an address nor a name",
            ),
            ("300.0.0.1:80", "the host is neither an address nor a name"),
            ("a b:80", "the host is neither an address nor a name"),
        ] {
            let expected = format!("\"{text}\" is not HOST:PORT: {why}");
            assert_eq!(text.parse::<ListenAddr>(), Err(expected));
        }
    }
}
