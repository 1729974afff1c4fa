//! Requests typed by hand: words with quotes, instead of lengths.

use super::args::{Range, offset};
use super::encode::write_header;
use super::error::ProtocolError;

/// Splits `line` (without its line end) into words and encodes them as a
/// multi-bulk request, whose arguments lie at `ranges`; `None` if there are no
/// words.
///
/// The rules are those of Redis' `sdssplitargs` (sds.c). Each argument comes
/// behind its length, so that the words are first gathered and then encoded.
pub(super) fn encode(
    line: &[u8],
    ranges: &mut Vec<Range>,
) -> Result<Option<Vec<u8>>, ProtocolError> {
    ranges.clear();
    // The words, one behind the other; no word is longer than its spelling.
    let mut words = Vec::with_capacity(line.len());
    let mut rest = skip_spaces(line);
    while !rest.is_empty() {
        let start = words.len();
        rest = skip_spaces(split_word(rest, &mut words)?);
        ranges.push((offset(start), offset(words.len())));
    }
    if ranges.is_empty() {
        return Ok(None);
    }
    let mut encoded = Vec::with_capacity(words.len() + 16 * (ranges.len() + 1));
    write_header(&mut encoded, b'*', ranges.len());
    for range in ranges {
        let word = &words[range.0 as usize..range.1 as usize];
        write_header(&mut encoded, b'$', word.len());
        let start = encoded.len();
        encoded.extend_from_slice(word);
        *range = (offset(start), offset(encoded.len()));
        encoded.extend_from_slice(b"\r\n");
    }
    Ok(Some(encoded))
}

/// Appends the word at the start of `text` to `words`; returns what follows.
fn split_word<'a>(text: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = text;
    loop {
        match rest {
            [b'"', quoted @ ..] => return double_quoted(quoted, words),
            [b'\'', quoted @ ..] => return single_quoted(quoted, words),
            [] | [b' ' | b'\n' | b'\r' | b'\t', ..] => return Ok(rest),
            &[byte, ref after @ ..] => {
                words.push(byte);
                rest = after;
            }
        }
    }
}

fn double_quoted<'a>(text: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = text;
    loop {
        rest = match rest {
            &[b'\\', b'x', high, low, ref after @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                words.push(hex(high) << 4 | hex(low));
                after
            }
            &[b'\\', byte, ref after @ ..] => {
                words.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    other => other,
                });
                after
            }
            [b'"', after @ ..] => return closed(after),
            &[byte, ref after @ ..] => {
                words.push(byte);
                after
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        }
    }
}

fn single_quoted<'a>(text: &'a [u8], words: &mut Vec<u8>) -> Result<&'a [u8], ProtocolError> {
    let mut rest = text;
    loop {
        rest = match rest {
            [b'\\', b'\'', after @ ..] => {
                words.push(b'\'');
                after
            }
            [b'\'', after @ ..] => return closed(after),
            &[byte, ref after @ ..] => {
                words.push(byte);
                after
            }
            [] => return Err(ProtocolError::UnbalancedQuotes),
        }
    }
}

/// A closing quote ends the word: a space or nothing must follow.
fn closed(after: &[u8]) -> Result<&[u8], ProtocolError> {
    match after.first() {
        Some(&byte) if !is_space(byte) => Err(ProtocolError::UnbalancedQuotes),
        _ => Ok(after),
    }
}

fn skip_spaces(text: &[u8]) -> &[u8] {
    let spaces = text.iter().take_while(|&&byte| is_space(byte)).count();
    &text[spaces..]
}

/// C's `isspace`. An unquoted word does *not* end at the last two, in Redis
/// neither.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// The value of a hexadecimal digit.
const fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Args;
    use super::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, ProtocolError> {
        let mut ranges = vec![(7, 9)];
        let Some(encoded) = encode(line, &mut ranges)? else {
            return Ok(Vec::new());
        };
        Ok(Args::new(&encoded, &ranges)
            .iter()
            .map(<[u8]>::to_vec)
            .collect())
    }

    #[test]
    fn splits_as_sdssplitargs_does() {
        let cases: [(&[u8], &[&[u8]]); 14] = [
            (b"", &[]),
            (b" \t\x0b\x0c ", &[]),
            (b"PING", &[b"PING"]),
            (b"  SET  key\tvalue ", &[b"SET", b"key", b"value"]),
            (br#"SET key "a b""#, &[b"SET", b"key", b"a b"]),
            (
                br#""\x41\x4a\n\r\t\b\a\"\\\q" x"#,
                &[b"AJ\n\r\t\x08\x07\"\\q", b"x"],
            ),
            (br#""\xZZ\x4""#, &[b"xZZx4"]),
            (br"'it\'s' '\n'", &[b"it's", br"\n"]),
            (br#""" ''"#, &[b"", b""]),
            (br#"pre"fix" x'y'"#, &[b"prefix", b"xy"]),
            (b"a\x0bb c", &[b"a\x0bb", b"c"]),
            (b"'a'\x0bb", &[b"a", b"b"]),
            (br"a\nb", &[br"a\nb"]),
            (b"\xff\"\xfe\"", &[b"\xff\xfe"]),
        ];
        for (line, want) in cases {
            assert_eq!(
                words(line).as_deref(),
                Ok(&want.iter().map(|w| w.to_vec()).collect::<Vec<_>>()[..]),
                "{}",
                line.escape_ascii()
            );
        }
    }

    #[test]
    fn refuses_unbalanced_quotes() {
        for line in [
            r#"""#,
            "'",
            r#""a"b"#,
            "'a'b",
            r#""a\""#,
            r"'a\'",
            r#""a\"#,
            r#"x"y"z"#,
            r#""a"'b'"#,
        ] {
            assert_eq!(
                words(line.as_bytes()),
                Err(ProtocolError::UnbalancedQuotes),
                "{line}"
            );
        }
    }
}
