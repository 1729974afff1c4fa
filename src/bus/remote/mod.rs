//! Calls whose caller and worker are on different Respites, handed over without writing them to the backing.
//!
//! The caller's Respite sends the call to one that has told it of waiting workers; that one treats it like a direct call of its own
//! (`direct`, `handing`) and sends the outcome back. Messages travel over the channels of the backing that notifications use,
//! sealed with a secret of the bus ([`seal`]). docs/bus.md ("Calls between Respites") has the states and what each
//! failure leaves.

mod answer;
mod caller;
mod message;
mod peers;
mod post;
mod recent;
mod seal;
mod watch;
mod worker;

#[cfg(test)]
mod testing;

pub(super) use caller::call;
pub(super) use peers::{Choice, Peers};
pub(super) use post::{Post, receive};
pub(super) use recent::{Recent, Recently};
pub(super) use seal::{Keys, Secret};

/// The largest call or outcome that is sent from one Respite to another; what is larger goes through the backing.
pub(super) const MOST_BODY: usize = 256 * 1024;
