//! Judges a history by the promises P1 to P6 (`check_together` by P7); it knows nothing of how the history came about.
//!
//! Every write has an *effect interval* `[lo, hi]` in which it took effect: invoke to response, or invoke
//! to eternity (to the first read that saw it) for one that failed in an unknown way. A key with a
//! deadline gets a further write, of nil, around its expiry. Contents may recur (nil does all the time),
//! so a read returned one of its content's *candidates*: those with `lo` before the read's response. A read that shows
//! a part of the value (its size, whether it has an element) has those with that part for candidates.
//!
//! Then P2, P3, P4 and P6 are all of one form: a **floor**, the start of some write that had surely taken
//! effect and must not be missed. A read is too old if all its candidates had surely taken effect before
//! that write began: `hi < floor`. The floors of a read invoked at `t` on Respite X:
//! - P2: the newest write done before `t - δ`;
//! - P3: the newest write done through X before `t`;
//! - P4: the oldest write that an earlier read on X can have returned, over the reads answered before `t`;
//! - P6: P2 with δ = 0, and P4 over the reads of everyone. With one writer per key that is linearizability.
//!
//! P1: there are candidates. P5: one of them was not past its expiry at `t`. Reads that went straight to
//! the backing must be linearizable themselves; if they are not, the test is wrong ([`Promise::Model`]).

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::history::{Content, History, Nanos, Place, Read, SlotId, Write, nanos};

/// What a violation breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Promise {
    P1,
    P2,
    P3,
    P4,
    P5,
    P6,
    P7,
    /// None: the backing itself would have broken it, so the history or the checker is wrong.
    Model,
}

/// What is promised.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// P2's δ; none when no staleness is bounded.
    pub(crate) staleness: Option<Duration>,
    /// Whether P6 is promised.
    pub(crate) strict: bool,
    /// How far the clock of the backing may be from ours.
    pub(crate) slack: Duration,
    /// Whether a key may vanish at any time: then a nil says nothing.
    pub(crate) keys_vanish: bool,
}

/// A read that breaks a promise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Violation {
    pub(crate) promise: Promise,
    pub(crate) read: Read,
    /// The time of the write that it should have seen, or of the expiry that it missed.
    pub(crate) floor: Nanos,
}

const NEVER: Nanos = Nanos::MAX;

/// Returns every violation, by key and time.
pub(crate) fn check(history: &History, rules: &Rules) -> Vec<Violation> {
    let mut slots: BTreeMap<SlotId, (Vec<Write>, Vec<Read>)> = BTreeMap::new();
    for write in &history.writes {
        slots.entry(write.slot).or_default().0.push(*write);
    }
    for read in &history.reads {
        slots.entry(read.slot).or_default().1.push(*read);
    }
    let mut violations = Vec::new();
    for (writes, reads) in slots.values() {
        let timeline = Timeline::new(writes, reads, rules);
        timeline.sweep(reads, rules, &mut violations);
    }
    violations
}

/// A write as the checker sees it.
#[derive(Debug, Clone, Copy)]
struct Version {
    lo: Nanos,
    hi: Nanos,
    content: Content,
    size: u32,
    sure: bool,
    /// Through which Respite it surely was written.
    place: Option<Place>,
    /// How long the key lives after it.
    ttl: Option<Nanos>,
    /// When it is surely past its expiry.
    gone: Nanos,
}

/// All versions of one key, ready for binary search.
struct Timeline {
    candidates: HashMap<Content, Candidates>,
    sure: Floors,
    through: [Floors; 3],
}

/// The versions with one content, by `lo`; the others are the maximum of all up to there.
#[derive(Default)]
struct Candidates {
    lo: Vec<Nanos>,
    hi: Vec<Nanos>,
    gone: Vec<Nanos>,
}

/// `(hi, lo)` by `hi`, where `lo` is the maximum of all up to there.
#[derive(Default)]
struct Floors(Vec<(Nanos, Nanos)>);

/// What earlier reads have proved so far.
#[derive(Default)]
struct Proven {
    by_place: [Nanos; 3],
    by_anyone: Nanos,
}

