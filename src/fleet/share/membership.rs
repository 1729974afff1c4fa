//! One Respite's part in the fleet, beat by beat: what it says next, and what follows from what it was told.
//!
//! Pure: it is handed what the backing said, and the clock. Who sends beats is `task`, or a simulation.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::heartbeat::{Beat, Entry, MOST_SETS, Told};
use super::holdings::{Changes, Holdings, Standing};
use super::identity::ShardKey;
use super::view::{KeySet, Member, SetDigest, View, most_declined};

/// How often a member says that it is there.
pub(super) const EVERY: Duration = Duration::from_millis(300);
/// The same while it waits for others to let go of something.
pub(super) const HASTE: Duration = Duration::from_millis(75);
/// How long a member that says nothing counts as there. With [`EVERY`] and the steps of a move this keeps within
/// two seconds until its shards are polled by others.
pub(super) const LEASE: Duration = Duration::from_millis(1200);
/// How long a shard is left to others after it refused the login of this one.
const DECLINE: Duration = Duration::from_secs(300);
/// So often a set that the backing ought to have is asked for, before its member counts as one that can poll nothing.
const TRIES: u32 = 5;

/// How long a close look at the backing's clock is better than a later one that is not as close.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// The beats in a row without an answer after which the backing counts as away.
const AWAY: u32 = 2;

/// The clock of the backing as it was at one moment between two of this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct BackingClock {
    micros: u64,
    sent: Instant,
    received: Instant,
}

/// One Respite's part in the fleet.
#[derive(Debug)]
pub(super) struct Membership {
    me: Arc<str>,
    holdings: Holdings,
    set: Arc<KeySet>,
    digest: SetDigest,
    /// The backing may not have the set.
    set_is_due: bool,
    /// The sets that members of the view have.
    sets: HashMap<SetDigest, Arc<KeySet>>,
    /// Shards that refused the login of this one, and until when they are left to others: none but those it tracks.
    declined: BTreeMap<ShardKey, Instant>,
    /// What the backing has told of who is there, while sets are missing that it takes to understand it.
    pending: Option<Pending>,
    acked: u64,
    /// What the backing has of that.
    acked_there: u64,
    rev: u64,
    since: u64,
    standing: Standing,
    clock: Option<BackingClock>,
    /// The next one takes its place, however well it is known.
    clock_is_old: bool,
    /// Until then nobody takes over what this Respite holds.
    lease_end: Option<Instant>,
    /// Beats in a row without an answer.
    missed: u32,
    /// It held what it holds under a good lease when the backing went away.
    isolated: bool,
}

#[derive(Debug)]
struct Pending {
    number: u64,
    members: Vec<Member>,
    tries: u32,
}

/// What goes with every beat of a process.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Terms {
    /// The longest record that is read.
    pub(super) longest: usize,
    /// How long the backing keeps records.
    pub(super) keep: Duration,
}

impl BackingClock {
    /// Whether it is known more closely, or the other one was looked at too long ago.
    fn is_better_than(&self, known: &BackingClock) -> bool {
        let width = |clock: &BackingClock| clock.received - clock.sent;
        width(self) <= width(known) || self.received - known.received > LOOK_AGAIN
    }

    /// A moment as the backing's clock had it, or a little earlier: an age is never told too small.
    pub(super) fn micros(&self, at: Instant) -> u64 {
        match at.checked_duration_since(self.received) {
            Some(after) => self.micros.saturating_add(micros(after)),
            None => self.micros.saturating_sub(micros(self.received - at)),
        }
    }

