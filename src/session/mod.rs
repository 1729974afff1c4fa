//! The client side: listeners, workers, and one session per connection.
//!
//! # Layout
//!
//! - [`listener`] accepts and deals connections to the workers; [`worker`] is one OS thread with
//!   what its sessions share: links, pinned connections, a read buffer.
//! - `run` is a session's loop: read, answer, write. `dispatch` takes requests apart and sends
//!   each where it belongs; `replies` keeps the answers in order.
//! - `pinning` moves a session to a connection of its own and back; `pinned` is that connection.
//!   `queueing` is what happens between `MULTI` and `EXEC`, `broken` what after a refusal.
//! - `read` answers a `GET` from the cache; `cached` keeps the cache true to what the session's
//!   commands do. `batch` is what was read and is handled at once.
//! - `links` are the shared links of a worker, and which of them carries a client's next commands.
//! - `family` calls Respite's own commands, which may answer later.
//! - `monitor` shows what clients send to those who ask for it.
//! - `times` says when commands begin to count for their latencies.
//! - `local`, `client_…`, `command_command`, `info` answer what the backing does not.
//! - [`internal`] is a client inside the process.
//! - `memory` keeps what all clients make Respite hold within its bound.
//! - [`registry`] and [`shared`] are what all workers share.

mod answers;
mod batch;
mod broken;
mod cached;
mod client_command;
mod client_filter;
mod client_line;
mod client_tracking;
mod client_unblock;
mod coherence;
mod command_command;
mod dispatch;
mod family;
mod fetching;
mod fills;
mod front;
mod hello;
mod info;
mod input;
pub mod internal;
mod key_read;
mod links;
pub mod listener;
mod local;
mod memory;
mod metrics;
mod monitor;
mod pause;
mod pinned;
mod pinning;
mod queueing;
mod read;
pub mod registry;
mod replies;
mod request;
mod route;
mod run;
pub mod shared;
mod state;
mod times;
pub mod worker;
