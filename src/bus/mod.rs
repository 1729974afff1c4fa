//! The bus: callers name a method, workers anywhere fetch the call and reply; `BUS.*`.
//!
//! All state is in the backing, in scripts that are atomic each (`store`; see `prelude.lua` for the keys), so
//! that callers and workers may be on different Respites; but a call whose caller and worker are both here goes
//! straight from one to the other, and is kept there only when it takes long (`direct`, `call`). One whose worker is at another
//! Respite is sent there (`remote`, `peer`).
//!
//! What is read first, from the bottom: the words (`error`, `id`, `name`, `outcome`), `method`, `fetch`, `peer`, `direct`,
//! `counters`, `store`, and those who wait (`waiting`); one `bus` has some of each, and all share `shared`. On it: operations on
//! their way (`exchange`), the `place` of a caller, all buses (`hub`), then what commands do (`call`, `work`, `admin`), calls of
//! other Respites (`remote`), what goes on without a client (`background`), and the `commands`.
//!
//! Opens no socket, and knows nothing of sessions but the number of a client.

mod admin;
mod arguments;
mod background;
#[expect(
    clippy::module_inception,
    reason = "one bus among all that are the bus"
)]
mod bus;
mod call;
mod commands;
mod counters;
mod direct;
mod error;
mod exchange;
mod fetch;
mod hub;
mod id;
mod method;
mod name;
mod outcome;
mod peer;
mod place;
mod remote;
mod shared;
mod store;
mod waiting;
mod work;

pub use admin::{Backlog, LookError};
pub use commands::BusFamily;
pub use hub::Hub;
