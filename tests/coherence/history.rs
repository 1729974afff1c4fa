//! What clients did and saw, with times; it does not judge.

use std::time::{Duration, Instant};

/// A (database, key) of the run, by number.
pub(crate) type SlotId = u32;

/// Nanoseconds since the start of the run, on a monotonic clock.
pub(crate) type Nanos = u64;

/// Which way a client goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// Through the first Respite.
    A,
    /// Through the second.
    B,
    /// Straight to the backing.
    Direct,
}

impl Place {
    /// Every place.
    pub(crate) const ALL: [Self; 3] = [Self::A, Self::B, Self::Direct];
}

/// What a key holds or a read returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Content {
    /// No key.
    Nil,
    /// A value of another type (a list).
    Other,
    /// The string that the owner of `origin` wrote as its `version`.
    Value { origin: SlotId, version: u64 },
    /// Bytes that no writer ever wrote.
    Garbage,
    // Of what a key holds, some reads show only a part. Writes are none of these.
    /// That value, and how many elements it had.
    Whole {
        origin: SlotId,
        version: u64,
        size: u32,
    },
    /// So many elements, or bytes of a string; 0: no key.
    Size(u32),
    /// More than so many elements.
    Has(u32),
    /// No more than so many elements.
    Lacks(u32),
    /// A value of the type that the key is for.
    Typed,
    /// A value of any type.
    There,
}

/// The most elements of a value that is no string.
pub(crate) const MOST_ELEMENTS: u32 = 6;

impl Content {
    /// The value that was seen, if it was, in whole or in part.
    pub(crate) fn value(self) -> Option<Self> {
        match self {
            Self::Value { origin, version }
            | Self::Whole {
                origin, version, ..
            } => Some(Self::Value { origin, version }),
            _ => None,
        }
    }

    /// Whether a key that is gone by itself would show that.
    pub(crate) fn is_absence(self) -> bool {
        matches!(self, Self::Nil | Self::Size(0) | Self::Lacks(_))
    }

    /// All that reads may show of it when it has so many elements.
    pub(crate) fn shown(self, size: u32) -> Vec<Self> {
        let mut shown = vec![self];
        let elements = |n| {
            if n < size {
                Self::Has(n)
            } else {
                Self::Lacks(n)
            }
        };
        match self {
            Self::Value { origin, version } => shown.extend([
                Self::Whole {
                    origin,
                    version,
                    size,
                },
                Self::Size(size),
                Self::Typed,
                Self::There,
            ]),
            Self::Nil => shown.push(Self::Size(0)),
            _ => return [self, Self::There].to_vec(),
        }
        shown.extend((0..=MOST_ELEMENTS).map(elements));
        shown
    }
}

/// A read whose content was visible.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    pub(crate) slot: SlotId,
    pub(crate) place: Place,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
    pub(crate) seen: Content,
    /// How it was read, for the report.
    pub(crate) how: &'static str,
}

/// A read of keys that are always written together.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) place: Place,
    /// Which keys: a group, or what one slot has of it.
    pub(crate) group: usize,
    pub(crate) start: Nanos,
    pub(crate) end: Nanos,
    /// The version of each; none: it is not there.
    pub(crate) seen: Vec<Option<u64>>,
    /// How they were read, for the report.
    pub(crate) how: &'static str,
}

/// A change of one key: a value, or a deletion.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Write {
    pub(crate) slot: SlotId,
    pub(crate) place: Place,
    pub(crate) start: Nanos,
    /// When its reply came.
    pub(crate) end: Nanos,
    pub(crate) content: Content,
    /// How many elements, or bytes of a string, there are then.
    pub(crate) size: u32,
    /// The key is gone so long after the write took effect.
    pub(crate) ttl: Option<Duration>,
    /// Whether it surely happened between `start` and `end`; else at any time after `start`, or never.
    pub(crate) sure: bool,
    /// How it was written, for the report.
    pub(crate) how: &'static str,
}

/// All that happened in a run. Keys start out missing.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<Write>,
    pub(crate) snapshots: Vec<Snapshot>,
}

impl History {
    /// Adds what another client did.
    pub(crate) fn extend(&mut self, other: Self) {
        self.reads.extend(other.reads);
        self.writes.extend(other.writes);
        self.snapshots.extend(other.snapshots);
    }
}

/// The clock of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    /// Starts at 1, so that the state before the run is older than everything.
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn now(self) -> Nanos {
        nanos(self.0.elapsed()) + 1
    }
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).expect("less than 500 years")
}

/// The bytes of a value: `SLOT.VERSION.PADDING.` and so many letters that depend on the version.
pub(crate) fn encode_value(origin: SlotId, version: u64, padding: usize) -> Vec<u8> {
    let mut bytes = format!("{origin}.{version}.{padding}.").into_bytes();
    bytes.resize(bytes.len() + padding, letter(version));
    bytes
}

/// What bytes that a read returned are.
pub(crate) fn decode_value(bytes: &[u8]) -> Content {
    parse_value(bytes).unwrap_or(Content::Garbage)
}

fn parse_value(bytes: &[u8]) -> Option<Content> {
    let mut parts = bytes.splitn(4, |&byte| byte == b'.');
    let mut number = || std::str::from_utf8(parts.next()?).ok()?.parse::<u64>().ok();
    let (origin, version, padding) = (number()?, number()?, number()?);
    let rest = parts.next()?;
    let whole = rest.len() as u64 == padding && rest.iter().all(|&byte| byte == letter(version));
    let origin = SlotId::try_from(origin).ok()?;
    whole.then_some(Content::Value { origin, version })
}

fn letter(version: u64) -> u8 {
    b'a' + u8::try_from(version % 26).expect("less than 26")
}

#[test]
fn values_survive_the_wire_and_nothing_else_does() {
    let content = Content::Value {
        origin: 7,
        version: 40,
    };
    let bytes = encode_value(7, 40, 12);
    assert_eq!(decode_value(&bytes), content);
    assert_eq!(decode_value(&bytes[..bytes.len() - 1]), Content::Garbage);
    assert_eq!(decode_value(&[&bytes[..], b"o"].concat()), Content::Garbage);
    assert_eq!(decode_value(b"7.40.1.p"), Content::Garbage);
    assert_eq!(decode_value(b""), Content::Garbage);
}
