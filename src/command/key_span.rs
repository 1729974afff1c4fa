//! Keys at fixed positions, and what a command does with them.

use super::flags::Flags;

/// What a command does with a key: Redis' `RO`, `RW`, `OW` and `RM`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyAccess {
    /// Reads it.
    Read,
    /// Reads it or depends on it, and may modify it.
    Modify,
    /// Overwrites it without looking.
    Overwrite,
    /// Removes it.
    Remove,
}

impl KeyAccess {
    /// Tells whether the value may be read.
    #[must_use]
    pub fn reads(self) -> bool {
        matches!(self, Self::Read | Self::Modify)
    }

    /// Tells whether the value may be modified.
    #[must_use]
    pub fn writes(self) -> bool {
        self != Self::Read
    }

    /// Gives what a command with these flags may do with any of its keys.
    pub(super) fn of(flags: Flags) -> Self {
        // A command that declares neither (EVAL) is taken for a writer.
        if flags.contains(Flags::READONLY) {
            Self::Read
        } else {
            Self::Modify
        }
    }
}

/// Keys at fixed positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The position of the first key, at least 1.
    pub first: u32,
    /// The position of the last; negative: counted from the end, -1 is the last argument.
    pub last: i32,
    /// The distance between two keys, at least 1.
    pub step: u32,
    /// What the command does with them.
    pub access: KeyAccess,
}

impl Span {
    /// One key.
    pub(super) const fn at(position: u32, access: KeyAccess) -> Self {
        Self {
            first: position,
            last: position.cast_signed(),
            step: 1,
            access,
        }
    }

    /// All arguments from a position on.
    pub(super) const fn from(position: u32, access: KeyAccess) -> Self {
        Self {
            first: position,
            last: -1,
            step: 1,
            access,
        }
    }
}

/// Makes the span for first key, last key and step as `COMMAND` gives them.
pub(super) fn span(first: i32, last: i32, step: i32, flags: Flags) -> Option<Span> {
    let first = u32::try_from(first).ok().filter(|&first| first > 0)?;
    let step = u32::try_from(step).unwrap_or(1).max(1);
    Some(Span {
        first,
        last,
        step,
        access: KeyAccess::of(flags),
    })
}