// === impl Timeline ===

impl Timeline {
    fn new(writes: &[Write], reads: &[Read], rules: &Rules) -> Self {
        let versions = versions(writes, reads, rules);
        let mut candidates: HashMap<Content, Candidates> = HashMap::new();
        for version in &versions {
            for shown in version.content.shown(version.size) {
                candidates.entry(shown).or_default().push(version);
            }
        }
        let sure = versions.iter().filter(|version| version.sure);
        let through = Place::ALL
            .map(|place| Floors::new(sure.clone().filter(|version| version.place == Some(place))));
        Self {
            candidates,
            sure: Floors::new(sure),
            through,
        }
    }

    /// Goes through the reads in the order of time.
    fn sweep(&self, reads: &[Read], rules: &Rules, violations: &mut Vec<Violation>) {
        let ignored = |read: &Read| rules.keys_vanish && read.seen.is_absence();
        let mut events: Vec<(Nanos, bool, usize)> = Vec::with_capacity(reads.len() * 2);
        for (index, read) in reads.iter().enumerate().filter(|(_, read)| !ignored(read)) {
            // at the same instant starts come first: order is only what is strictly so
            events.push((read.start, false, index));
            events.push((read.end, true, index));
        }
        events.sort_unstable();
        let mut proves = vec![0; reads.len()];
        let mut proven = Proven::default();
        for (_, ended, index) in events {
            let read = &reads[index];
            if ended {
                proven.learn(read.place, proves[index]);
            } else {
                let mut breaks = |promise, floor| {
                    violations.push(Violation {
                        promise,
                        read: *read,
                        floor,
                    });
                };
                proves[index] = self.judge(read, rules, &proven, &mut breaks);
            }
        }
    }

    /// Reports what the read breaks and returns the floor that it proves for later ones.
    fn judge(
        &self,
        read: &Read,
        rules: &Rules,
        proven: &Proven,
        breaks: &mut impl FnMut(Promise, Nanos),
    ) -> Nanos {
        let candidates = self.candidates.get(&read.seen);
        let direct = read.place == Place::Direct;
        let as_promised = |promise| if direct { Promise::Model } else { promise };
        let Some((candidates, count)) = candidates
            .map(|candidates| (candidates, candidates.until(read.end)))
            .filter(|(_, count)| *count > 0)
        else {
            breaks(as_promised(Promise::P1), 0);
            return 0;
        };
        let gone = candidates.gone[count - 1];
        if gone < read.start {
            breaks(as_promised(Promise::P5), gone);
        }
        let newest = candidates.hi[count - 1];
        let place = read.place as usize;
        let exact = self.sure.before(read.start);
        let mut floors = vec![
            (Promise::P3, self.through[place].before(read.start)),
            (Promise::P4, proven.by_place[place]),
        ];
        if direct {
            floors.push((Promise::Model, exact));
        } else if let Some(staleness) = rules.staleness {
            let instant = read.start.saturating_sub(nanos(staleness));
            floors.push((Promise::P2, self.sure.before(instant)));
        }
        if rules.strict {
            floors.push((Promise::P6, exact.max(proven.by_anyone)));
        }
        let highest = floors.iter().map(|(_, floor)| *floor).max().unwrap_or(0);
        for (promise, floor) in floors.into_iter().filter(|(_, floor)| newest < *floor) {
            breaks(as_promised(promise), floor);
        }
        candidates.oldest_from(count, highest)
    }
}

