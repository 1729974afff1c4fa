//! What the scripts beside `exchange.lua` answer. Nobody else knows the shape of these answers.

use std::time::Duration;

use redis::Value;

use super::value::{bytes, list, next, number, pairs, text};
use crate::bus::counters::Totals;
use crate::bus::fetch::{Delivered, read_patterns};
use crate::bus::method::{Body, Method, Options, Registry};

/// A Respite that a registry is leased to which has changed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) struct Holder {
    pub(in crate::bus) name: String,
    /// How long the lease lasts.
    pub(in crate::bus) left: Duration,
}

/// `register.lua`
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) struct Registered {
    /// None: there are too many methods.
    pub(in crate::bus) generation: Option<i64>,
    pub(in crate::bus) has_changed: bool,
    pub(in crate::bus) holders: Vec<Holder>,
}

/// `unregister.lua`
#[derive(Debug)]
pub(in crate::bus) struct Unregistered {
    /// Whether there was such a method.
    pub(in crate::bus) was: bool,
    /// Whether calls are left.
    pub(in crate::bus) more: bool,
    /// Calls that have ended and that somebody here waits for.
    pub(in crate::bus) ended: Vec<String>,
    pub(in crate::bus) holders: Vec<Holder>,
}

/// `cleanup.lua`
#[derive(Debug)]
pub(in crate::bus) struct CleanedUp {
    /// How many keys.
    pub(in crate::bus) removed: i64,
    /// Whether keys are left.
    pub(in crate::bus) more: bool,
    /// Calls that have ended and that somebody here waits for.
    pub(in crate::bus) ended: Vec<String>,
    pub(in crate::bus) holders: Vec<Holder>,
    /// When the last of their leases ends, by the clock of the backing.
    pub(in crate::bus) last_lease: String,
}

/// `inspect.lua`
#[derive(Debug)]
pub(in crate::bus) struct Inspected {
    /// One for each method that was asked about.
    pub(in crate::bus) methods: Vec<MethodState>,
    pub(in crate::bus) workers: Vec<WorkerRow>,
}

/// What goes on with a method.
#[derive(Debug)]
pub(in crate::bus) struct MethodState {
    pub(in crate::bus) queued: i64,
    pub(in crate::bus) in_flight: i64,
    pub(in crate::bus) totals: Totals,
}

/// A worker that is alive.
#[derive(Debug)]
pub(in crate::bus) struct WorkerRow {
    pub(in crate::bus) name: String,
    pub(in crate::bus) patterns: Vec<String>,
    pub(in crate::bus) last_seen_ms: i64,
    pub(in crate::bus) in_flight: i64,
}

/// A call on the dead list.
#[derive(Debug)]
pub(in crate::bus) struct DeadRow {
    pub(in crate::bus) call: Delivered,
    pub(in crate::bus) code: String,
    pub(in crate::bus) message: String,
}

/// `revive.lua`
#[derive(Debug)]
pub(in crate::bus) struct Revived {
    /// Whether there was such a dead call.
    pub(in crate::bus) was: bool,
    /// The method that has one more call queued.
    pub(in crate::bus) method: Option<String>,
}

/// Reads the answer of `registry.lua`. What no Respite can have written is left out.
pub(in crate::bus) fn read_registry(answer: Value) -> Registry {
    let mut words = list(answer).into_iter();
    let registry_stamp = text(next(&mut words));
    let mut methods = Vec::new();
    while let Some(name) = words.next() {
        let (name, stamp) = (text(name), text(next(&mut words)));
        if let Some(options) = Options::decode(&bytes(next(&mut words))) {
            methods.push(Method {
                name,
                stamp,
                options,
            });
        }
    }
    Registry::new(registry_stamp, methods)
}

/// Reads the answer of `prune.lua`: whether there is more to remove.
pub(in crate::bus) fn read_more(answer: &Value) -> bool {
    number(answer) == 1
}

/// Reads the answer of `uncache.lua`: how many results were removed.
pub(in crate::bus) fn read_removed(answer: &Value) -> i64 {
    number(answer)
}

/// Reads the answer of `dead.lua` about a method.
pub(in crate::bus) fn read_dead(answer: Value, method: &str) -> Vec<DeadRow> {
    let rows = list(answer).into_iter();
    rows.map(|row| DeadRow::decode(row, method)).collect()
}

fn flag(value: &Value) -> bool {
    number(value) == 1
}

fn texts(value: Value) -> Vec<String> {
    list(value).into_iter().map(text).collect()
}

