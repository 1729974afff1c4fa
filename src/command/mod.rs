//! The commands: a table with one row per command, the keys in their arguments, and the replies
//! that describe them (`COMMAND`, `COMMAND DOCS`, `HELP`).
//!
//! The rows come from the backing's `COMMAND` reply, so that modules and newer servers are
//! covered, and from a shipped list until there is one; what Respite answers or pins ([`Handling`]) and the keys of core commands (`key_rules`)
//! are written down here. A family of Respite's own declares its commands as [`OwnRow`]s.
//!
//! Does no I/O and executes no command.

mod block_time;
mod builtin;
mod channels;
mod docs;
mod effects;
mod errors;
mod family;
mod flags;
mod info;
mod key_ref;
mod key_rules;
mod key_span;
mod key_spec;
mod keys;
mod lower;
mod options;
mod own;
mod permission;
mod read_rows;
mod readable;
mod reading;
mod reply;
mod rights;
mod row;
mod settle;
mod shipped;
mod split;
mod spread;
mod table;

#[cfg(test)]
mod testdata;

pub use crate::slot::slot_of;
pub use block_time::{block_time, with_less_time};
pub use channels::{Channels, channels};
pub use docs::{help, merge_docs};
pub use effects::Effects;
pub use errors::{arity_error, unknown_subcommand};
pub use family::{Answer, Call, Caller, Family, Pending};
pub use flags::{Categories, Flags};
pub use info::{AboutRespite, InfoAnswer, InfoSource};
pub use key_ref::Seen;
pub use key_span::Permission;
pub use keys::{each_key, first_key, has_block_option, has_one_key, keys};

pub use options::{other_database, sort_reads_others};
pub use own::{ArgKind, OwnArg, OwnRow};
pub use permission::permission_by_options;
pub use readable::{Fields, Many, Readable};
pub use reply::{merge_all, merge_count, merge_list, own_getkeys};
pub use rights::{Judge, Rights};
pub use row::{Channel, Handling, Local, Pin, Row, arity_ok};
pub use split::split_names;
pub use spread::{Joining, Spread};
pub use table::Table;