/// Orders the writes, adds what the passing of time did and bounds what is unknown.
fn versions(writes: &[Write], reads: &[Read], rules: &Rules) -> Vec<Version> {
    let slack = nanos(rules.slack);
    let mut first_seen: HashMap<Content, Nanos> = HashMap::new();
    for read in reads {
        let Some(value) = read.seen.value() else {
            continue;
        };
        let seen = first_seen.entry(value).or_insert(NEVER);
        *seen = read.end.min(*seen);
    }
    let mut times: HashMap<Content, usize> = HashMap::new();
    for write in writes {
        *times.entry(write.content).or_default() += 1;
    }
    let initially = Version {
        lo: 0,
        hi: 0,
        content: Content::Nil,
        size: 0,
        sure: true,
        place: None,
        ttl: None,
        gone: NEVER,
    };
    let mut versions: Vec<Version> = vec![initially];
    for write in writes {
        let only_one = write.content.value().is_some() && times[&write.content] == 1;
        let landed = first_seen.get(&write.content).filter(|_| only_one);
        let hi = match landed {
            _ if write.sure => write.end,
            Some(seen) => (*seen).max(write.start),
            None => NEVER,
        };
        let ttl = write.ttl.map(nanos);
        let gone = ttl.map_or(NEVER, |ttl| hi.saturating_add(ttl + slack));
        versions.push(Version {
            lo: write.start,
            hi,
            content: write.content,
            size: write.size,
            sure: write.sure,
            place: write.sure.then_some(write.place),
            ttl,
            gone,
        });
    }
    versions.sort_by_key(|version| version.lo);
    let expiries = expiries(&versions, slack);
    versions.extend(expiries);
    versions.sort_by_key(|version| version.lo);
    versions
}

/// The writes of nil that the expiries are; one is sure when nothing else can have come between.
fn expiries(versions: &[Version], slack: Nanos) -> Vec<Version> {
    let mut reach = 0;
    let mut expiries = Vec::new();
    for (index, version) in versions.iter().enumerate() {
        let overlapped = reach >= version.lo;
        reach = reach.max(version.hi);
        let Some(ttl) = version.ttl else { continue };
        let from = (version.lo + ttl).saturating_sub(slack);
        let after = &versions[index + 1..];
        let replaced = after
            .iter()
            .take_while(|other| other.lo < from)
            .any(|other| other.sure && other.lo > version.hi && other.hi <= from);
        if replaced {
            continue;
        }
        let disturbed = after.first().is_some_and(|next| next.lo <= version.gone) || overlapped;
        expiries.push(Version {
            lo: from,
            hi: version.gone,
            content: Content::Nil,
            size: 0,
            sure: version.sure && !disturbed,
            place: None,
            ttl: None,
            gone: NEVER,
        });
    }
    expiries
}

// === impl Candidates ===

impl Candidates {
    fn push(&mut self, version: &Version) {
        let max = |list: &[Nanos], next: Nanos| list.last().map_or(next, |last| next.max(*last));
        self.lo.push(version.lo);
        self.hi.push(max(&self.hi, version.hi));
        self.gone.push(max(&self.gone, version.gone));
    }

    /// How many had begun by `end`.
    fn until(&self, end: Nanos) -> usize {
        self.lo.partition_point(|lo| *lo <= end)
    }

    /// The `lo` of the oldest among the first `count` that is not surely older than `floor`; 0 when all are.
    fn oldest_from(&self, count: usize, floor: Nanos) -> Nanos {
        let index = self.hi[..count].partition_point(|hi| *hi < floor);
        self.lo[..count].get(index).copied().unwrap_or(0)
    }
}

// === impl Floors ===

impl Floors {
    fn new<'a>(versions: impl Iterator<Item = &'a Version>) -> Self {
        let mut floors: Vec<(Nanos, Nanos)> =
            versions.map(|version| (version.hi, version.lo)).collect();
        floors.sort_unstable();
        let mut highest = 0;
        for (_, lo) in &mut floors {
            highest = highest.max(*lo);
            *lo = highest;
        }
        Self(floors)
    }

    /// The start of the newest write that was done before `instant`.
    fn before(&self, instant: Nanos) -> Nanos {
        let count = self.0.partition_point(|(hi, _)| *hi < instant);
        count.checked_sub(1).map_or(0, |last| self.0[last].1)
    }
}

// === impl Proven ===

impl Proven {
    fn learn(&mut self, place: Place, floor: Nanos) {
        let own = &mut self.by_place[place as usize];
        *own = floor.max(*own);
        self.by_anyone = floor.max(self.by_anyone);
    }
}
