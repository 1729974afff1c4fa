//! The addresses that a login is meant for, `[credentials.NAME] for`.
//!
//! What is looked at is the address as it was given and the address that a socket is connected to.
//! Nothing is asked of a name server: what it says of an address (a reverse look-up) is the word of
//! whoever has that address.

use super::Address;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// The most patterns of one credential.
const MAX_PATTERNS: usize = 1000;

/// The addresses that a login may be sent to. Without patterns: none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MeantFor(Vec<AddressPattern>);

/// One pattern: `10.0.0.0/8:6379`, `[fd00::]/8:*`, `redis.example:6379`, `*.redis.example:6380`,
/// `unix:///run/redis.sock`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPattern(Place);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    /// Addresses whose first `bits` are these, whatever name led to them.
    Net {
        ip: IpAddr,
        bits: u8,
        port: Option<u16>,
    },
    /// A host of this name, wherever it is.
    Name { name: String, port: Option<u16> },
    /// A host whose name is one label before this.
    Below { name: String, port: Option<u16> },
    /// A unix socket.
    Unix(PathBuf),
}

/// Whether a login is meant for an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meant {
    /// It is, wherever the name leads.
    Yes,
    /// That depends on where the name leads: [`MeantFor::allows`] has to be asked once connected.
    AtSome,
    /// It is not.
    No,
}

// === impl MeantFor ===

impl MeantFor {
    /// Reads the patterns of one credential.
    ///
    /// # Errors
    /// Says what is wrong with the first that is none.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        if patterns.len() > MAX_PATTERNS {
            return Err(format!("more than {MAX_PATTERNS} addresses"));
        }
        let read = |text: &String| {
            let pattern = text.parse();
            pattern.map_err(|reason| format!("\"{}\" {reason}", text.escape_debug()))
        };
        patterns
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The patterns as they are written.
    pub(super) fn texts(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Judges an address as it was given, before anything is resolved.
    #[must_use]
    pub fn judge(&self, address: &Address) -> Meant {
        let (host, port) = match address {
            Address::Unix(path) => {
                let named = |pattern: &AddressPattern| pattern.0 == Place::Unix(path.clone());
                return Meant::of(self.0.iter().any(named));
            }
            Address::Tcp { host, port } => (host, *port),
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Meant::of(self.allows(SocketAddr::new(ip, port)));
        }
        if self.0.iter().any(|pattern| pattern.names(host, port)) {
            return Meant::Yes;
        }
        let net = |pattern: &AddressPattern| match &pattern.0 {
            Place::Net { port: only, .. } => only.is_none_or(|only| only == port),
            _ => false,
        };
        match self.0.iter().any(net) {
            true => Meant::AtSome,
            false => Meant::No,
        }
    }

    /// Whether it is meant for an address that a socket is connected to.
    #[must_use]
    pub fn allows(&self, peer: SocketAddr) -> bool {
        let peer_ip = peer.ip().to_canonical();
        self.0.iter().any(|pattern| match &pattern.0 {
            Place::Net { ip, bits, port } => {
                port.is_none_or(|port| port == peer.port()) && first_bits_are(peer_ip, *ip, *bits)
            }
            _ => false,
        })
    }
}

impl Meant {
    fn of(meant: bool) -> Self {
        match meant {
            true => Meant::Yes,
            false => Meant::No,
        }
    }
}

fn first_bits_are(address: IpAddr, net: IpAddr, bits: u8) -> bool {
    let differ = |a: u128, b: u128, width: u8| match width - bits {
        // No bit counts.
        rest if rest == width => false,
        rest => (a ^ b) >> rest != 0,
    };
    match (address, net) {
        (IpAddr::V4(a), IpAddr::V4(b)) => !differ(a.to_bits().into(), b.to_bits().into(), 32),
        (IpAddr::V6(a), IpAddr::V6(b)) => !differ(a.to_bits(), b.to_bits(), 128),
        _ => false,
    }
}

/// A name as it is compared: in lower case, without the dot at its end.
fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

