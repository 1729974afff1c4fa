//! What makes a shard of one Respite the same as a shard of another: its name, its address, and where that address
//! means something. It knows no login.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::sync::LazyLock;

use sha2::{Digest as _, Sha256};

use crate::config::Address;
use crate::fleet::watcher::{Found, LOCAL};
use crate::random;

/// Names a shard to all Respites: a hash of its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ShardKey(pub(super) u64);

/// The machine and its network, or what stands for this process where the system does not tell.
static NETWORK: LazyLock<String> = LazyLock::new(|| place(&["net"]));
/// The same with its file systems, for unix sockets.
static FILES: LazyLock<String> = LazyLock::new(|| place(&["net", "mnt"]));

/// The boot of this machine and the namespaces of this process.
fn place(namespaces: &[&str]) -> String {
    let read = || {
        let mut place = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        for name in namespaces {
            let link = fs::read_link(format!("/proc/self/ns/{name}")).ok()?;
            place.push_str(link.to_str()?);
        }
        Some(place)
    };
    read().unwrap_or_else(random::word)
}

/// Whether an address of this name leads to the machine that asks.
fn is_own(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|ip: IpAddr| ip.is_loopback() || ip.is_unspecified())
}

/// 64 bits of a hash of these parts, each with its length.
pub(super) fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; 8];
    first.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(first)
}

impl ShardKey {
    /// The key of a shard that was found here. What only this machine can mean by an address (loopback, a unix socket,
    /// a process) has a key that only Respites of this machine have.
    pub(super) fn of(found: &Found) -> Self {
        let endpoint = &found.target.endpoint;
        let id = found.target.id.as_bytes();
        let tls = [u8::from(endpoint.tls)];
        let key = match &endpoint.address {
            Address::Unix(path) => {
                let path = path.as_os_str().as_encoded_bytes();
                hash(&[id, b"unix", path, FILES.as_bytes()])
            }
            Address::Tcp { host, port } => {
                let place = match &*found.source == LOCAL || is_own(host) {
                    true => NETWORK.as_bytes(),
                    false => b"",
                };
                let host = host.to_ascii_lowercase();
                hash(&[id, host.as_bytes(), &port.to_be_bytes(), &tls, place])
            }
        };
        ShardKey(key)
    }

    /// Reads the 16 hexadecimal digits that `Display` writes.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let is_hex = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        let text = std::str::from_utf8(text).ok()?;
        (text.len() == 16 && text.as_bytes().iter().all(is_hex)).then_some(())?;
        u64::from_str_radix(text, 16).ok().map(ShardKey)
    }
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::fleet::Target;

    fn key(id: &str, url: &str, source: &str) -> ShardKey {
        let target = Target {
            id: id.to_owned(),
            endpoint: url.parse().expect("a URL"),
            labels: Default::default(),
        };
        ShardKey::of(&Found {
            target: Arc::new(target),
            source: source.into(),
        })
    }

    #[test]
    fn a_shard_is_the_same_by_its_name_and_its_address() {
        let one = key("a", "redis://10.0.0.1:1", "file");
        assert_eq!(one, key("a", "redis://u:p@10.0.0.1:1", "static"));
        assert_eq!(key("a", "redis://H:1", "x"), key("a", "redis://h:1", "x"));
        for other in [
            key("b", "redis://10.0.0.1:1", "file"),
            key("a", "redis://10.0.0.1:2", "file"),
            key("a", "rediss://10.0.0.1:1", "file"),
            key("a", "redis://10.0.0.1:1", "local"),
            key("a", "unix:///10.0.0.1:1", "file"),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(ShardKey::parse(one.to_string().as_bytes()), Some(one));
        for text in [
            &b""[..],
            b"0",
            b"+123456789abcdef",
            b"0123456789abcdeF",
            b"0123456789abcdef0",
        ] {
            assert_eq!(ShardKey::parse(text), None);
        }
    }

    #[test]
    fn what_an_address_means_only_here_is_of_this_machine() {
        for host in ["127.0.0.1", "::1", "localhost", "127.9.9.9", "0.0.0.0"] {
            assert!(is_own(host), "{host}");
        }
        assert!(!is_own("10.0.0.1") && !is_own("localhost.example"));
        assert_eq!(place(&["net"]), place(&["net"]));
        assert_ne!(place(&["nosuch"]), place(&["nosuch"]), "of this call alone");
    }
}
