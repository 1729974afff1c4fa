//! A family of Respite's own commands, as the session sees it.

use super::own::OwnRow;
use crate::resp::{Args, Proto};

/// A call of one of the family's commands; its arity is right.
#[derive(Debug)]
pub struct Call<'a> {
    /// The name and its arguments.
    pub args: Args<'a>,
    /// The client's protocol version.
    pub proto: Proto,
    /// The client's database.
    pub db: u32,
}

/// A set of commands with a common prefix.
pub trait Family: Send + Sync {
    /// The commands, declared once.
    fn rows(&self) -> &'static [OwnRow];

    /// Executes a command and appends its one reply to `reply`. Must not block.
    fn call(&self, call: &Call<'_>, reply: &mut Vec<u8>);
}
