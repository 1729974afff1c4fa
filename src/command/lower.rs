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
        Some(Self::lowered(u128::from_le_bytes(bytes), name.len()))
    }

    /// As [`ShortName::of`], for the first bytes of these.
    #[inline]
    pub(super) fn at_front(bytes: &[u8; SHORT_MAX + 1], len: usize) -> Option<Self> {
        let mask = MASKS.get(len)?;
        Some(Self::lowered(u128::from_le_bytes(*bytes) & mask, len))
    }

    /// Of a name that has zero bytes behind it.
    #[inline]
    fn lowered(name: u128, len: usize) -> Self {
        let (front, back) = (lower_eight(name as u64), lower_eight((name >> 64) as u64));
        // At most 15, and no letter. Keeps a name apart from itself with zero bytes behind it.
        let back = back | ((len as u64) << 56);
        Self(u128::from(front) | (u128::from(back) << 64))
    }
}

/// The bytes of names of each length.
const MASKS: [u128; SHORT_MAX + 1] = {
    let mut masks = [0; SHORT_MAX + 1];
    let mut len = 0;
    while len <= SHORT_MAX {
        masks[len] = (1 << (8 * len)) - 1;
        len += 1;
    }
    masks
};

/// Lower-cases eight bytes at once.
#[inline]
fn lower_eight(bytes: u64) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    // The upper bit of each byte: whether it is a letter, none of which has it itself.
    let low = bytes & (0x7f * EACH);
    let from_a = low + (0x80 - b'A' as u64) * EACH;
    let behind_z = low + (0x7f - b'Z' as u64) * EACH;
    let is_letter = from_a & !behind_z & !bytes & (0x80 * EACH);
    bytes | (is_letter >> 2)
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
    fn eight_bytes_are_lowered_as_one_is() {
        for byte in 0..=255_u8 {
            for place in 0..8 {
                let mut bytes = *b"aZ@[\0\x80\xc1z";
                bytes[place] = byte;
                let lowered = lower_eight(u64::from_le_bytes(bytes)).to_le_bytes();
                assert_eq!(lowered[..], bytes.to_ascii_lowercase());
            }
        }
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
            let with_more = [a, b"XYZ of what is behind"].concat();
            let front = with_more.first_chunk().expect("16 bytes");
            assert_eq!(ShortName::at_front(front, a.len()), ShortName::of(a));
        }
        assert!(ShortName::at_front(&[b'a'; 16], 16).is_none());
        assert!(ShortName::of(&[b'a'; 16]).is_none());
    }
}
