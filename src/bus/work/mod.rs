//! The workers' side: `BUS.FETCH`, `BUS.REPLY`, `BUS.FAIL`, `BUS.BEAT`.
//!
//! `commands` uses it; what waits and what is held is in `fetch`.

mod fetching;
mod working;

pub(super) use working::{beat, fetch, reply};
