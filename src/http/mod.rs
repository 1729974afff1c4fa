//! The admin listener: for Prometheus, scripts and people.
//!
//! # Layout
//!
//! - `listener` accepts a bounded number of connections; `access` decides who may ask.
//! - `pages` has the routes and the index. A file per group of endpoints: `json` (`/stats`, `/dump`),
//!   `keys` (`/keys/{key}`); `/metrics`, `/health` and `/ready` are in `pages`.
//!
//! What the pages show comes from [`Sources`]: this component knows nothing of who has it.

mod access;
mod json;
mod keys;
mod listener;
mod pages;

pub use access::{Guard, Rules};
pub use json::{Chunks, JsonSource};
pub use keys::{KeyClient, OpenKeyClient};
pub use listener::HttpListener;
pub use pages::{Sources, WriteMetrics};
