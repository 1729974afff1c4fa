//! Logins that fail: counted, logged, and answered later and later, by address.
//!
//! Holds nobody up itself: it says how long the answer has to wait.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};

/// So many failures in a row cost nothing: people mistype.
const FREE: u32 = 10;
/// How long the answer of the first further one waits; each further one twice as long.
const FIRST_WAIT: Duration = Duration::from_millis(25);
/// The longest that an answer waits.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// How often an address is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// An address without a failure for so long begins anew.
const FORGET: Duration = Duration::from_secs(600);
/// The most addresses that are remembered; then one that is has to go.
const MOST_ADDRESSES: usize = 10_000;

/// The failed logins of all clients.
#[derive(Debug, Default)]
pub struct Logins {
    failures: AtomicU64,
    addresses: Mutex<HashMap<Option<IpAddr>, Failures>>,
}

#[derive(Debug)]
struct Failures {
    in_a_row: u32,
    last: Instant,
    logged: Option<Instant>,
    /// Since the last line in the log.
    unlogged: u32,
}

impl Logins {
    /// Notes a failure; gives how long its answer has to wait. Clients without an address count as one.
    pub fn failed(&self, peer: Option<IpAddr>) -> Duration {
        self.failed_at(peer, Instant::now())
    }

    fn failed_at(&self, peer: Option<IpAddr>, now: Instant) -> Duration {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let origin = peer.map(origin);
        let mut addresses = self.addresses.lock();
        if addresses.len() >= MOST_ADDRESSES && !addresses.contains_key(&origin) {
            addresses.retain(|_, failures| !failures.is_past(now));
            if addresses.len() >= MOST_ADDRESSES
                && let Some(any) = addresses.keys().next().copied()
            {
                addresses.remove(&any);
            }
        }
        let failures = addresses.entry(origin).or_insert(Failures {
            in_a_row: 0,
            last: now,
            logged: None,
            unlogged: 0,
        });
        if failures.is_past(now) {
            failures.in_a_row = 0;
        }
        failures.in_a_row = failures.in_a_row.saturating_add(1);
        failures.last = now;
        failures.unlogged += 1;
        let wait = failures.wait();
        if failures
            .logged
            .is_none_or(|logged| now.duration_since(logged) >= LOG_EVERY)
        {
            let address = peer.map_or_else(|| "an internal client".to_owned(), |ip| ip.to_string());
            let count = std::mem::take(&mut failures.unlogged);
            failures.logged = Some(now);
            drop(addresses);
            // Somebody who mistypes is no reason to look; somebody who goes on is.
            if wait.is_zero() {
                info!(address, failures = count, "a login failed");
            } else {
                warn!(address, failures = count, "logins fail again and again");
            }
        }
        wait
    }

    /// Notes a success: the address begins anew.
    pub fn succeeded(&self, peer: Option<IpAddr>) {
        let mut addresses = self.addresses.lock();
        // When it was logged last is remembered: not a line for each that mistypes behind one address.
        if let Some(failures) = addresses.get_mut(&peer.map(origin)) {
            failures.in_a_row = 0;
        }
    }

    /// Tells whether the next failure of an address has to wait for its answer.
    pub fn is_slowed(&self, peer: Option<IpAddr>) -> bool {
        let addresses = self.addresses.lock();
        addresses
            .get(&peer.map(origin))
            .is_some_and(|failures| failures.in_a_row >= FREE && !failures.is_past(Instant::now()))
    }

    /// How many logins have failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl Failures {
    fn is_past(&self, now: Instant) -> bool {
        now.duration_since(self.last) >= FORGET
    }

    fn wait(&self) -> Duration {
        match self.in_a_row.saturating_sub(FREE) {
            0 => Duration::ZERO,
            more => FIRST_WAIT
                .saturating_mul(1 << (more - 1).min(16))
                .min(LONGEST_WAIT),
        }
    }
}

/// What counts as one address: of IPv6 the network, as one host has as many addresses as it likes.
fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn ten_failures_are_free_and_then_waits_double_up_to_a_second() {
        let logins = Logins::default();
        let now = Instant::now();
        let waits: Vec<u128> = (0..18)
            .map(|_| logins.failed_at(ip("10.0.0.1"), now).as_millis())
            .collect();
        assert_eq!(waits[..10], [0; 10]);
        assert_eq!(waits[10..], [25, 50, 100, 200, 400, 800, 1000, 1000]);
        assert!(logins.is_slowed(ip("10.0.0.1")) && !logins.is_slowed(ip("10.0.0.2")));
        assert!(logins.failed_at(ip("10.0.0.2"), now).is_zero());
        assert_eq!(logins.failures(), 19);
        assert!(
            logins.failed_at(ip("10.0.0.1"), now + FORGET).is_zero(),
            "long ago"
        );
    }

    #[test]
    fn a_success_begins_anew() {
        let logins = Logins::default();
        for _ in 0..20 {
            logins.failed(ip("10.0.0.1"));
        }
        logins.succeeded(ip("10.0.0.1"));
        assert!(!logins.is_slowed(ip("10.0.0.1")));
        assert!(logins.failed(ip("10.0.0.1")).is_zero());
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let logins = Logins::default();
        for host in 0..=FREE {
            logins.failed(ip(&format!("2001:db8::{host:x}")));
        }
        assert!(logins.is_slowed(ip("2001:db8::ffff")));
        assert!(!logins.is_slowed(ip("2001:db8:0:1::1")));
        for _ in 0..=FREE {
            logins.failed(ip("::ffff:10.0.0.1"));
        }
        assert!(logins.is_slowed(ip("10.0.0.1")));
    }

    #[test]
    fn the_table_is_bounded() {
        let logins = Logins::default();
        for number in 0..u32::try_from(MOST_ADDRESSES).expect("few") + 100 {
            logins.failed(Some(std::net::Ipv4Addr::from_bits(number).into()));
        }
        assert_eq!(logins.addresses.lock().len(), MOST_ADDRESSES);
    }
}
