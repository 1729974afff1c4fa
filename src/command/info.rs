//! `INFO` as the session sees it: somebody answers it from memory, or the backing is to be asked.

use std::fmt::Display;
use std::task::Waker;

use super::family::Call;

/// What somebody says to an `INFO`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InfoAnswer {
    /// Its reply was appended.
    Given,
    /// The backing is to be asked for the sections that are not Respite's own; this goes at the
    /// end of its text.
    Ask {
        /// Respite's own section, when it is wanted.
        own: Option<String>,
    },
    /// What is known is older than a command that has changed it; nothing was appended.
    Wait,
}

/// Knows `INFO` of servers.
pub trait InfoSource: Send + Sync {
    /// Answers `INFO [shard] [section …]`: appends its one reply to `reply`, or has the backing asked. `waker`
    /// is woken when an answer that has to wait may be there.
    fn info(&self, call: &Call<'_>, waker: &Waker, reply: &mut Vec<u8>) -> InfoAnswer;

    /// A command was answered that changes what `INFO` of the backing tells: what is known is out of date.
    fn changed(&self);

    /// Whether an `INFO` is about a shard that it names, or that was bound before, so that rules
    /// about `SHARD.INFO` are rules about it.
    fn names_shard(&self, call: &Call<'_>) -> bool;
}

/// Knows what the section `# Respite` says of the process.
pub trait AboutRespite: Send + Sync {
    /// Gives the fields in order, names and values.
    fn fields(&self, put: &mut dyn FnMut(&'static str, &dyn Display));
}
