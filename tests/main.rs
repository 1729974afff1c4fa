//! The integration tests: the real binary between real clients and real servers.
//!
//! `support` is the toolbox; every other module is a concern.

mod access;
mod browser;
mod bus;
mod cache;
mod clients;
mod cluster;
mod coherence;
#[path = "../benches/compare/measure.rs"]
mod compare_measure;
mod differential;
mod discovery;
mod effects;
mod faults;
mod fleet;
mod gateway;
mod http;
mod insight;
mod limits;
mod panics;
mod pinning;
mod races;
mod reload;
mod sentinel;
mod serve;
mod support;
mod tidy;
mod upstream;
