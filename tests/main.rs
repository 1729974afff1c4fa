//! The integration tests: the real binary between real clients and real servers.
//!
//! `support` is the toolbox; every other module is a concern.

#[path = "../benches/compare/measure.rs"]
mod compare_measure;
mod clients;
mod differential;
mod limits;
mod pinning;
mod support;
mod upstream;
