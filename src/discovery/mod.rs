//! Service discovery: services and nodes that register, live on leases, are found and watched.
//!
//! All state is in the backing, where every Respite on it sees the same. Each operation is one
//! script there (`scripts/`), which judges leases by the backing's clock. What this module keeps
//! in memory is what it needs to wait: the topics that clients watch, and one reader of the
//! groups' event streams for all of them.
//!
//! Others follow a service with [`Followed`], which subscribes to [`Discovery`]. Clients use `DISCOVERY.*`, which [`DiscoveryFamily`] serves.
//!
//! Does not probe nodes: a node is alive for as long as it renews its lease.

mod arguments;
mod commands;
mod error;
mod fields;
mod followed;
mod groups;
mod index;
mod json;
mod keys;
mod model;
mod names;
mod presence;
mod replies;
mod rows;
mod scripts;
mod service;
mod store;
mod watch;

pub use commands::DiscoveryFamily;
pub use error::DiscoveryError;
pub use followed::Followed;
pub use json::ServiceFilter;
pub use model::{Node, NodeState};
pub use service::Discovery;
