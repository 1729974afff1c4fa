//! Logins that fail: counted, logged, and the next ones judged later and later.
//!
//! An address has a bucket for each user that it tries, one for all names that nobody has, and one for the token.
//! After some failures in a row the logins of a bucket are judged only at their turn, right or wrong: else whoever
//! hangs up before the answer would learn what was right. Holds nobody up itself: it says when the turn is.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::{info, warn};

/// So many failures in a row cost nothing: people mistype.
const FREE: u32 = 10;
/// How long the turn after the next one lies behind it, the first time; each time twice as long.
const FIRST_GAP: Duration = Duration::from_millis(25);
/// The longest that turns are apart.
const LONGEST_GAP: Duration = Duration::from_secs(1);
/// So many logins of a bucket may wait for their turns: more would wait for longer than a client does.
const MOST_WAITING: u32 = 10;
/// How often an address is logged.
const LOG_EVERY: Duration = Duration::from_secs(60);
/// A bucket without a failure for so long begins anew.
const FORGET: Duration = Duration::from_secs(600);
/// The most buckets that are remembered, and the most addresses; then one that is has to go.
const MOST: usize = 10_000;

/// Whom a login is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whom {
    /// A user that there is.
    User(Box<str>),
    /// One that there is not: all are one, or names could be made up to begin anew.
    Unknown,
    /// Whoever has the token.
    Token,
}

/// When a login may be judged.
#[derive(Debug)]
pub enum Turn {
    /// At once.
    Now,
    /// Then. Whoever goes away before drops the place.
    At(Instant, Place),
    /// Not at all: too many wait.
    Never,
}

/// A place among those who wait.
#[derive(Debug)]
pub struct Place {
    _held: Arc<()>,
}

/// The failed logins of all clients.
#[derive(Debug, Default)]
pub struct Logins {
    failures: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    buckets: HashMap<(Option<IpAddr>, Whom), Bucket>,
    addresses: HashMap<Option<IpAddr>, Told>,
}

#[derive(Debug)]
struct Bucket {
    in_a_row: u32,
    last: Instant,
    /// Turns that were given since the free failures were used up.
    turns: u32,
    /// When the next turn is.
    next: Instant,
    /// One more than wait.
    places: Arc<()>,
    /// When it was last logged that the free failures were used up.
    warned: Option<Instant>,
}

/// What the log says of an address.
#[derive(Debug)]
struct Told {
    last: Instant,
    logged: Option<Instant>,
    /// Since the last line.
    unlogged: u64,
}

/// A line for the log.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    failures: u64,
    /// Somebody who mistypes is no reason to look; somebody who goes on is.
    warns: bool,
}

impl Logins {
    /// When the next login may be judged. Clients without an address count as one.
    pub fn turn(&self, peer: Option<IpAddr>, whom: &Whom) -> Turn {
        self.turn_at(peer, whom, now())
    }

    fn turn_at(&self, peer: Option<IpAddr>, whom: &Whom, now: Instant) -> Turn {
        let mut known = self.known.lock();
        match known.buckets.get_mut(&(peer.map(origin), whom.clone())) {
            Some(bucket) if bucket.is_slowed(now) => bucket.turn(now),
            _ => Turn::Now,
        }
    }

    /// Notes a failure.
    pub fn failed(&self, peer: Option<IpAddr>, whom: &Whom) {
        let Some(line) = self.failed_at(peer, whom, now()) else {
            return;
        };
        let address = peer.map_or_else(|| "an internal client".to_owned(), |ip| ip.to_string());
        let failures = line.failures;
        if line.warns {
            warn!(address, failures, "logins fail again and again");
        } else {
            info!(address, failures, "a login failed");
        }
    }

    fn failed_at(&self, peer: Option<IpAddr>, whom: &Whom, now: Instant) -> Option<Line> {
        self.failures.fetch_add(1, Ordering::Relaxed);
        let origin = peer.map(origin);
        let mut known = self.known.lock();
        let Known { buckets, addresses } = &mut *known;
        let key = (origin, whom.clone());
        make_room(buckets, &key, now, |bucket| bucket.last);
        make_room(addresses, &origin, now, |told| told.last);
        let bucket = buckets.entry(key).or_insert_with(|| Bucket::new(now));
        let told = addresses.entry(origin).or_insert(Told {
            last: now,
            logged: None,
            unlogged: 0,
        });
        let begins = bucket.fail(now);
        told.fail(now, begins, bucket.in_a_row >= FREE)
    }

    /// Notes a success: those who try this user from there begin anew.
    pub fn succeeded(&self, peer: Option<IpAddr>, whom: &Whom) {
        let mut known = self.known.lock();
        // What was logged is remembered: not a line for each that mistypes behind one address.
        if let Some(bucket) = known.buckets.get_mut(&(peer.map(origin), whom.clone())) {
            (bucket.in_a_row, bucket.turns) = (0, 0);
        }
    }

