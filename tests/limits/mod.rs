//! Bad input and too much of everything: a clear error for the one, nothing for the others.

mod bounds;
mod memory;
mod protocol;
