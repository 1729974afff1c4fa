//! Calls whose caller and worker are on different Respites, handed over without writing them to the backing.
//!
//! The caller's Respite sends the call to one that has told it of waiting workers; that one treats it like a direct call of its own
//! (`direct`, `call`) and sends the outcome back. Messages travel over the channels of the backing that notifications use,
//! sealed with a secret of the bus (`peer`). docs/bus.md ("Calls between Respites") has the states and what each
//! failure leaves.

mod answer;
mod caller;
mod post;
mod worker;

#[cfg(test)]
mod testing;

pub(super) use caller::{BoundDirect, call};
pub(super) use post::receive;
