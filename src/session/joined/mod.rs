//! Commands that no single node of a cluster can answer: several are asked, and their replies become one.
//!
//! - `ask` asks one node, `counting` all masters so that none is missed; `fence` waits for what they push.
//! - `everywhere` is what is done with commands for all of them, `join` makes one reply of theirs.
//! - `parts` sends the parts of a command with keys in several slots, `split` makes them.
//! - `scan` is `SCAN`, `cursor` what it knows of where it is.
//! - `node` is `RESPITE.NODE`, a command for one node that the client names.
//! - `remembering` has scripts known at every node.
//!
//! What a command means to a cluster says its row: [`Spread`](crate::command::Spread).

mod ask;
mod counting;
mod cursor;
mod everywhere;
mod fence;
mod join;
mod node;
mod parts;
mod remembering;
mod scan;
mod split;
