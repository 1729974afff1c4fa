//! What runs beside a service, as a client of a Respite: `respite join` and `respite worker`, and what asks one
//! what a reload would do.
//!
//! Knows nothing of the server's inside: it sends the commands that any client can send.

pub mod difference;
mod facts;
pub mod join;
mod lease;
mod program;
mod server;
pub mod worker;
