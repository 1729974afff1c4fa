//! Numbers as the protocol writes them.

use super::ReplyError;

/// The longest text of an `i64`, its sign included.
const I64_TEXT_MAX: usize = 20;

/// The most digits a length may have: any such number fits a `u64`.
const LENGTH_DIGITS_MAX: usize = 19;

/// Reads an integer by the rules of Redis' `string2ll` (util.c): no sign but
/// `-`, no leading zero, no space, nothing else.
pub(super) fn string2ll(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    match digits {
        [b'0'] if !negative => return Some(0),
        [b'1'..=b'9', ..] if text.len() <= I64_TEXT_MAX => {}
        _ => return None,
    }
    // Built up on the negative side, where i64::MIN has its room.
    let mut value: i64 = 0;
    for &byte in digits {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_sub(i64::from(byte - b'0'))?;
    }
    if negative {
        Some(value)
    } else {
        value.checked_neg()
    }
}

/// Reads `buf[at]` and what follows as a short positive number, its `\r` and
/// one more byte; returns the number and the offset behind them.
///
/// Covers what nearly every request has; for anything else it returns `None`
/// and the caller takes the exact way.
#[inline]
pub(super) fn quick(buf: &[u8], at: usize) -> Option<(u32, usize)> {
    match *buf.get(at..)? {
        [one @ b'1'..=b'9', b'\r', _, ..] => Some((digit(one), at + 3)),
        [ten @ b'1'..=b'9', one @ b'0'..=b'9', b'\r', _, ..] => {
            Some((digit(ten) * 10 + digit(one), at + 4))
        }
        [b'1'..=b'9', ..] => quick_long(buf, at),
        _ => None,
    }
}

fn quick_long(buf: &[u8], at: usize) -> Option<(u32, usize)> {
    const DIGITS_MAX: usize = 8;
    let text = &buf[at..];
    let mut value = 0;
    for (i, &byte) in text.iter().take(DIGITS_MAX + 1).enumerate() {
        match byte {
            b'0'..=b'9' if i < DIGITS_MAX => value = value * 10 + digit(byte),
            b'\r' if text.len() > i + 1 => return Some((value, at + i + 2)),
            _ => return None,
        }
    }
    None
}

fn digit(byte: u8) -> u32 {
    u32::from(byte - b'0')
}

/// The length or count in the first line of a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Length {
    /// `-1`: there is no value.
    Null,
    /// So many bytes or values.
    Of(u64),
}

/// Reads the length at the start of `buf`, which begins behind the type byte;
/// returns it and how many bytes it took with its line end, or `None` if the
/// line end is not there yet. Looks at no more than a few bytes.
#[inline]
pub(super) fn read_length(buf: &[u8]) -> Result<Option<(Length, usize)>, ReplyError> {
    let mut value: u64 = 0;
    for (i, &byte) in buf.iter().enumerate() {
        match byte {
            b'0'..=b'9' if i < LENGTH_DIGITS_MAX => {
                value = value * 10 + u64::from(byte - b'0');
            }
            b'\r' if i > 0 => {
                return match buf.get(i + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some((Length::Of(value), i + 2))),
                    Some(_) => Err(ReplyError::InvalidLength),
                };
            }
            b'?' if i == 0 => return Err(ReplyError::Streamed),
            b'-' if i == 0 => return read_null(buf),
            _ => return Err(ReplyError::InvalidLength),
        }
    }
    Ok(None)
}

#[cold]
fn read_null(buf: &[u8]) -> Result<Option<(Length, usize)>, ReplyError> {
    const NULL: &[u8] = b"-1\r\n";
    if buf.starts_with(NULL) {
        Ok(Some((Length::Null, NULL.len())))
    } else if NULL.starts_with(buf) {
        Ok(None)
    } else {
        Err(ReplyError::InvalidLength)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn string2ll_takes_what_redis_takes() {
        for value in [
            0,
            1,
            -1,
            9,
            10,
            2_147_483_647,
            i64::MAX,
            i64::MIN,
            i64::MIN + 1,
        ] {
            assert_eq!(string2ll(value.to_string().as_bytes()), Some(value));
        }
        let refused = [
            "",
            "-",
            "-0",
            "00",
            "01",
            "-01",
            "+1",
            " 1",
            "1 ",
            "1a",
            "0x1",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551616",
            "000000000000000000000",
        ];
        for text in refused {
            assert_eq!(string2ll(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn quick_agrees_with_string2ll_or_declines() {
        assert_eq!(quick(b"$12\r\nab", 1), Some((12, 5)));
        assert_eq!(quick(b"$12345678\r\n", 1), Some((12_345_678, 11)));
        for declined in [
            "",
            "$",
            "$1",
            "$1\r",
            "$0\r\n",
            "$01\r\n",
            "$123456789\r\n",
            "$-1\r\n",
        ] {
            assert_eq!(quick(declined.as_bytes(), 1), None, "{declined}");
        }
    }

    #[test]
    fn lengths() {
        assert_eq!(read_length(b"0\r\n"), Ok(Some((Length::Of(0), 3))));
        assert_eq!(read_length(b"15\r\nx"), Ok(Some((Length::Of(15), 4))));
        assert_eq!(read_length(b"-1\r\n"), Ok(Some((Length::Null, 4))));
        for cut in ["", "1", "15\r", "-", "-1", "-1\r"] {
            assert_eq!(read_length(cut.as_bytes()), Ok(None), "{cut}");
        }
        for bad in [
            "\r\n",
            "x",
            "1x",
            "-2",
            "-1x",
            "1\rx",
            "12345678901234567890",
        ] {
            assert_eq!(
                read_length(bad.as_bytes()),
                Err(ReplyError::InvalidLength),
                "{bad}"
            );
        }
        assert_eq!(read_length(b"?\r\n"), Err(ReplyError::Streamed));
    }
}
