//! Respite: one server that speaks the Redis protocol, in front of a backing Redis.
//!
//! # Layout
//!
//! - [`app`] builds everything, wires it, and shuts it down in order. It is the only place that
//!   names every component.
//! - [`cli`] is what can be typed; [`config`] what can be configured; [`telemetry`] the log.
//! - [`resp`] is the protocol: requests, replies, no I/O.
//! - [`command`] is the table of commands; [`access`] says who may run which.
//! - [`cache`] is the coherent cache of `GET`.
//! - [`fleet`] is INFO of many Redis servers: who is tracked, and what each said last.
//! - [`exporter`] is what Prometheus reads of the fleet, in the words of redis_exporter.
//! - [`discovery`] is service discovery: `DISCOVERY.*`.
//! - [`bus`] is the RPC bus: calls, workers, results.
//! - [`session`] is the client side: listeners, workers, sessions, the order of replies.
//! - [`latency`] is how long commands take: histograms by kind and user.
//! - [`slowlog`] is commands that took long, and where their time went.
//! - [`history`] is an hour of key figures; [`doctor`] finds what deserves attention.
//! - [`upstream`] is the Redis side: shared links, pinned connections, the embedded server.
//! - [`agent`] is `respite join` and `respite worker`, clients of the server.
//! - [`gateway`] forwards HTTP requests to health-checked services.
//! - [`allocator`] is how memory goes back to the system.
//! - [`http`] is the admin listener; [`metrics`] what Prometheus reads; [`stream`] one socket, whatever carries it;
//!   [`random`] words that nobody can guess.

pub mod access;
pub mod agent;
pub mod allocator;
pub mod app;
pub mod bus;
pub mod cache;
pub mod cli;
pub mod command;
pub mod config;
pub mod discovery;
pub mod doctor;
pub mod exporter;
pub mod fleet;
pub mod gateway;
pub mod history;
pub mod http;
pub mod latency;
pub mod metrics;
pub mod random;
pub mod resp;
pub mod session;
pub mod slowlog;
pub mod stream;
pub mod telemetry;
pub mod upstream;
