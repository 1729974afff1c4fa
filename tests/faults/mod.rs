//! What production does to a proxy, done to this one: the backing dies, stalls, refuses and forgets, the network breaks,
//! and clients know what each of their replies has to be.
//!
//! - [`client`] asks and judges, [`backing`] is what is behind, [`fault`] the table of what goes wrong, [`run`] plays one.
//! - [`table`] plays all of them for longer and writes what came of it into docs/reliability.md (`make faults`).
//! - [`soak`] goes on for long, with everything else that clients do ([`habits`]) at the same time (`make soak`).
//!
//! `RESPITE_SEED=n` repeats what clients ask and where connections break, not the timing.

mod backing;
mod client;
mod fault;
mod habits;
mod list;
mod run;
mod soak;
mod table;
mod tally;

use std::time::Duration;

use backing::Kind;
use fault::{Fault, Needs};
use list::FAULTS;

use crate::support::RedisServer;

/// How long a fault lasts in the short form.
const SHORT: Duration = Duration::from_millis(1200);

/// Plays the faults of the short form that are of a kind, in front of one server.
fn play_short(of_kind: impl Fn(&Fault) -> bool) {
    let short = FAULTS.iter().filter(|fault| fault.short && of_kind(fault));
    for fault in short {
        if fault.needs == Needs::SlowLoad && RedisServer::lacks((7, 0), "slow loads that answer") {
            continue;
        }
        eprintln!("{}", fault.name);
        run::play(fault, Kind::One, SHORT);
    }
}

fn is_refusal(fault: &Fault) -> bool {
    !fault
        .allowed
        .iter()
        .any(|told| told.starts_with("UPSTREAM"))
}

#[test]
fn a_network_that_fails() {
    play_short(|fault| fault.needs == Needs::Relays && !is_refusal(fault));
}

#[test]
fn a_server_that_fails() {
    play_short(|fault| fault.needs != Needs::Relays && !is_refusal(fault));
}

#[test]
fn a_server_that_refuses() {
    play_short(is_refusal);
}
