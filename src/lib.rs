//! Respite: one server that speaks the Redis protocol, in front of a backing Redis.
//!
//! # Layout
//!
//! - [`app`] builds everything, wires it, and shuts it down in order. It is the only place that
//!   names every component.
//! - [`cli`] is what can be typed; [`config`] what can be configured; [`telemetry`] the log.
//! - [`resp`] is the protocol: requests, replies, no I/O.
//! - [`command`] is the table of commands; [`access`] says who may run which.
//! - [`cache`] is the coherent cache.
//! - [`fleet`] is INFO of many Redis servers: who is tracked, and what each said last.
//! - [`exporter`] is what Prometheus reads of the fleet, in the words of redis_exporter.
//! - [`discovery`] is service discovery: `DISCOVERY.*`.
//! - [`bus`] is the RPC bus: calls, workers, results.
//! - [`session`] is the client side: listeners, workers, sessions, the order of replies.
//! - [`latency`] is how long commands take: histograms by kind and user.
//! - [`slowlog`] is commands that took long, and where their time went.
//! - [`history`] is an hour of key figures; [`doctor`] finds what deserves attention.
//! - [`slot`] says which slot of a cluster a key is in.
//! - [`upstream`] is the Redis side: shared links, pinned connections, the embedded server.
//! - [`agent`] is `respite join` and `respite worker`, clients of the server.
//! - [`gateway`] forwards HTTP requests to health-checked services.
//! - [`allocator`] is how memory goes back to the system; [`tasks`] what a panic means.
//! - [`http`] is the admin listener; [`metrics`] what Prometheus reads; [`stream`] one socket, whatever carries it;
//!   [`random`] words that nobody can guess; [`backoff`] the waits between tries; [`clock`] one reading of the clock
//!   for all that is done at once.

// Of what other modules see (clippy.toml).
#![warn(clippy::missing_docs_in_private_items)]

mod access;
mod agent;
mod allocator;
mod app;
mod backoff;
mod bus;
mod cache;
mod cli;
mod clock;
mod command;
mod config;
mod discovery;
mod doctor;
mod exporter;
mod fleet;
mod gateway;
mod history;
mod http;
mod latency;
mod metrics;
mod random;
mod resp;
mod session;
mod slot;
mod slowlog;
mod spare;
mod stream;
mod tasks;
mod telemetry;
mod upstream;

pub use access::hash_password as hash_of;
pub use allocator::purge_at_once;
pub use app::{check, serve};
pub use cli::{Cli, Command, LoginArgs, check_config, documents, hash_password};
pub use config::environment;

/// What runs beside the server.
pub mod beside {
    pub use crate::agent::{difference, join, worker};
    pub use crate::upstream::embedded::guard;
}

/// What benchmarks, fuzz targets and the test of allocations drive on its own.
pub mod parts {
    #[cfg(fuzzing)]
    pub use crate::app::fuzzed;
    pub use crate::cache::{Cache, Filler, Guard, Lookup, Query, Waiter, Wanted};
    pub use crate::command::{Handling, Table};
    pub use crate::config::{CacheMode, CacheSettings};
    pub use crate::resp::{
        Args, Parsed, Proto, ProtocolError, ReplyError, ReplyScanner, RequestLimits, RequestParser,
        glob_match, parse_reply, write_command,
    };
}