// === impl AddressPattern ===

impl AddressPattern {
    fn names(&self, host: &str, port: u16) -> bool {
        let host = plain(host);
        match &self.0 {
            Place::Name { name, port: only } => {
                only.is_none_or(|only| only == port) && host == *name
            }
            Place::Below { name, port: only } => {
                let first = host.strip_suffix(name.as_str());
                let label = first.and_then(|first| first.strip_suffix('.'));
                only.is_none_or(|only| only == port)
                    && label.is_some_and(|label| !label.is_empty() && !label.contains('.'))
            }
            _ => false,
        }
    }
}

impl FromStr for AddressPattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "must be ADDRESS:PORT, ADDRESS/BITS:PORT, [IPV6]/BITS:PORT, NAME:PORT, *.NAME:PORT or unix:///PATH (PORT may be *)";
        if let Some(path) = text.strip_prefix("unix://") {
            let absolute = path.starts_with('/') && path.len() > 1;
            return match absolute {
                true => Ok(Self(Place::Unix(path.into()))),
                false => Err(HELP),
            };
        }
        let (host, port) = text.rsplit_once(':').ok_or(HELP)?;
        let port = match port {
            "*" => None,
            port => Some(port.parse().ok().filter(|port| *port != 0).ok_or(HELP)?),
        };
        let (host, bits) = match host.split_once('/') {
            Some((host, bits)) => (host, Some(bits.parse::<u8>().map_err(|_| HELP)?)),
            None => (host, None),
        };
        let ip = match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(ip) => Some(IpAddr::V6(ip.parse().map_err(|_| HELP)?)),
            None => host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        };
        match (ip, bits) {
            (Some(ip), bits) => net(ip, bits, port).map(Self),
            (None, Some(_)) => Err(HELP),
            (None, None) => match host.strip_prefix("*.") {
                Some(below) if is_name(below) => {
                    let name = plain(below);
                    Ok(Self(Place::Below { name, port }))
                }
                None if is_name(host) => {
                    let name = plain(host);
                    Ok(Self(Place::Name { name, port }))
                }
                _ => Err(HELP),
            },
        }
    }
}

/// A network; an IPv4 address written as IPv6 is the IPv4 one, as it is where it is compared.
fn net(ip: IpAddr, bits: Option<u8>, port: Option<u16>) -> Result<Place, &'static str> {
    let width = |ip: &IpAddr| if ip.is_ipv4() { 32 } else { 128 };
    let (written, ip) = (width(&ip), ip.to_canonical());
    let outer = written - width(&ip);
    let bits = bits.unwrap_or(written);
    match bits.checked_sub(outer) {
        Some(bits) if bits <= width(&ip) => Ok(Place::Net { ip, bits, port }),
        _ => Err("has a number of bits that its address cannot have"),
    }
}

