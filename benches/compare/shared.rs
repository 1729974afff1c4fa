//! What benchmarks share.
#![allow(dead_code, reason = "not every benchmark asks for all of it")]

pub(crate) mod args;
pub(crate) mod leash;
pub(crate) mod measure;
pub(crate) mod page;
pub(crate) mod servers;
pub(crate) mod table;
