//! Runs scenarios on both sides and compares.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Protocol;
use super::normalise::{Normaliser, normalise};
use super::pair::{Clients, Pair};
use super::scenario::{Action, Scenario, Step};
use crate::support::{Client, RedisServer, escape};

/// No step of a scenario waits longer for a reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(4);

/// After so many failures a file is given up.
const MAX_FAILURES: usize = 20;

/// Runs all scenarios of a file in every way there is.
pub(crate) fn file(name: &str, text: &str) {
    none_fail(&play(&Pair::start(), name, &Scenario::parse_file(text)));
}

#[track_caller]
pub(crate) fn none_fail(failures: &[String]) {
    assert!(
        failures.is_empty(),
        "{} failures\n\n{}\n",
        failures.len(),
        failures.join("\n\n")
    );
}

/// Runs the scenarios of a file; returns what differs.
pub(crate) fn play(pair: &Pair, name: &str, scenarios: &[Scenario]) -> Vec<String> {
    let mut failures = Vec::new();
    for scenario in scenarios {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            for one_packet in [false, true] {
                if !scenario.speaks(protocol) || one_packet && !scenario.fits_one_packet() {
                    continue;
                }
                if scenario.needs_7() && RedisServer::version() < (7, 0, 0) {
                    continue;
                }
                // It has rules of its own for quotes.
                let quotes = scenario.name.ends_with("quotes followed by text");
                if quotes && RedisServer::is_valkey() {
                    continue;
                }
                let logs_in = ["hello", "auth"].contains(&scenario.name.as_str());
                if one_packet && logs_in && RedisServer::swallows_failed_logins() {
                    continue;
                }
                let result = run(pair, scenario, protocol, one_packet);
                if let Err(why) = result.and_then(|()| pair.compare_data()) {
                    let packet = if one_packet { ", one packet" } else { "" };
                    failures.push(format!(
                        "{name}: {} ({protocol:?}{packet})\n{why}",
                        scenario.name
                    ));
                }
            }
        }
        if failures.len() >= MAX_FAILURES {
            break;
        }
    }
    failures
}

fn run(
    pair: &Pair,
    scenario: &Scenario,
    protocol: Protocol,
    one_packet: bool,
) -> Result<(), String> {
    pair.clear();
    if one_packet {
        run_packet(pair, scenario, protocol)
    } else {
        run_steps(pair, scenario, protocol)
    }
}

fn run_steps(pair: &Pair, scenario: &Scenario, protocol: Protocol) -> Result<(), String> {
    let mut clients: BTreeMap<char, Clients> = BTreeMap::new();
    for step in &scenario.steps {
        let clients = clients
            .entry(step.client)
            .or_insert_with(|| connect(pair, protocol));
        match &step.action {
            Action::Exchange {
                bytes,
                replies,
                normalisers,
                ..
            } => {
                let direct = clients.direct.exchange(&[bytes], *replies);
                let through = clients.through.exchange(&[bytes], *replies);
                compare(step, direct, through, normalisers)?;
            }
            Action::Eof => expect_closed(step, clients)?,
            Action::Blocked(count) => pair.wait_blocked(*count),
        }
    }
    Ok(())
}

fn run_packet(pair: &Pair, scenario: &Scenario, protocol: Protocol) -> Result<(), String> {
    let mut clients = connect(pair, protocol);
    let mut packet = Vec::new();
    for step in &scenario.steps {
        if let Action::Exchange { bytes, .. } = &step.action {
            packet.extend_from_slice(bytes);
        }
    }
    let Clients { direct, through } = &mut clients;
    // every step's replies are read as they come, so that a missing one is named by its step
    let result = direct.sending(&[&packet], |direct| {
        through.sending(&[&packet], |through| {
            scenario
                .steps
                .iter()
                .try_for_each(|step| match &step.action {
                    Action::Exchange {
                        replies,
                        normalisers,
                        ..
                    } => compare(
                        step,
                        read(direct, *replies),
                        read(through, *replies),
                        normalisers,
                    ),
                    Action::Eof | Action::Blocked(_) => Ok(()),
                })
        })
    });
    result?;
    match scenario.steps.last() {
        Some(step) if matches!(step.action, Action::Eof) => expect_closed(step, &mut clients),
        _ => Ok(()),
    }
}

fn connect(pair: &Pair, protocol: Protocol) -> Clients {
    let clients = pair.connect(protocol);
    clients.direct.set_timeout(REPLY_TIMEOUT);
    clients.through.set_timeout(REPLY_TIMEOUT);
    clients
}

fn read(client: &mut Client, count: usize) -> Result<Vec<Vec<u8>>, String> {
    (0..count).map(|_| client.try_read_reply_raw()).collect()
}

fn expect_closed(step: &Step, clients: &mut Clients) -> Result<(), String> {
    match (clients.direct.closed(), clients.through.closed()) {
        (true, true) => Ok(()),
        (true, false) => Err(format!("  step {}\n  respite did not close", step.text)),
        (false, _) => Err(format!(
            "  step {}\n  redis itself did not close",
            step.text
        )),
    }
}

fn compare(
    step: &Step,
    direct: Result<Vec<Vec<u8>>, String>,
    through: Result<Vec<Vec<u8>>, String>,
    normalisers: &[Normaliser],
) -> Result<(), String> {
    let mut direct =
        direct.map_err(|why| format!("  step {}\n  redis itself: {why}", step.text))?;
    let mut through = through.map_err(|why| {
        format!(
            "  step {}\n  redis   {}\n  respite {why}",
            step.text,
            escape(&direct.concat())
        )
    })?;
    // Not Respite's words.
    const OF_VALKEY: [&str; 4] = [" ID abc", "READONLY", "READWRITE", "CLUSTER KEYSLOT abc"];
    if RedisServer::is_valkey() && OF_VALKEY.iter().any(|text| step.text.contains(text)) {
        return Ok(());
    }
    if RedisServer::version() < (7, 0, 0) {
        // Before 7.0 it drew members of small sets from a generator that no two servers share.
        // It takes the id 0 for one that nobody has.
        if step.text.contains("ZRANDMEMBER") || step.text.contains("CLIENT KILL ID 0") {
            return Ok(());
        }
        // The errors are worded as in version 7.0.
        let code = |reply: &Vec<u8>| reply.split(|byte| *byte == b' ').next().map(<[u8]>::to_vec);
        for reply in direct.iter_mut().chain(&mut through) {
            if reply.starts_with(b"-") {
                *reply = code(reply).unwrap_or_default();
            }
        }
    }
    normalise(&mut direct, normalisers);
    normalise(&mut through, normalisers);
    if direct == through {
        return Ok(());
    }
    let (direct, through) = (escape(&direct.concat()), escape(&through.concat()));
    Err(format!(
        "  step {}\n  redis   {direct}\n  respite {through}",
        step.text
    ))
}
