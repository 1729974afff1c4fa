//! The slots of a cluster, which keys are divided into.
//!
//! As in the Redis Cluster specification, "Key distribution model": CRC16 (XMODEM) of the key, or of what
//! is between its first `{` and the next `}` if that is not empty.

/// How many there are.
const SLOTS: u16 = 16_384;

/// One step of CRC16 for each byte.
const TABLE: [u16; 256] = table();

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = (byte as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
}

/// The slot of a key.
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)];
    tag(key).iter().fold(0, step) % SLOTS
}

/// What of a key decides.
fn tag(key: &[u8]) -> &[u8] {
    let Some(open) = memchr::memchr(b'{', key) else {
        return key;
    };
    let inside = &key[open + 1..];
    match memchr::memchr(b'}', inside) {
        None | Some(0) => key,
        Some(close) => &inside[..close],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
