//! Lower-cased names on the stack, so that a lookup allocates nothing.

/// The longest name that is looked up. Redis' own stay under 30 bytes; a longer name is treated
/// as unknown, and goes to the backing like any unknown command.
pub(super) const NAME_MAX: usize = 64;

/// A name in lower case.
pub(super) struct Lower {
    bytes: [u8; NAME_MAX],
    len: usize,
}

impl Lower {
    /// Lower-cases a name; none if it is too long.
    #[inline]
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; NAME_MAX];
        let space = bytes.get_mut(..name.len())?;
        space.copy_from_slice(name);
        space.make_ascii_lowercase();
        Some(Self { bytes, len: name.len() })
    }

    /// Gives the name.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
