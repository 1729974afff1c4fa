//! What the command line says.

use std::time::Duration;

use crate::shared::args;

pub(crate) struct Options {
    pub(crate) rounds: usize,
    /// How long a run takes.
    pub(crate) time: Duration,
    /// How long clients run before anything is measured, where a cache has to come to where it stays.
    pub(crate) warm: Duration,
    pub(crate) only: Option<String>,
    pub(crate) write: bool,
}

impl Options {
    pub(crate) fn from_args() -> Self {
        let quick = args::has("--quick");
        let [rounds, millis, warm] = if quick { [1, 250, 500] } else { [5, 700, 2500] };
        Self {
            rounds: args::number("--rounds", rounds as usize),
            time: Duration::from_millis(args::number("--millis", millis)),
            warm: Duration::from_millis(warm),
            only: args::value("--only"),
            write: args::has("--write"),
        }
    }
}