    /// Tells whether logins have to wait for their turn.
    pub fn is_slowed(&self, peer: Option<IpAddr>, whom: &Whom) -> bool {
        let known = self.known.lock();
        let bucket = known.buckets.get(&(peer.map(origin), whom.clone()));
        bucket.is_some_and(|bucket| bucket.is_slowed(now()))
    }

    /// How many logins have failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

impl Bucket {
    fn new(now: Instant) -> Self {
        Bucket {
            in_a_row: 0,
            last: now,
            turns: 0,
            next: now,
            places: Arc::default(),
            warned: None,
        }
    }

    fn is_slowed(&self, now: Instant) -> bool {
        self.in_a_row >= FREE && !is_past(self.last, now)
    }

    /// Gives a turn away. It is not given back by whoever does not wait for it.
    fn turn(&mut self, now: Instant) -> Turn {
        let at = self.next.max(now);
        let waiting = Arc::strong_count(&self.places) - 1;
        // Those who went away have used turns up, too: nobody waits for long for who is not there.
        if waiting >= MOST_WAITING as usize || at - now > LONGEST_GAP * MOST_WAITING {
            return Turn::Never;
        }
        let gap = FIRST_GAP.saturating_mul(1 << self.turns.min(16));
        self.turns = self.turns.saturating_add(1);
        self.next = at + gap.min(LONGEST_GAP);
        if at == now {
            return Turn::Now;
        }
        let held = Arc::clone(&self.places);
        Turn::At(at, Place { _held: held })
    }

    /// Notes a failure; whether it is one to warn of, as the last free one.
    fn fail(&mut self, now: Instant) -> bool {
        if is_past(self.last, now) {
            (self.in_a_row, self.turns) = (0, 0);
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.last = now;
        let is_due = |warned| now.duration_since(warned) >= LOG_EVERY;
        let begins = self.in_a_row == FREE && self.warned.is_none_or(is_due);
        if begins {
            self.warned = Some(now);
        }
        begins
    }
}

impl Told {
    /// Notes a failure; gives what is to be logged now.
    fn fail(&mut self, now: Instant, begins: bool, goes_on: bool) -> Option<Line> {
        self.unlogged += 1;
        self.last = now;
        let is_due = |logged| now.duration_since(logged) >= LOG_EVERY;
        if !begins && !self.logged.is_none_or(is_due) {
            return None;
        }
        self.logged = Some(now);
        let failures = std::mem::take(&mut self.unlogged);
        Some(Line {
            failures,
            warns: goes_on || failures >= u64::from(FREE),
        })
    }
}

/// By the clock of those who wait.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn is_past(last: Instant, now: Instant) -> bool {
    now.duration_since(last) >= FORGET
}

/// Makes room for a key in a map that is full: what is past goes, or what is oldest.
fn make_room<K: Hash + Eq + Clone, V>(
    map: &mut HashMap<K, V>,
    key: &K,
    now: Instant,
    last: impl Fn(&V) -> Instant,
) {
    if map.len() < MOST || map.contains_key(key) {
        return;
    }
    map.retain(|_, value| !is_past(last(value), now));
    if map.len() >= MOST {
        let oldest = map.iter().min_by_key(|(_, value)| last(value));
        if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
            map.remove(&oldest);
        }
    }
}

