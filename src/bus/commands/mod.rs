//! The commands `BUS.*`: how they are described, from a request to the future that answers it, and the shapes of the replies.
//!
//! The session knows the bus by its [`BusFamily`] alone.

mod family;
mod rows;
mod shapes;

pub use family::BusFamily;
