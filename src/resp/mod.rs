//! The Redis protocol in both directions and both versions.
//!
//! A client's bytes go through [`RequestParser`], which finds the arguments in
//! place; an upstream's bytes go through [`ReplyScanner`], which finds where
//! replies end without decoding them, or through [`parse_reply`] where a reply
//! must be understood. [`ReplyWriter`] and [`write_command`] write the two
//! directions, and [`glob_match`] is the pattern matching of `KEYS` and `ACL`.
//!
//! This module does no I/O, knows nothing of commands and imports no sibling.
//! Nothing here allocates per request: buffers belong to the caller.

mod args;
mod downgrade;
mod encode;
mod error;
mod glob;
mod inline;
mod limits;
mod number;
mod plain_get;
mod proto;
mod reencode;
mod reply;
mod request;
mod scan;
mod writer;

#[cfg(test)]
mod proptests;

pub use args::{ArgIter, ArgVec, Args};
pub use downgrade::{Shape, downgrade};
pub use encode::write_command;
pub use error::{ProtocolError, ReplyError};
pub use glob::{Glob, LONG_PATTERN, MOST_PATTERN, glob_match};
pub use limits::RequestLimits;
pub use plain_get::{PLAIN_GET_MAX, plain_get};
pub use proto::Proto;
pub use reply::{Value, parse_reply};
pub use request::{Parsed, RequestParser};
pub use scan::{ReplyScanner, is_extra_push};
pub use writer::ReplyWriter;
