//! The admin listener: for Prometheus, scripts and people.
//!
//! # Layout
//!
//! - `listener` accepts connections, `places` says how many and which gives way; `access` decides who may ask, `rules` for
//!   what.
//! - `api` has what the dashboard shows, `live` sends it each second; `page` is the dashboard, `session` its login.
//! - `pages` has the routes, the index, `/metrics`, `/health` and `/ready`. A file per group of endpoints: `json`
//!   (`/stats`, `/dump`), `fleet` (`/scrape`, `/sd`, `/shards`), `backing` (`/services`, `/bus`), `keys`.
//! - `query` reads what a request says, `pieces` writes long answers; `inventory` is what they are asked of.
//!
//! What the pages show comes from [`Sources`]: this component knows nothing of who has it.

mod access;
mod answers;
mod api;
mod backing;
mod fleet;
mod host;
mod inventory;
mod json;
mod keys;
mod listener;
mod live;
mod overview;
mod page;
mod pages;
mod pieces;
mod places;
mod query;
mod rules;
mod session;

pub use access::{Guard, Rules, Sight};
pub use api::{Api, ApiPage};
pub use inventory::{Asked, Inventory, PageError};
pub use json::JsonSource;
pub use keys::KeyClient;
pub use listener::HttpListener;
pub use overview::OverviewPart;
pub use pages::{PartOfMetrics, Sources};
pub use pieces::{Chunks, Part, piece, pieces};