/// What counts as one address: of IPv6 the network, as one host has as many addresses as it likes, and all of loopback.
fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) if ip.is_loopback() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: fn() -> Whom = || Whom::User("ann".into());

    #[test]
    fn loopback_is_one_address() {
        assert_eq!(ip("127.3.2.1").map(origin), ip("127.0.0.1"));
        assert_ne!(ip("128.3.2.1").map(origin), ip("128.0.0.1"));
    }

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    fn fail_often(logins: &Logins, peer: Option<IpAddr>, whom: &Whom, now: Instant) {
        for _ in 0..FREE {
            assert!(matches!(logins.turn_at(peer, whom, now), Turn::Now));
            logins.failed_at(peer, whom, now);
        }
    }

    #[test]
    fn ten_failures_are_free_and_then_turns_are_twice_as_far_apart_up_to_a_second() {
        let (logins, peer, now) = (Logins::default(), ip("10.0.0.1"), Instant::now());
        fail_often(&logins, peer, &ANN(), now);
        assert!(matches!(logins.turn_at(peer, &ANN(), now), Turn::Now));
        let mut places = Vec::new();
        let mut turns = Vec::new();
        for _ in 0..MOST_WAITING {
            match logins.turn_at(peer, &ANN(), now) {
                Turn::At(at, place) => {
                    turns.push((at - now).as_millis());
                    places.push(place);
                }
                turn => panic!("{turn:?}"),
            }
        }
        assert_eq!(turns, [25, 75, 175, 375, 775, 1575, 2575, 3575, 4575, 5575]);
        assert!(matches!(logins.turn_at(peer, &ANN(), now), Turn::Never));
        // A place is given up, its turn is not.
        places.pop();
        match logins.turn_at(peer, &ANN(), now) {
            Turn::At(at, _) => assert_eq!((at - now).as_millis(), 6575),
            turn => panic!("{turn:?}"),
        }
        let others = [(peer, Whom::Unknown), (ip("10.0.0.2"), ANN())];
        for (peer, whom) in others {
            assert!(matches!(logins.turn_at(peer, &whom, now), Turn::Now));
        }
        let later = now + FORGET;
        assert!(matches!(logins.turn_at(peer, &ANN(), later), Turn::Now));
        logins.failed_at(peer, &ANN(), later);
        assert!(matches!(logins.turn_at(peer, &ANN(), later), Turn::Now));
        assert_eq!(logins.failures(), 11);
    }

    #[test]
    fn whoever_hangs_up_has_a_guess_a_second() {
        let (logins, peer, start) = (Logins::default(), ip("10.0.0.1"), Instant::now());
        let mut judged = 0;
        // 200 at a time, each of whom waits for 20 ms: what is not judged by then never is.
        for tick in 0..3_000 {
            let now = start + Duration::from_millis(20 * tick);
            let mut held = Vec::new();
            for _ in 0..200 {
                match logins.turn_at(peer, &ANN(), now) {
                    Turn::Now => {
                        judged += 1;
                        logins.failed_at(peer, &ANN(), now);
                    }
                    Turn::At(at, place) => {
                        judged += u32::from(at < now + Duration::from_millis(20));
                        held.push(place);
                    }
                    Turn::Never => {}
                }
            }
            assert!(held.len() <= MOST_WAITING as usize);
        }
        assert!((10..=80).contains(&judged), "{judged} in a minute");
    }

    #[test]
    fn a_success_begins_anew_for_its_own_user_only() {
        let (logins, peer, now) = (Logins::default(), ip("10.0.0.1"), Instant::now());
        for whom in [ANN(), Whom::Unknown, Whom::Token] {
            fail_often(&logins, peer, &whom, now);
        }
        logins.succeeded(peer, &ANN());
        assert!(!logins.is_slowed(peer, &ANN()));
        assert!(logins.is_slowed(peer, &Whom::Unknown) && logins.is_slowed(peer, &Whom::Token));
    }

    #[test]
    fn the_log_has_a_line_for_the_tenth_and_then_one_a_minute() {
        let (logins, peer, start) = (Logins::default(), ip("10.0.0.1"), Instant::now());
        let mut lines = Vec::new();
        for second in 0..150 {
            // The success of the attacker's own account is no reason for silence.
            logins.succeeded(peer, &Whom::User("own".into()));
            let now = start + Duration::from_secs(second);
            if let Some(line) = logins.failed_at(peer, &ANN(), now) {
                lines.push((second, line.failures, line.warns));
            }
        }
        assert_eq!(
            lines,
            [(0, 1, false), (9, 9, true), (69, 60, true), (129, 60, true)]
        );
        // Nor does beginning anew make a line each time.
        let now = start + Duration::from_secs(151);
        let mut told = 0;
        for _ in 0..100 {
            logins.succeeded(peer, &ANN());
            for _ in 0..FREE {
                told += u32::from(logins.failed_at(peer, &ANN(), now).is_some());
            }
        }
        assert!(told <= 2, "{told}");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address_and_a_mapped_one_is_ipv4() {
        let logins = Logins::default();
        for host in 0..=FREE {
            logins.failed(ip(&format!("2001:db8::{host:x}")), &ANN());
        }
        assert!(logins.is_slowed(ip("2001:db8::ffff"), &ANN()));
        assert!(!logins.is_slowed(ip("2001:db8:0:1::1"), &ANN()));
        for _ in 0..=FREE {
            logins.failed(ip("::ffff:10.0.0.1"), &ANN());
        }
        assert!(logins.is_slowed(ip("10.0.0.1"), &ANN()));
    }

    #[test]
    fn the_tables_are_bounded() {
        let (logins, now) = (Logins::default(), Instant::now());
        for number in 0..u32::try_from(MOST).expect("few") + 10 {
            let peer = Some(std::net::Ipv4Addr::from_bits(number).into());
            logins.failed_at(peer, &ANN(), now);
        }
        let known = logins.known.lock();
        assert_eq!((known.buckets.len(), known.addresses.len()), (MOST, MOST));
    }
}
