//! The bus in the backing: its scripts, the operations that they execute, and what they answer.
//!
//! Nobody else writes the words of an operation or reads the answer of a script. `exchange` sends operations, `admin` runs the
//! other scripts.

mod answer;
mod lane;
mod lease;
mod operation;
mod order;
mod replies;
mod scripts;
mod value;

pub(super) use answer::{
    Answer, BeatAnswer, CallAnswer, CallStatus, Exchanged, FetchAnswer, FromAnswer, KeepAnswer,
    ReplyAnswer,
};
pub(super) use lane::{Lane, MOST_CALLS};
pub(super) use lease::{BackingClock, Granted, LASTS, Lease, Term};
pub(super) use operation::{CallMode, EndReason, NewCall, Operation, Wanted, Words};
pub(super) use order::{Done, Order};
pub(super) use replies::{
    CleanedUp, DeadRow, Holder, Inspected, Registered, Revived, Unregistered, WorkerRow, read_dead,
    read_more, read_registry, read_removed,
};
pub(super) use scripts::{Published, Store, Task};
