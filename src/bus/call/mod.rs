//! The callers' side: through the backing (`calling`), or directly to a worker (`handing`); direct calls that this Respite owns
//! (`owned`), and how the backing is told of them (`keeping`).
//!
//! `commands` uses it; what workers reply comes through `work`.

mod calling;
mod handing;
mod keeping;
mod owned;

pub(super) use calling::{call, cancel, cast, result};
