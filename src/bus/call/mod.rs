//! The callers' side: through the backing (`calling`), directly to a worker (`handing`), and direct calls that the backing is
//! told of (`keeping`).
//!
//! `commands` uses it; what workers reply comes through `work`.

mod calling;
mod handing;
mod keeping;

pub(super) use calling::{call, cancel, cast, result};
