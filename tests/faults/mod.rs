//! What production does to a proxy, done to this one: the backing dies, stalls, refuses and forgets, the network breaks,
//! and clients know what each of their replies has to be.
//!
//! - [`client`] asks and judges, [`backing`] is what is behind, [`fault`] the table of what goes wrong, [`run`] plays one.
//! - [`table`] plays all of them for longer and writes what came of it into docs/reliability.md (`make faults`).
//!
//! `RESPITE_SEED=n` repeats what clients ask and where connections break, not the timing.

mod backing;
mod client;
mod fault;
mod run;
mod table;

use std::time::Duration;

use backing::Kind;

/// How long a fault lasts in the short form.
const SHORT: Duration = Duration::from_millis(1200);

/// The faults that are part of the short form, on one server.
#[test]
fn one_server() {
    for fault in fault::FAULTS.iter().filter(|fault| fault.short) {
        if fault.behind.contains(&Kind::One) {
            eprintln!("{}", fault.name);
            run::play(fault, Kind::One, SHORT);
        }
    }
}
