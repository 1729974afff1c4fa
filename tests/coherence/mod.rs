//! The coherence test: random clients and faults around one or two Respites, and a checker that proves
//! from invoke and response times alone that the promises P1 to P7 of the cache held.
//!
//! - [`history`] is what was done and seen, [`check`] the judge, [`check_together`] that of reads of many keys; none knows a socket.
//! - [`world`], [`load`], [`conn`], [`nodes`] are the clients; [`faults`] is what happens to the connections and the backing.
//! - [`run`] puts a scenario together; [`scenarios`] are those that must hold.
//! - [`regressions`] is what it has found.
//! - [`liar`] is a proxy with a bad cache and [`mutants`] are bad Respites: each must be caught.
//!
//! `RESPITE_SEED=n` repeats the random choices of a run (not its timing), `COHERENCE_SECONDS=n` sets the
//! length of each scenario (3). What it does not prove: that an answer was in time where no bound is
//! promised, and order across keys that are read one by one.

mod check;
mod check_tests;
mod check_together;
mod conn;
mod faults;
mod history;
mod liar;
mod load;
mod mutants;
mod nodes;
mod regressions;
mod report;
mod run;
mod scenarios;
mod world;
