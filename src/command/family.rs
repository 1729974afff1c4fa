//! A family of Respite's own commands, as the session sees it.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;

use super::own::OwnRow;
use super::rights::Rights;
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
    /// Who calls.
    pub caller: &'a Arc<Caller>,
    /// What the caller may see and do.
    pub rights: &'a Rights,
}

/// The connection that a call came over, for as long as it is there.
#[derive(Debug)]
pub struct Caller {
    /// The client's id, never used twice in the life of the process.
    pub id: u64,
    /// The address of the client.
    pub peer: Option<SocketAddr>,
    /// The shard that `SHARD.USE` bound; `RESET` lets go of it.
    pub shard: Mutex<Option<Arc<str>>>,
}

/// A reply that is to come: one whole reply in the caller's protocol version.
pub type Pending = Pin<Box<dyn Future<Output = Vec<u8>> + Send>>;

/// What became of a call.
pub enum Answer {
    /// Its reply was appended.
    Given,
    /// Its reply comes soon; it is carried out even if the client goes away meanwhile.
    Later(Pending),
    /// As [`Answer::Later`], but dropped when the client goes away.
    Cancelled(Pending),
    /// As [`Answer::Later`], but what it waits for are others, who may take their time: never slow.
    Agreed(Pending),
    /// The client waits for something to happen, and for how long says nothing: dropped when the client
    /// goes away.
    Blocked(Pending),
}

/// A set of commands with a common prefix.
pub trait Family: Send + Sync {
    /// The commands, declared once.
    fn rows(&self) -> &'static [OwnRow];

    /// Gives the key that a call works on and that its row does not show, as key rules name it (a bus
    /// is one, for instance): only who may touch it may call. None for a call that works on none, that
    /// is wrong anyway, or that shows everybody what he may read.
    fn key(&self, call: &Call<'_>) -> Option<String>;

    /// Executes a command: appends its one reply to `reply`, or brings it later. Must not block.
    /// A future does nothing before it is polled, and is polled on the worker of the client; the
    /// client's next command waits for it.
    fn call(&self, call: &Call<'_>, reply: &mut Vec<u8>) -> Answer;

    /// Whether commands work on the backing, so that those that the client sent to it before have
    /// to be answered first.
    fn uses_backing(&self) -> bool {
        false
    }

    /// A client that has called this family is gone.
    fn gone(&self, _caller: &Caller) {}
}

impl Caller {
    /// A client without a shard.
    #[must_use]
    pub fn new(id: u64, peer: Option<SocketAddr>) -> Self {
        Caller {
            id,
            peer,
            shard: Mutex::default(),
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Answer::Given => "Given",
            Answer::Later(_) => "Later",
            Answer::Cancelled(_) => "Cancelled",
            Answer::Agreed(_) => "Agreed",
            Answer::Blocked(_) => "Blocked",
        })
    }
}