/// Whether a text is the name of a host and can be no address: `0x7f.1` is one to some resolvers.
fn is_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let is_label = |label: &str| {
        let part = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_');
        !label.is_empty() && label.chars().all(part)
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.split('.').all(is_label) && !last.starts_with(|c: char| c.is_ascii_digit())
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = match &self.0 {
            Place::Unix(path) => return write!(f, "unix://{}", path.display()),
            Place::Net { ip, bits, port } => {
                match ip {
                    IpAddr::V4(ip) => write!(f, "{ip}/{bits}")?,
                    IpAddr::V6(ip) => write!(f, "[{ip}]/{bits}")?,
                }
                port
            }
            Place::Name { name, port } => {
                f.write_str(name)?;
                port
            }
            Place::Below { name, port } => {
                write!(f, "*.{name}")?;
                port
            }
        };
        match port {
            Some(port) => write!(f, ":{port}"),
            None => f.write_str(":*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meant(patterns: &[&str]) -> MeantFor {
        let patterns: Vec<String> = patterns.iter().map(|text| (*text).to_owned()).collect();
        MeantFor::new(&patterns).expect("patterns")
    }

    fn at(text: &str) -> Address {
        let (host, port) = text.rsplit_once(':').expect("HOST:PORT");
        Address::Tcp {
            host: host.trim_matches(['[', ']']).to_owned(),
            port: port.parse().expect("a port"),
        }
    }

    #[test]
    fn addresses_are_judged() {
        let all = [
            "10.0.0.0/8:6379",
            "192.168.0.7:*",
            "[fd00::]/8:1",
            "*.redis.example:6380",
            "one.example:7",
        ];
        let meant = meant(&all);
        for (address, expected) in [
            ("10.255.0.1:6379", Meant::Yes),
            ("10.255.0.1:6380", Meant::No),
            ("11.0.0.1:6379", Meant::No),
            ("192.168.0.7:9", Meant::Yes),
            ("192.168.0.6:9", Meant::No),
            ("[::ffff:10.0.0.1]:6379", Meant::Yes),
            ("[fdff::1]:1", Meant::Yes),
            ("[fe00::1]:1", Meant::No),
            ("a.redis.example:6380", Meant::Yes),
            ("A.Redis.Example.:6380", Meant::Yes),
            ("ONE.example:7", Meant::Yes),
            // Where the name leads has to be seen.
            ("anything.at.all:6379", Meant::AtSome),
            ("a.redis.example:6379", Meant::AtSome),
        ] {
            assert_eq!(meant.judge(&at(address)), expected, "{address}");
        }
        let names = self::meant(&["*.redis.example:6380", "unix:///run/r.sock"]);
        for address in [
            "redis.example:6380",
            ".redis.example:6380",
            "a.b.redis.example:6380",
            "evilredis.example:6380",
            "a.redis.example.evil.example:6380",
            "a.redis.example:1",
            "127.0.0.1:6380",
        ] {
            assert_eq!(names.judge(&at(address)), Meant::No, "{address}");
        }
        assert_eq!(
            names.judge(&Address::Unix("/run/r.sock".into())),
            Meant::Yes
        );
        assert_eq!(names.judge(&Address::Unix("/run/x.sock".into())), Meant::No);
        assert_eq!(MeantFor::default().judge(&at("127.0.0.1:1")), Meant::No);
        assert!(self::meant(&["0.0.0.0/0:*"]).allows("8.8.8.8:1".parse().expect("one")));
        assert!(!self::meant(&["0.0.0.0/0:*"]).allows("[fd00::1]:1".parse().expect("one")));
        assert!(!names.allows("127.0.0.1:6380".parse().expect("one")));
    }

    #[test]
    fn patterns_are_read_and_printed() {
        for (text, printed) in [
            ("10.0.0.0/8:6379", "10.0.0.0/8:6379"),
            ("10.1.2.3:*", "10.1.2.3/32:*"),
            ("[::1]:6379", "[::1]/128:6379"),
            ("[::ffff:10.0.0.0]/104:1", "10.0.0.0/8:1"),
            ("*.A.example.:1", "*.a.example:1"),
            ("host:1", "host:1"),
            ("unix:///run/r.sock", "unix:///run/r.sock"),
        ] {
            let pattern: AddressPattern = text.parse().expect(text);
            assert_eq!(pattern.to_string(), printed);
            assert_eq!(printed.parse(), Ok(pattern));
        }
        for text in [
            "",
            "h",
            "h:",
            "h:0",
            "h:65536",
            ":1",
            "*:1",
            "*.:1",
            "a.*.b:1",
            "*a.b:1",
            "a/8:1",
            "10.0.0.0/33:1",
            "10.0.0.0/x:1",
            "[::1]/129:1",
            "::1:1",
            "[::ffff:1.2.3.4]/8:1",
            "1.2.3:1",
            "*.0x7f:1",
            "*.1:1",
            "a b:1",
            "a..b:1",
            "redis://h:1",
            "unix://",
            "unix:///",
        ] {
            assert!(text.parse::<AddressPattern>().is_err(), "{text}");
        }
    }
}
