//! The slots of a cluster, which keys are divided into.
//!
//! As in the Redis Cluster specification, "Key distribution model": CRC16 (XMODEM) of the key, or of what
//! is between its first `{` and the next `}` if that is not empty.

/// How many there are.
pub const SLOTS: u16 = 16_384;

/// What CRC16 makes of a byte that so many bytes follow: four bytes are taken in one step.
const TABLES: [[u16; 256]; 4] = tables();

const fn tables() -> [[u16; 256]; 4] {
    let mut tables = [[0; 256]; 4];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut behind = 0;
        while behind < 4 {
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 {
                    crc << 1
                } else {
                    (crc << 1) ^ 0x1021
                };
                bit += 1;
            }
            tables[behind][byte] = crc;
            behind += 1;
        }
        byte += 1;
    }
    tables
}

/// The slot of a key.
#[inline]
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    crc16(tag_of(key)) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    let [last, third, second, first] = &TABLES;
    let of = |table: &[u16; 256], byte: u8| table[usize::from(byte)];
    let (fours, rest) = bytes.as_chunks::<4>();
    let crc = fours.iter().fold(0_u16, |crc, [a, b, c, d]| {
        let [high, low] = crc.to_be_bytes();
        of(first, a ^ high) ^ of(second, b ^ low) ^ of(third, *c) ^ of(last, *d)
    });
    rest.iter().fold(crc, |crc, byte| {
        (crc << 8) ^ of(last, (crc >> 8) as u8 ^ byte)
    })
}

/// What of a key decides.
#[must_use]
pub fn tag_of(key: &[u8]) -> &[u8] {
    if !has_brace(key) {
        return key;
    }
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    let inside = &key[open + 1..];
    match memchr::memchr(b'}', inside) {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

/// Whether there is a `{`. Most keys are so short, and without one, that eight bytes at a time are faster than to find
/// out how to look fast.
#[inline]
fn has_brace(key: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    // Exact for whether a byte is zero, if not for which one ("Bit Twiddling Hacks", haszero).
    let is_in = |eight: &[u8; 8]| {
        let zero = u64::from_ne_bytes(*eight) ^ (ONES * b'{' as u64);
        zero.wrapping_sub(ONES) & !zero & (ONES << 7) != 0
    };
    match key.last_chunk() {
        Some(last) => key.as_chunks().0.iter().any(is_in) || is_in(last),
        None => key.contains(&b'{'),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_count_alike_one_by_one_and_by_fours() {
        let bytes: Vec<u8> = (0..=255).rev().chain(0..=255).collect();
        let slowly = |bytes: &[u8]| {
            bytes.iter().fold(0_u16, |crc, byte| {
                let crc = crc ^ u16::from(*byte) << 8;
                (0..8).fold(crc, |crc, _| (crc << 1) ^ ((crc >> 15) * 0x1021))
            })
        };
        for start in 0..256 {
            for len in 0..40 {
                let some = &bytes[start..start + len];
                assert_eq!(crc16(some), slowly(some), "{some:?}");
            }
        }
    }

    #[test]
    fn a_brace_is_found_wherever_it_is() {
        for len in 0..40 {
            // Neighbours of the brace, and what differs from it in the top bit.
            for other in [b'z', b'|', 0xfb, 0, 1] {
                let mut key = vec![other; len];
                assert!(!has_brace(&key), "{key:?}");
                for at in 0..len {
                    key[at] = b'{';
                    assert!(has_brace(&key), "{key:?}");
                    key[at] = other;
                }
            }
        }
    }

    #[test]
    fn slots_are_those_of_redis() {
        // `CLUSTER KEYSLOT` of redis-server 7.0.15; the first is in the specification.
        for (key, slot) in [
            (&b"123456789"[..], 0x31C3 % SLOTS),
            (b"", 0),
            (b"foo", 12_182),
            (b"{foo}bar", 12_182),
            (b"x{foo}{bar}", 12_182),
            (b"foo{}bar", slot_of(b"foo{}bar")),
            (b"somekey", 11_058),
        ] {
            assert_eq!(slot_of(key), slot, "{key:?}");
        }
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_ne!(slot_of(b"foo{}{bar}"), slot_of(b"bar"));
        assert_eq!(slot_of(b"foo{{bar}}zap"), slot_of(b"{bar"));
    }
}
