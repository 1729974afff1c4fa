//! The client side: listeners, workers, and one session per connection.
//!
//! # Layout
//!
//! - [`listener`] accepts and deals connections to the workers, by their [`mailbox`]; [`worker`] is what the sessions
//!   of one OS thread share, [`worker_thread`] that thread.
//! - `client` is all that is kept for one client, by what it is for; `run` is its loop: read, answer, write. `dispatch`
//!   takes requests apart and sends each where it belongs; `replies` keeps the answers in order. `batch` is what was
//!   read and is handled at once, `front` the client's socket; `large` handles requests that are not copied.
//! - `route` says where a command goes, `routing` finds the way there; `links` are the shared links of a worker, `lanes`
//!   which of them carries a client's next commands.
//! - `pinning` moves a session to a connection of its own and back; `pinned` is that connection.
//!   `queueing` is what happens between `MULTI` and `EXEC`, `queue` what is known of it, `broken` what comes after a refusal.
//! - `subscriptions` are the channels and patterns that the clients of a worker are subscribed to, on one connection that
//!   `feed` looks after; `subscribed` is one client's place among them.
//! - Behind a cluster `nodes` says which node a client needs a connection of its own to, `reach` opens it, `parked` are
//!   those that keep state while others are used, and `turned_away` leads one to another node.
//!   `subscribing` keeps subscriptions while nodes come and go, `wait` asks the nodes for their replicas (`written`: which).
//! - `read` answers reads of one key from the cache, `many` those of many, of which `gathers` wait for parts; `cached` says what
//!   a command means to it, `coherence` what is known of one client for it, `fencing` holds replies back. `fill_links` are
//!   the links that fetch for it, `fills` passes on what they bring. `caching` begins to use it and ends that.
//! - `family` calls Respite's own commands, which may answer later; `families` is what is under way.
//! - `monitor` shows what clients send to those who ask for it: `monitors` are they, `monitoring` is a place among them.
//! - `joined` answers what no single node of a cluster can; `census` is what its masters say of their slots, `scripts` are
//!   those that clients have shown.
//! - `pause` is `CLIENT PAUSE`, `paused` what it holds.
//! - `timing`, `times` say when commands begin to count for their latencies.
//! - `local`, `hello`, `backing_login`, `client_…`, `cluster_command` (`cluster_asked`), `command_command`, `info` answer what the backing does not; `announced`
//!   is Respite as a cluster of one node.
//! - [`internal`] is a client inside the process.
//! - `judging` says what a client may do; `users` are those of the backing, where they are the users here.
//! - `memory` keeps what all clients make Respite hold within its bound, `held` tells what one does.
//! - [`registry`], [`shared`] and [`settings`] are what all workers share.

pub mod announced;
mod answers;
mod backing_login;
mod batch;
mod broken;
mod cached;
mod caching;
mod census;
mod client;
mod client_command;
mod client_filter;
mod client_line;
mod client_tracking;
mod client_unblock;
mod cluster_asked;
mod cluster_command;
mod coherence;
mod command_command;
mod dispatch;
mod divided;
mod families;
mod family;
mod feed;
mod fencing;
mod fetching;
mod fill_links;
mod fills;
mod front;
mod gathers;
mod held;
mod hello;
mod info;
mod input;
pub mod internal;
mod joined;
mod judging;
mod key_read;
mod lanes;
mod large;
mod late_cover;
mod links;
pub mod listener;
mod local;
mod login_turn;
pub mod mailbox;
mod many;
mod memory;
mod metrics;
mod monitor;
mod monitoring;
mod monitors;
mod nodes;
mod parked;
mod pause;
mod paused;
mod pinned;
mod pinning;
mod plain;
mod queue;
mod queueing;
mod reach;
mod read;
mod redirects;
mod refusals;
pub mod registry;
mod replies;
mod request;
mod route;
mod routing;
mod run;
mod scripts;
mod sending_on;
pub mod settings;
mod several;
pub mod shared;
mod state;
mod subscribed;
mod subscribing;
mod subscriptions;
mod times;
mod timing;
mod turned_away;
pub mod users;
mod wait;
pub mod worker;
pub mod worker_thread;
mod written;
