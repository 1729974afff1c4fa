//! What Respites know of each other and say to each other, without any way to send it. `remote` uses it, and `direct` remembers
//! in it what became of calls.

mod message;
mod outbox;
mod peers;
mod recent;
mod seal;
mod watch;

pub(super) use message::{Message, RemoteCall};
pub(super) use outbox::{Frame, Outbox};
pub(super) use peers::{Choice, Peers};
pub(super) use recent::{Recent, Recently};
pub(super) use seal::{Address, Keys, Secret};
pub(super) use watch::{Due, Watch};

/// The largest call or outcome that is sent from one Respite to another; what is larger goes through the backing.
pub(super) const MOST_SENT: usize = 256 * 1024;
