//! Random sequences of commands on one connection, in packets cut anywhere.
//!
//! `RESPITE_SEED=n` repeats the sequence that failed; `RESPITE_RANDOM_ROUNDS=n` runs n times as many.

use super::Protocol;
use super::generator::Generator;
use super::normalise::{Normaliser, normalise};
use super::pair::{Clients, Pair};
use crate::support::{Random, RedisServer, encode, escape};

/// Sequences per protocol in an ordinary run.
const SEQUENCES: u64 = 200;

const COMMANDS_PER_SEQUENCE: usize = 50;

#[test]
fn random_resp2() {
    if RedisServer::lacks((7, 0), "errors and orders that can be compared") {
        return;
    }
    run(Protocol::Resp2);
}

#[test]
fn random_resp3() {
    if RedisServer::lacks((7, 0), "errors and orders that can be compared") {
        return;
    }
    run(Protocol::Resp3);
}

fn run(protocol: Protocol) {
    sequences(&Pair::start(), protocol, SEQUENCES, Generator::new);
}

/// Compares so many sequences.
pub(crate) fn sequences(
    pair: &Pair,
    protocol: Protocol,
    count: u64,
    generator: impl Fn() -> Generator,
) {
    let factor = std::env::var("RESPITE_RANDOM_ROUNDS");
    let factor: u64 = factor.map_or(1, |text| {
        text.parse().expect("RESPITE_RANDOM_ROUNDS is a number")
    });
    let first = Random::from_env().seed();
    for round in 0..count * factor {
        let seed = first.wrapping_add(round);
        if let Err(why) = sequence(pair, protocol, generator(), Random::with_seed(seed)) {
            panic!("{protocol:?}, RESPITE_SEED={seed}\n{why}");
        }
    }
}

fn sequence(
    pair: &Pair,
    protocol: Protocol,
    mut generator: Generator,
    mut random: Random,
) -> Result<(), String> {
    pair.clear();
    let mut commands: Vec<_> = (0..COMMANDS_PER_SEQUENCE)
        .map(|_| generator.next(&mut random))
        .collect();
    // what is left open is closed, so that the data can be compared
    commands.push(vec![b"DISCARD".to_vec()]);
    let bytes: Vec<u8> = commands
        .iter()
        .flat_map(|command| encode(command))
        .collect();
    let packets = cut(&bytes, &mut random);

    let Clients {
        mut direct,
        mut through,
    } = pair.connect(protocol);
    let compared = direct.sending(&packets, |direct| {
        through.sending(&packets, |through| {
            for index in 0..commands.len() {
                let expected = direct.try_read_reply_raw();
                let actual = through.try_read_reply_raw();
                let same = match (&expected, &actual) {
                    (Ok(expected), Ok(actual)) => {
                        let sorted = |reply| in_any_order(&commands[index], reply);
                        expected == actual
                            || sorted(expected).is_some_and(|same| sorted(actual) == Some(same))
                    }
                    _ => false,
                };
                if !same {
                    return Err(explain(&commands, index, expected, actual));
                }
            }
            Ok(())
        })
    });
    compared?;
    pair.compare_data()
        .map_err(|why| format!("{}\n{why}", history(&commands)))
}

/// A reply with the members of sets in any order, which servers since 8.0 draw for each process; none where there is but
/// one order. What a transaction replies to each command stays in its place.
fn in_any_order(command: &[Vec<u8>], reply: &[u8]) -> Option<Vec<u8>> {
    const OF_SETS: [&[u8]; 4] = [b"SUNION", b"SDIFF", b"SINTER", b"SMEMBERS"];
    if RedisServer::version() < (8, 0, 0) {
        return None;
    }
    let name = command.first()?.to_ascii_uppercase();
    let normaliser = match &*name {
        name if OF_SETS.contains(&name) => Normaliser::Sort,
        b"EXEC" => Normaliser::Scan,
        _ => return None,
    };
    let mut replies = [reply.to_vec()];
    normalise(&mut replies, &[normaliser]);
    let [reply] = replies;
    Some(reply)
}

/// Cuts into packets: one, a few, or very many.
fn cut<'a>(bytes: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let largest = *random.pick(&[bytes.len(), 1000, 100, 20]);
    let mut packets = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let length = random.between(1, largest).min(rest.len());
        let (packet, after) = rest.split_at(if largest == bytes.len() {
            rest.len()
        } else {
            length
        });
        packets.push(packet);
        rest = after;
    }
    packets
}

/// What was sent behind the command is told as well: it may have overtaken it.
fn explain(
    commands: &[Vec<Vec<u8>>],
    index: usize,
    expected: Result<Vec<u8>, String>,
    actual: Result<Vec<u8>, String>,
) -> String {
    let show = |reply: Result<Vec<u8>, String>| reply.map_or_else(|why| why, |raw| escape(&raw));
    format!(
        "{}\n  redis   {}\n  respite {}\nbehind it\n{}",
        history(&commands[..=index]),
        show(expected),
        show(actual),
        history(&commands[index + 1..])
    )
}

fn history(commands: &[Vec<Vec<u8>>]) -> String {
    let line = |command: &Vec<Vec<u8>>| {
        command
            .iter()
            .map(|word| format!("\"{}\" ", escape(word)))
            .collect::<String>()
    };
    commands
        .iter()
        .map(|command| format!("  {}\n", line(command)))
        .collect()
}
