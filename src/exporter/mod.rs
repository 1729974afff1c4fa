//! The fleet for Prometheus, in the words of redis_exporter: its metric names, types and labels, from the INFO
//! in memory.
//!
//! Nothing here asks a server. What redis_exporter learns by other commands than `INFO` (`CONFIG`, `SLOWLOG`,
//! `LATENCY`, `CLIENT LIST`, `SENTINEL`, keys and scripts) is not there.
//!
//! # Layout
//!
//! - `fields`, `module_fields`: the table of INFO's fields and their metrics; `lines`: what has labels.
//! - `shards`: what is known of a shard beside its INFO. `families`: all of these in their order.
//! - `text`: how one INFO becomes samples. `one`: those of one shard; `all`: those of every shard, metric by
//!   metric and piece by piece. `targets`: the list of shards for Prometheus' `http_sd`.

mod all;
mod families;
mod fields;
mod lines;
mod module_fields;
mod one;
mod shards;
mod targets;
mod text;

use std::sync::Arc;

use crate::fleet::Fleet;

/// Tells Prometheus of a fleet.
#[derive(Debug)]
pub struct Exporter {
    fleet: Arc<Fleet>,
}

impl Exporter {
    /// Tells of this fleet.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>) -> Self {
        Exporter { fleet }
    }
}
