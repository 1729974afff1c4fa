//! Lower-cased names on the stack, so that a lookup allocates nothing.

/// The longest name that is looked up. Redis' own stay under 30 bytes; a longer name is treated
/// as unknown, and goes to the backing like any unknown command.
const NAME_MAX: usize = 64;

/// The longest name that fits a [`ShortName`].
const SHORT_MAX: usize = 15;

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
        Some(Self {
            bytes,
            len: name.len(),
        })
    }

    /// Gives the name.
    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A name of up to 15 bytes in lower case, in one number with its length: nearly all names are so
/// short, and a number hashes and compares several times faster than a slice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct ShortName(u128);

impl ShortName {
    /// Lower-cases a name; none if it is too long.
    #[inline]
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let mut bytes = [0; SHORT_MAX + 1];
        bytes[..SHORT_MAX]
            .get_mut(..name.len())?
            .copy_from_slice(name);
        bytes.make_ascii_lowercase();
        // At most 15, and no letter. Keeps a name apart from itself with zero bytes behind it.
        bytes[SHORT_MAX] = name.len().to_le_bytes()[0];
        Some(Self(u128::from_le_bytes(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_lowered_and_nothing_else() {
        let all: Vec<u8> = (0..=255).collect();
        for part in all.chunks(NAME_MAX) {
            let lower = Lower::of(part).expect("short enough");
            assert_eq!(lower.as_bytes(), part.to_ascii_lowercase());
        }
        assert!(Lower::of(&[b'a'; 65]).is_none());
    }

    #[test]
    fn short_names_differ_as_their_lower_case_does() {
        let names: [&[u8]; 8] = [
            b"",
            b"\0",
            b"get",
            b"get\0",
            b"zrangebyscore",
            b"aaaaaaaaaaaaaaa",
            b"\xc3",
            b"[et",
        ];
        for a in names {
            let upper = ShortName::of(&a.to_ascii_uppercase()).expect("short enough");
            for b in names {
                assert_eq!(upper == ShortName::of(b).expect("short enough"), a == b);
            }
        }
        assert!(ShortName::of(&[b'a'; 16]).is_none());
    }
}