fn holders(flat: Value) -> Vec<Holder> {
    let holder = |(name, ms): (Value, Value)| Holder {
        name: text(name),
        left: Duration::from_millis(number(&ms).max(0).cast_unsigned()),
    };
    pairs(flat).map(holder).collect()
}

impl Registered {
    pub(in crate::bus) fn decode(answer: Value) -> Self {
        let mut words = list(answer).into_iter();
        Registered {
            generation: Some(number(&next(&mut words))).filter(|generation| *generation >= 0),
            has_changed: flag(&next(&mut words)),
            holders: holders(next(&mut words)),
        }
    }
}

impl Unregistered {
    pub(in crate::bus) fn decode(answer: Value) -> Self {
        let mut words = list(answer).into_iter();
        let (was, more) = (flag(&next(&mut words)), flag(&next(&mut words)));
        let ended = texts(next(&mut words));
        // The failures are counted where the calls were made.
        next(&mut words);
        Unregistered {
            was,
            more,
            ended,
            holders: holders(next(&mut words)),
        }
    }
}

impl CleanedUp {
    pub(in crate::bus) fn decode(answer: Value) -> Self {
        let mut words = list(answer).into_iter();
        CleanedUp {
            removed: number(&next(&mut words)),
            more: flag(&next(&mut words)),
            ended: texts(next(&mut words)),
            holders: holders(next(&mut words)),
            last_lease: text(next(&mut words)),
        }
    }
}

impl Inspected {
    pub(in crate::bus) fn decode(answer: Value) -> Self {
        let mut parts = list(answer).into_iter();
        let methods = list(next(&mut parts)).into_iter();
        let workers = list(next(&mut parts)).into_iter();
        Inspected {
            methods: methods.map(MethodState::decode).collect(),
            workers: workers.map(WorkerRow::decode).collect(),
        }
    }
}

impl MethodState {
    fn decode(row: Value) -> Self {
        let mut row = list(row).into_iter();
        let (queued, in_flight) = (number(&next(&mut row)), number(&next(&mut row)));
        let fields = pairs(next(&mut row));
        MethodState {
            queued,
            in_flight,
            totals: Totals::read(fields.map(|(name, value)| (text(name), bytes(value)))),
        }
    }
}

impl WorkerRow {
    fn decode(row: Value) -> Self {
        let mut row = list(row).into_iter();
        WorkerRow {
            name: text(next(&mut row)),
            last_seen_ms: number(&next(&mut row)),
            patterns: read_patterns(&bytes(next(&mut row))),
            in_flight: number(&next(&mut row)),
        }
    }
}

impl DeadRow {
    fn decode(row: Value, method: &str) -> Self {
        let mut row = list(row).into_iter();
        let call = Delivered {
            id: text(next(&mut row)),
            body: Body::read(bytes(next(&mut row))),
            method: method.to_owned(),
            ..Delivered::default()
        };
        DeadRow {
            code: text(next(&mut row)),
            message: text(next(&mut row)),
            call: Delivered {
                attempt: number(&next(&mut row)),
                ..call
            },
        }
    }
}

impl Revived {
    pub(in crate::bus) fn decode(answer: Value) -> Self {
        let mut parts = list(answer).into_iter();
        let was = flag(&next(&mut parts));
        let queued = list(next(&mut parts)).into_iter();
        Revived {
            was,
            method: queued.map(text).next(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn a_registry_leaves_out_what_no_respite_has_written() {
        let options = Value::BulkString(Options::default().encode());
        let words = [
            bulk("5"),
            bulk("m"),
            bulk("1:5"),
            options,
            bulk("n"),
            bulk("2:5"),
            bulk("nonsense"),
        ];
        let registry = read_registry(Value::Array(words.to_vec()));
        assert_eq!(registry.stamp, "5");
        assert_eq!(registry.get("m").map(|method| &*method.stamp), Some("1:5"));
        assert!(registry.get("n").is_none());
    }

    #[test]
    fn a_registration_says_whom_to_wait_for() {
        let leased = Value::Array(vec![bulk("r"), Value::Int(20)]);
        let answer = Value::Array(vec![Value::Int(2), Value::Int(1), leased]);
        let left = Duration::from_millis(20);
        let name = "r".to_owned();
        let expected = Registered {
            generation: Some(2),
            has_changed: true,
            holders: vec![Holder { name, left }],
        };
        assert_eq!(Registered::decode(answer), expected);
        let full = Value::Array(vec![Value::Int(-1)]);
        assert_eq!(Registered::decode(full).generation, None);
    }
}
