//! The same with a cluster of three masters behind Respite and one plain Redis beside it.
//!
//! The scenarios run as they are, but that the keys of each get one hash tag: each file, and each scenario in it, has
//! another, so that all nodes are tried. Random commands run with all keys in one slot, and with keys in
//! many slots and the commands that are split. What cannot be alike is listed in [`APART`] and
//! in the generator.

use std::collections::BTreeSet;

use super::generator::Generator;
use super::pair::Pair;
use super::scenario::{Action, Scenario};
use super::{FILES, Protocol, random, run};
use crate::support::{RedisServer, Reply};

/// Random sequences of each kind and protocol.
const SEQUENCES: u64 = 50;

/// Steps that are left out: of the scenario, or of all, those with these words, or all; and why.
const APART: &[(&str, &str, &str)] = &[
    ("", "SELECT", "a cluster has one database"),
    ("", "SWAPDB", "a cluster has one database"),
    ("", "MOVE", "a cluster has one database"),
    ("", "DB", "a cluster has one database"),
    (
        "",
        "CLIENT TRACKING",
        "a client would have to hear from each node",
    ),
    ("tracking by the client", "", "as above"),
    ("tracking needs resp3 or a redirection", "", "as above"),
    ("sort", "BY", "the pattern names keys of any slot"),
    ("", "MEMORY USAGE", "a node notes the slot of each key"),
    (
        "a subscriber's own message",
        "",
        "it is subscribed at one node, and any publishes: the message comes before or after the reply",
    ),
    (
        "keyspace notifications",
        "",
        "each node tells of its own keys, to those who are subscribed there",
    ),
    (
        "scripts and functions inside",
        "FLUSHALL",
        "a transaction is one node's",
    ),
    ("scripts and functions inside", "DBSIZE", "as above"),
    ("", "ROLE", "each node has its own offset"),
    ("", "READWRITE", "before version 7.0 any Redis takes it"),
    ("calls and errors", "'none'", "a script names its keys"),
    ("", "FAILOVER ABORT", "a cluster has another command"),
    ("", "LATENCY HISTORY", "each node has its own"),
    ("", "DEBUG", "it is for one node"),
    ("calls and errors", "'k'", "a script names its keys"),
    ("calls and errors", "undeclared", "as above"),
    ("conversions", "'missing'", "as above"),
    ("scripts and functions inside", "'k'", "as above"),
];

#[test]
fn scenarios_with_keys_of_one_slot() {
    let pair = Pair::with_cluster();
    let (mut failures, mut steps, mut left_out) = (Vec::new(), 0, 0);
    for (name, text) in FILES {
        let mut scenarios = Scenario::parse_file(text);
        for (number, scenario) in scenarios.iter_mut().enumerate() {
            let all = scenario.steps.len();
            let of = scenario.name.clone();
            scenario.steps.retain(|step| !is_apart(&of, &step.text));
            steps += all;
            left_out += all - scenario.steps.len();
            tag(scenario, &pair, &format!("{name}{number}"));
        }
        scenarios.retain(|scenario| !scenario.steps.is_empty());
        failures.extend(run::play(&pair, name, &scenarios));
    }
    run::none_fail(&failures);
    assert!(left_out * 10 < steps, "{left_out} of {steps} left out");
}

#[test]
fn random_commands() {
    if RedisServer::lacks((7, 0), "errors and orders that can be compared") {
        return;
    }
    let pair = Pair::with_cluster();
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        // A slot of each node.
        for tag in ["a", "b", "c"] {
            let generator = || Generator::in_one_slot(tag);
            random::sequences(&pair, protocol, SEQUENCES / 3, generator);
        }
        random::sequences(&pair, protocol, SEQUENCES, Generator::in_all_slots);
    }
}

fn is_apart(scenario: &str, step: &str) -> bool {
    let mut apart = APART.iter();
    apart.any(|(of, words, _)| {
        (of.is_empty() || *of == scenario) && (words.is_empty() || has_words(step, words))
    })
}

/// Whether they stand in it, not as parts of longer words.
fn has_words(step: &str, words: &str) -> bool {
    let ends =
        |text: &str, at: fn(&str) -> Option<char>| !at(text).is_some_and(char::is_alphanumeric);
    let mut found = step.match_indices(words);
    found.any(|(at, _)| {
        let (before, after) = (&step[..at], &step[at + words.len()..]);
        ends(before, |text| text.chars().next_back()) && ends(after, |text| text.chars().next())
    })
}

/// Puts all keys of a scenario into one slot: the words that are keys get a tag, wherever they stand.
fn tag(scenario: &mut Scenario, pair: &Pair, tag: &str) {
    let keys = keys(scenario, pair);
    let tag = format!("{{{tag}}}").into_bytes();
    scenario.reword(|word| keys.contains(word).then(|| [word, &tag].concat()));
}

/// The keys of its commands, as the plain Redis tells them, and the channels that have a slot.
fn keys(scenario: &Scenario, pair: &Pair) -> BTreeSet<Vec<u8>> {
    let mut client = pair.direct().connect();
    let mut keys = BTreeSet::new();
    for step in &scenario.steps {
        let Action::Exchange { words, .. } = &step.action else {
            continue;
        };
        let name = words.first().map(|name| name.to_ascii_uppercase());
        if let Some(b"SSUBSCRIBE" | b"SUNSUBSCRIBE" | b"SPUBLISH") = name.as_deref() {
            keys.extend(words[1..].iter().cloned());
        }
        let asked = [b"COMMAND".to_vec(), b"GETKEYS".to_vec()];
        if let (false, Reply::Array(found)) = (
            words.is_empty(),
            client.call(&[&asked, &words[..]].concat()),
        ) {
            keys.extend(found.iter().map(|key| key.as_bytes().to_vec()));
        }
    }
    keys
}
