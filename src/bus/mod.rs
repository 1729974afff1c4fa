//! The bus: callers name a method, workers anywhere fetch the call and reply; `BUS.*`.
//!
//! All state is in the backing, in scripts that are atomic each (`scripts/`, see `prelude.lua` for the keys), so
//! that callers and workers may be on different Respites; but a call whose caller and worker are both here goes
//! straight from one to the other, and is kept there only when it takes long (`direct`, `handing`). Here are the commands, what is known of methods,
//! and those who wait: fetches (`slot`) and callers (`waiting`). What they want done goes to the backing as
//! orders, many at a time (`lane`); other Respites are told by hints where to look (`hints`), and the
//! `upkeep` makes up for hints that were lost.
//!
//! Opens no socket, and knows nothing of sessions but the number of a client.

mod admin;
mod answer;
mod arguments;
mod backlog;
mod binding;
mod body;
#[expect(
    clippy::module_inception,
    reason = "one bus among all that are the bus"
)]
mod bus;
mod calling;

mod commands;
mod counts;
mod direct;
mod error;
mod exchange;
mod fetching;
mod handing;
mod held;
mod hints;
mod homes;
mod hub;
mod id;
mod json;
mod keeping;
mod lane;
mod lease;
mod method;
mod metrics;
mod name;
mod operation;
mod order;
mod outcome;
mod peer;
mod place;
mod queues;
mod registry;
mod remote;
mod replies;
mod rows;
mod shapes;
mod shared;
mod slot;
mod start;
mod store;
mod tally;
mod template;
mod touched;
mod upkeep;
mod value;
mod waiting;
mod working;

pub use backlog::Backlog;
pub use commands::BusFamily;
pub use hub::Hub;
pub use json::LookError;
