//! Tells of a run: its size, and each violation with what happened to its key around it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::check::{Promise, Violation};
use super::history::{Content, History, Nanos};
use super::world::World;

/// So many violations are shown in full.
const SHOWN: usize = 5;

/// So many operations before and after a violation are shown.
const AROUND: (usize, usize) = (14, 4);

/// The violations, counted by promise.
pub(crate) fn count(violations: &[Violation]) -> String {
    let mut counts: BTreeMap<Promise, usize> = BTreeMap::new();
    for violation in violations {
        *counts.entry(violation.promise).or_default() += 1;
    }
    match counts.is_empty() {
        true => "no violations".to_owned(),
        false => format!("violations {counts:?}"),
    }
}

/// The first violations of each promise, with the operations around them.
pub(crate) fn explain(history: &History, violations: &[Violation], world: &World) -> String {
    let mut text = String::new();
    let mut told: BTreeMap<Promise, usize> = BTreeMap::new();
    for violation in violations {
        let told = told.entry(violation.promise).or_default();
        *told += 1;
        if *told <= SHOWN {
            explain_one(&mut text, history, violation, world);
        }
    }
    text
}

fn explain_one(text: &mut String, history: &History, violation: &Violation, world: &World) {
    let read = violation.read;
    let slot = world.slot(read.slot);
    let floor = match violation.floor {
        0 => String::new(),
        floor => format!(", missing what began or ended at {}", millis(floor)),
    };
    let _ = writeln!(
        text,
        "{:?}: db {} key {}: {} at {:?} invoked at {} saw {}{floor}",
        violation.promise,
        slot.db,
        slot.name,
        read.how,
        read.place,
        millis(read.start),
        show(read.seen),
    );
    let mut lines: Vec<(Nanos, String)> = Vec::new();
    for write in history
        .writes
        .iter()
        .filter(|write| write.slot == read.slot)
    {
        let ttl = write
            .ttl
            .map_or(String::new(), |ttl| format!(" for {ttl:?}"));
        let unsure = if write.sure { "" } else { " ?" };
        let shown = show(write.content);
        let what = format!("{} {shown} of {}{ttl}{unsure}", write.how, write.size);
        lines.push((
            write.start,
            line(write.start, write.end, &format!("{:?}", write.place), &what),
        ));
    }
    for other in history.reads.iter().filter(|other| other.slot == read.slot) {
        let this = other.start == read.start && other.place == read.place;
        let mark = if this { "  <==" } else { "" };
        let what = format!("       {} saw {}{mark}", other.how, show(other.seen));
        lines.push((
            other.start,
            line(other.start, other.end, &format!("{:?}", other.place), &what),
        ));
    }
    lines.sort();
    let at = lines.partition_point(|(start, _)| *start < read.start);
    // what the read missed matters as much as what came just before it
    let missed = lines.partition_point(|(start, _)| *start < violation.floor);
    let near = at.saturating_sub(AROUND.0)..(at + AROUND.1).min(lines.len());
    let first = missed.saturating_sub(2)..(missed + 3).min(near.start);
    for (_, line) in lines.get(first).unwrap_or(&[]).iter().chain(&lines[near]) {
        let _ = writeln!(text, "{line}");
    }
}

fn line(start: Nanos, end: Nanos, place: &str, what: &str) -> String {
    format!(
        "    {:>9} .. {:>9}  {place:<7} {what}",
        millis(start),
        millis(end)
    )
}

fn millis(time: Nanos) -> String {
    format!("{}.{:03}", time / 1_000_000, time / 1000 % 1000)
}

fn show(content: Content) -> String {
    match content {
        Content::Nil => "nil".to_owned(),
        Content::Other => "a list".to_owned(),
        Content::Garbage => "garbage".to_owned(),
        Content::Value { origin, version } => format!("{origin}.{version}"),
        Content::Whole {
            origin,
            version,
            size,
        } => format!("{origin}.{version} of {size}"),
        Content::Size(size) => format!("a size of {size}"),
        Content::Has(n) => format!("more than {n}"),
        Content::Lacks(n) => format!("no more than {n}"),
        Content::Typed => "its type".to_owned(),
        Content::There => "a key".to_owned(),
    }
}
