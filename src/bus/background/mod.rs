//! What goes on without a client: hints from other Respites, what Respites ask of one another, and the upkeep.
//!
//! It begins with the first use of a bus; `commands` begins it.

mod hints;
mod homes;
mod start;
mod upkeep;

pub(super) use start::start;
