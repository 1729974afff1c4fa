//! The coherent cache of reads: what is kept, when it may be served, what takes it away.
//!
//! It knows nothing of sockets. A fill link (see [`upstream`](crate::upstream)) tells it what was
//! read and what was invalidated, in the order of the wire; a session asks it for keys and
//! protects the keys of every other command while that command is under way.
//!
//! # Layout
//!
//! - `store` is the whole, `lookup` answers reads of one key; `landing` keeps what a fetch brings; `removal` is what takes entries away.
//!   `segment` is one lock's worth of it, `flights` the fetches under way; `entry` is what is kept of one key,
//!   `variants` what was read of it but by `GET`, `value` one reply, `full_key` what it goes by.
//! - `listed` is which commands may be answered. `many` answers reads of many keys.
//! - `guard` keeps keys from being served or admitted while a command on them is under way; it counts in `stripes`. `passed` compares what
//!   reads past the cache show with what is here.
//! - `lease` says whether what a fill link brought may still be served; `links` what the links can do, all together.
//! - `layout` divides the room among the segments; `admission` decides which keys are worth a place. `fill` applies a fill link's replies.
//! - `view` and `figures` are what can be seen of it, `hotkeys` which keys are hit most, `commands` is `CACHE.*`, `named` its
//!   flushing by names. `mutant` breaks
//!   single rules on purpose, in test builds only.
//!
//! docs/coherence.md has the argument why the promises hold.

mod admission;
mod commands;
mod entry;
mod figures;
mod fill;
mod flights;
mod full_key;
mod guard;
mod hotkeys;
mod landing;
mod layout;
mod lease;
mod links;
mod listed;
mod lookup;
mod many;
mod metrics;
mod mutant;
mod named;
mod passed;
mod removal;
mod segment;
mod stats;
mod store;
mod stripes;
mod value;
mod variants;
mod view;

pub use commands::CacheFamily;
pub use entry::Waiter;
pub use fill::{Brought, Deliver, Filler, Wanted};
pub use guard::Guard;
pub use lease::Lease;
pub use listed::check_commands;
pub use lookup::{Lookup, Query};
pub use many::{Collected, Gathered, Look, ManyQuery};
pub use mutant::{Mutant, is_active};
pub use store::Cache;
