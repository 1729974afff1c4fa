//! Which of a server's ports is the one for clients.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// How far above the port for clients the one of the cluster bus is.
const CLUSTER_BUS: u16 = 10_000;

/// The port that a server shows in its title: `redis-server 127.0.0.1:6379 [cluster]`.
pub(super) fn title_port(title: &str) -> Option<u16> {
    let address = title.split_whitespace().nth(1)?;
    let (host, port) = address.rsplit_once(':')?;
    // Redis writes an IPv6 address without brackets, and `*` for every address.
    let is_host = host == "*" || host.parse::<IpAddr>().is_ok();
    is_host.then(|| port.parse().ok())?.filter(|port| *port > 0)
}

/// The address to reach a server at that listens on all of these: on the port of its title, or else
/// on its lowest one that is not the cluster bus of another.
pub(super) fn client_address(listening: &[SocketAddr], title: Option<u16>) -> Option<SocketAddr> {
    let ports: BTreeSet<u16> = listening.iter().map(SocketAddr::port).collect();
    let is_bus = |port: &u16| {
        port.checked_sub(CLUSTER_BUS)
            .is_some_and(|p| ports.contains(&p))
    };
    let port = title
        .filter(|port| ports.contains(port))
        .or_else(|| ports.iter().copied().find(|port| !is_bus(port)))?;
    let reachable = listening
        .iter()
        .filter(|address| address.port() == port)
        .map(|address| SocketAddr::new(from_here(address.ip()), port));
    // Loopback first, IPv4 first.
    reachable.min_by_key(|address| (!address.ip().is_loopback(), address.is_ipv6(), *address))
}

/// Where a server that is bound to `ip` can be reached on its own machine.
fn from_here(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_show_the_port() {
        for (title, port) in [
            ("redis-server 127.0.0.1:6379", Some(6379)),
            ("redis-server *:7000 [cluster]", Some(7000)),
            ("redis-sentinel *:26379 [sentinel]", Some(26379)),
            ("/usr/bin/valkey-server ::1:6380", Some(6380)),
            ("redis-server 127.0.0.1:0", None),
            ("redis-server unixsocket:/run/redis.sock", None),
            ("redis-server /etc/redis.conf", None),
            ("redis-server --port 6379", None),
            ("redis-rdb-bgsave 127.0.0.1:6379", Some(6379)),
            ("redis-server", None),
            ("", None),
        ] {
            assert_eq!(title_port(title), port, "{title}");
        }
    }

    #[test]
    fn one_address_is_chosen() {
        let choose = |listening: &[&str], title| {
            let listening: Vec<SocketAddr> =
                listening.iter().map(|a| a.parse().expect(a)).collect();
            client_address(&listening, title).map(|address| address.to_string())
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(choose(&[], Some(1)), None);
        assert_eq!(choose(&["0.0.0.0:1", "[::]:1"], None), some("127.0.0.1:1"));
        assert_eq!(choose(&["[::]:1"], None), some("[::1]:1"));
        assert_eq!(choose(&["10.0.0.1:1", "[::1]:1"], None), some("[::1]:1"));
        assert_eq!(
            choose(&["[fd00::1]:1", "10.0.0.1:1"], None),
            some("10.0.0.1:1")
        );
        assert_eq!(choose(&["[::ffff:0.0.0.0]:1"], None), some("127.0.0.1:1"));
        // The cluster bus and the port for TLS are no servers of their own.
        let cluster = ["127.0.0.1:17000", "127.0.0.1:7000", "127.0.0.1:6999"];
        assert_eq!(choose(&cluster, Some(7000)), some("127.0.0.1:7000"));
        assert_eq!(choose(&cluster[..2], None), some("127.0.0.1:7000"));
        assert_eq!(choose(&cluster, Some(1)), some("127.0.0.1:6999"));
    }
}