    /// A moment of the backing's clock here, or a little earlier; `now` for what has not come yet. None for a moment
    /// before this machine's clock began.
    pub(super) fn instant(&self, at: u64, now: Instant) -> Option<Instant> {
        match at.checked_sub(self.micros) {
            Some(after) => Some(now.min(self.sent.checked_add(Duration::from_micros(after))?)),
            None => self
                .sent
                .checked_sub(Duration::from_micros(self.micros - at)),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl Membership {
    pub(super) fn new(me: Arc<str>) -> Self {
        let set = Arc::<KeySet>::default();
        Membership {
            holdings: Holdings::new(Arc::clone(&me)),
            me,
            digest: SetDigest::of(&set.encode()),
            set,
            set_is_due: true,
            sets: HashMap::new(),
            declined: BTreeMap::new(),
            pending: None,
            acked: 0,
            acked_there: 0,
            rev: 0,
            since: 0,
            standing: Standing::default(),
            clock: None,
            clock_is_old: false,
            lease_end: None,
            missed: 0,
            isolated: false,
        }
    }

    pub(super) fn holdings(&self) -> &Holdings {
        &self.holdings
    }

    /// None before the first beat was answered.
    pub(super) fn clock(&self) -> Option<BackingClock> {
        self.clock
    }

    /// Makes these the shards that are tracked here.
    pub(super) fn track(&mut self, keys: Vec<ShardKey>) {
        self.holdings.track(&keys);
        let set = KeySet::new(keys);
        if set != *self.set {
            self.declined.retain(|key, _| set.contains(*key));
            self.set = Arc::new(set);
            self.digest = SetDigest::of(&self.set.encode());
            self.set_is_due = true;
        }
    }

    /// Leaves a shard that refused the login to others for a while, if there are any who can poll it.
    pub(super) fn decline(&mut self, key: ShardKey, now: Instant) {
        let known = self.declined.contains_key(&key) || !self.set.contains(key);
        if !known && self.holdings.view().others_can(key, &self.me) {
            self.declined.insert(key, now + DECLINE);
        }
    }

    /// How many of them there is no room for in what is said: this Respite goes on to poll what is its own of them.
    pub(super) fn left_out(&self) -> usize {
        self.declined.len().saturating_sub(self.most_declined())
    }

    fn most_declined(&self) -> usize {
        most_declined(self.holdings.view().members().len())
    }

    /// Forgets what was declined: logins may have changed.
    pub(super) fn reconsider(&mut self) {
        self.declined.clear();
    }

    /// What to say next.
    pub(super) fn beat(&mut self, entries: Vec<Entry>, terms: Terms, now: Instant) -> Beat {
        self.declined.retain(|_, until| *until > now);
        let declined = self.declined.keys().copied().take(self.most_declined());
        let declined: Vec<_> = declined.collect();
        Beat {
            member: self.me.to_string(),
            lease: LEASE,
            acked: self.acked,
            digest: self.digest.to_string(),
            declined: Member::declined_text(&declined),
            set: self.set_is_due.then(|| self.set.encode()),
            rev: self.rev,
            since: self.since,
            longest: terms.longest,
            keep: terms.keep,
            leaves: false,
            entries,
        }
    }

    /// What to say at the end.
    pub(super) fn farewell(&self, entries: Vec<Entry>, terms: Terms) -> Beat {
        Beat {
            member: self.me.to_string(),
            lease: LEASE,
            longest: terms.longest,
            keep: terms.keep,
            leaves: true,
            entries,
            ..Beat::default()
        }
    }

    /// Whether an answer that took so long says nothing any more: this process has stood still meanwhile.
    pub(super) fn is_late(took: Duration) -> bool {
        took >= LEASE
    }

    /// There was no answer to a beat that was sent then and given up after `took`. Returns whether the backing counts as
    /// away since now.
    ///
    /// While it is, nobody can take over what this Respite holds, so that goes on. Not so when the lease had ended before
    /// the first of these beats: the process has stood still, and others may have taken over long ago.
    pub(super) fn miss(&mut self, sent: Instant, took: Duration) -> bool {
        // It may be another backing that answers next, with another clock.
        self.rev = 0;
        self.clock_is_old = true;
        if took >= 2 * LEASE {
            self.missed = 0;
            return false;
        }
        if self.missed == 0 {
            self.isolated = self.lease_end.is_some_and(|end| sent < end);
        }
        self.missed = self.missed.saturating_add(1);
        self.missed == AWAY
    }

    /// Whether the backing counts as away.
    pub(super) fn is_away(&self) -> bool {
        self.missed >= AWAY
    }

    /// Whether what is held may be polled although the lease has ended.
    pub(super) fn is_isolated(&self) -> bool {
        self.is_away() && self.isolated
    }

    /// Until when nobody else polls what is held here.
    pub(super) fn lease_end(&self) -> Option<Instant> {
        self.lease_end
    }

    /// Takes in the answer to `beat`, which was sent and came then. Returns sets that have to be asked for before
    /// [`Membership::settle`].
    pub(super) fn hear(
        &mut self,
        beat: &Beat,
        told: &Told,
        (sent, received): (Instant, Instant),
    ) -> Vec<SetDigest> {
        let clock = BackingClock {
            micros: told.now,
            sent,
            received,
        };
        let old = std::mem::take(&mut self.clock_is_old);
        let better = |known: &BackingClock| old || clock.is_better_than(known);
        if self.clock.as_ref().is_none_or(better) {
            self.clock = Some(clock);
        }
        self.lease_end = Some(sent + LEASE);
        self.missed = 0;
        self.standing = Standing {
            rejoined: told.joined,
            settled: told.now.saturating_sub(told.born) >= micros(LEASE),
            complete: !told.more,
        };
        self.acked_there = beat.acked;
        if beat.digest == self.digest.to_string() {
            self.set_is_due = told.wants_set;
        }
        // A backing that has lost some counts anew: everything is read again.
        self.since = if told.upto < self.since { 0 } else { told.upto };
        self.rev = told.rev;
        if let Some(rows) = &told.rows {
            let members = rows
                .iter()
                .filter_map(|(name, row)| Member::parse(name, row));
            self.pending = Some(Pending {
                number: told.view,
                members: members.collect(),
                tries: 0,
            });
        } else if self.pending.is_none() && told.view != self.holdings.view().number {
            self.rev = 0;
        }
        self.missing()
    }

    fn missing(&mut self) -> Vec<SetDigest> {
        let Some(pending) = &self.pending else {
            return Vec::new();
        };
        self.sets.insert(self.digest, Arc::clone(&self.set));
        let named = |digest: &SetDigest| pending.members.iter().any(|member| member.set == *digest);
        self.sets.retain(|digest, _| named(digest));
        let mut missing: Vec<SetDigest> = Vec::new();
        for member in &pending.members {
            let known = self.sets.contains_key(&member.set) || missing.contains(&member.set);
            if !known && missing.len() < MOST_SETS {
                missing.push(member.set);
            }
        }
        missing
    }

    /// Takes in a set that was asked for.
    pub(super) fn learn(&mut self, digest: SetDigest, encoded: &[u8]) {
        if let Some(set) = KeySet::decode(encoded, digest) {
            self.sets.insert(digest, Arc::new(set));
        }
    }

    /// Draws the conclusions of what was heard last.
    pub(super) fn settle(&mut self) -> Changes {
        let mut changes = Changes::default();
        if self.standing.rejoined && self.standing.settled {
            self.holdings.forfeit(&mut changes);
        }
        self.standing.rejoined = false;
        let missing = !self.missing().is_empty();
        if let Some(mut pending) = self.pending.take() {
            if missing && pending.tries < TRIES {
                pending.tries += 1;
                self.pending = Some(pending);
            } else {
                let members = pending.members;
                let view = View::new(pending.number, members, &self.sets);
                self.acked = view.number;
                self.holdings.adopt(view, &mut changes);
            }
        }
        self.holdings.acquire(self.standing, &mut changes);
        changes
    }

    /// When the next beat is due after one that was sent: at once when others wait for what this one has to say.
    pub(super) fn pause(&self) -> Duration {
        if self.is_away() {
            EVERY
        } else if self.missed > 0 {
            HASTE
        } else if self.acked != self.acked_there || self.set_is_due {
            Duration::ZERO
        } else if self.holdings.expects() || self.pending.is_some() {
            HASTE
        } else {
            EVERY
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of so many, all of which track these shards.
    fn one_of(members: usize, keys: &[ShardKey]) -> Membership {
        let mut one = Membership::new("m0".into());
        one.track(keys.to_vec());
        let now = Instant::now();
        let beat = one.beat(Vec::new(), Terms::default(), now);
        let row = |n: usize| {
            let row = format!("0|{}|", beat.digest);
            (format!("m{n}").into_bytes(), row.into_bytes())
        };
        let told = Told {
            now: 1,
            view: 1,
            rev: 1,
            born: 1,
            joined: true,
            wants_set: false,
            upto: 0,
            more: false,
            rows: Some((0..members).map(row).collect()),
            records: Vec::new(),
        };
        assert!(one.hear(&beat, &told, (now, now)).is_empty());
        one.settle();
        one
    }

    #[test]
    fn all_that_refuse_a_login_are_declined() {
        let keys: Vec<_> = (1..=3000).map(ShardKey).collect();
        let now = Instant::now();
        // In a fleet of a thousand each has its part of what the rows may have together.
        for (members, told) in [(2, 3000), (1000, 986)] {
            let mut one = one_of(members, &keys);
            keys.iter().for_each(|key| one.decline(*key, now));
            one.decline(ShardKey(9999), now); // it tracks no such shard
            let beat = one.beat(Vec::new(), Terms::default(), now);
            let row = format!("0|{}|{}", beat.digest, beat.declined);
            let member = Member::parse(b"m0", row.as_bytes()).expect("a row");
            assert_eq!(member.declined, keys[..told]);
            assert_eq!(one.left_out(), 3000 - told);
            one.track(keys[..10].to_vec());
            let beat = one.beat(Vec::new(), Terms::default(), now);
            assert_eq!(beat.declined, Member::declined_text(&keys[..10]));
            assert_eq!(one.left_out(), 0);
        }
    }

    #[test]
    fn the_clock_of_the_backing_never_makes_anything_younger() {
        let sent = Instant::now();
        let received = sent + Duration::from_millis(10);
        let clock = BackingClock {
            micros: 5_000_000,
            sent,
            received,
        };
        let at = |ms: u64| sent + Duration::from_millis(ms);
        assert_eq!(clock.micros(at(10)), 5_000_000);
        assert_eq!(clock.micros(at(30)), 5_020_000);
        assert_eq!(clock.micros(sent), 4_990_000);
        let now = at(40);
        assert_eq!(clock.instant(5_000_000, now), Some(sent));
        assert_eq!(clock.instant(5_020_000, now), Some(at(20)));
        assert_eq!(clock.instant(9_000_000, now), Some(now), "not yet");
        // There and back: twenty milliseconds older at most, and never younger.
        let back = clock.instant(clock.micros(at(25)), now).expect("recent");
        assert!(back <= at(25) && back >= at(5), "{:?}", at(25) - back);
        assert!(clock.instant(0, now).is_none_or(|then| then < sent));
    }
}
