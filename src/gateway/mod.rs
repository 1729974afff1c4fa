//! Request forwarding: health-checked services from a file, and HTTP requests forwarded to the best of
//! their instances.
//!
//! It knows nothing of Redis but the `GATEWAY.*` commands, and nothing of where discovered nodes come
//! from but the [`Nodes`] trait.
//!
//! # Layout
//!
//! - `shared`: the [`Gateway`], which everything else here works on; `catalog` finds the service of a
//!   path; `service`, `instance` and `health` are the state, `budget` bounds retries.
//! - `balance` picks an instance and ejects it; `probe` polls it; `watch` follows the services file and
//!   discovered nodes.
//! - `listener` and `worker` take requests; `forward` sends them on, over the connections of `pool`,
//!   made by `connect`; `body`, `headers`, `prepare`, `attempt` and `upgrade` are its parts.
//! - `commands` and `rows` are `GATEWAY.*`; `stats` what the pages and `GATEWAY.STATS` show.

mod attempt;
mod balance;
mod body;
mod budget;
mod catalog;
mod commands;
mod connect;
mod forward;
#[cfg(any(test, fuzzing))]
mod fuzzed;
mod headers;
mod health;
mod history;
mod instance;
mod listener;
mod metrics;
mod nodes;
mod path;
mod place;
mod pool;
mod prepare;
mod probe;
mod reply;
mod rows;
mod service;
mod services_file;
mod shared;
mod stats;
mod upgrade;
mod worker;

pub use commands::GatewayFamily;
pub use connect::Connector;
#[cfg(any(test, fuzzing))]
pub use fuzzed::answers;
pub use listener::{GatewayListener, Running};
pub use nodes::Nodes;
pub use services_file::follow_file;
pub use shared::Gateway;
