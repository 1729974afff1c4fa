//! Finds where one RESP2 or RESP3 reply ends; the oracle that the product's scanner is compared with.

use std::ops::Range;

/// Returns the end of the first reply in `bytes` (attributes before it included), or `None` when it is
/// incomplete. Errors describe bytes that are no reply.
pub(crate) fn end(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    loop {
        let Some(header) = header(bytes, at)? else {
            return Ok(None);
        };
        let Some(after) = skip_body(bytes, &header)? else {
            return Ok(None);
        };
        at = after;
        if header.kind != b'|' {
            return Ok(Some(at));
        }
    }
}

/// The first line of a frame.
#[derive(Debug)]
pub(crate) struct Header {
    /// The type byte.
    pub(crate) kind: u8,
    /// The rest of the line.
    pub(crate) line: Range<usize>,
    /// Where the body starts.
    pub(crate) body: usize,
}

/// Reads the header that starts at `at`.
pub(crate) fn header(bytes: &[u8], at: usize) -> Result<Option<Header>, String> {
    let Some(rest) = bytes.get(at..) else {
        return Ok(None);
    };
    let Some(&kind) = rest.first() else {
        return Ok(None);
    };
    if !b"+-:$*_#,(=!%~>|".contains(&kind) {
        return Err(format!("byte {kind:#04x} starts no reply"));
    }
    let Some(cr) = rest.windows(2).position(|pair| pair == b"\r\n") else {
        return Ok(None);
    };
    Ok(Some(Header {
        kind,
        line: at + 1..at + cr,
        body: at + cr + 2,
    }))
}

/// How many frames follow the header of an aggregate; `None` for null and for plain types.
pub(crate) fn children(bytes: &[u8], header: &Header) -> Result<Option<usize>, String> {
    let per_entry = match header.kind {
        b'*' | b'~' | b'>' => 1,
        b'%' | b'|' => 2,
        _ => return Ok(None),
    };
    let count = length(bytes, header)?;
    Ok(count.map(|count| count * per_entry))
}

/// The length that a header announces; `None` for -1.
pub(crate) fn length(bytes: &[u8], header: &Header) -> Result<Option<usize>, String> {
    let line = &bytes[header.line.clone()];
    let text = std::str::from_utf8(line).map_err(|_| format!("not a length: {line:?}"))?;
    match text.parse::<i64>() {
        Ok(-1) => Ok(None),
        Ok(n) => usize::try_from(n)
            .map(Some)
            .map_err(|_| format!("negative length {n}")),
        Err(_) => Err(format!("not a length: {text:?}")),
    }
}

/// The byte ranges of an aggregate's direct children, when `bytes` is one whole aggregate.
pub(crate) fn child_ranges(bytes: &[u8]) -> Result<Option<Vec<Range<usize>>>, String> {
    let Some(top) = header(bytes, 0)? else {
        return Ok(None);
    };
    let Some(count) = children(bytes, &top)? else {
        return Ok(None);
    };
    let mut at = top.body;
    let mut ranges = Vec::with_capacity(count);
    for _ in 0..count {
        let Some(len) = end(&bytes[at..])? else {
            return Ok(None);
        };
        ranges.push(at..at + len);
        at += len;
    }
    Ok(Some(ranges))
}

fn skip_body(bytes: &[u8], header: &Header) -> Result<Option<usize>, String> {
    match header.kind {
        b'$' | b'=' | b'!' => {
            let Some(len) = length(bytes, header)? else {
                return Ok(Some(header.body));
            };
            let after = header.body + len + 2;
            match bytes.get(after - 2..after) {
                Some(b"\r\n") => Ok(Some(after)),
                Some(other) => Err(format!("a bulk of {len} bytes ends in {other:?}")),
                None => Ok(None),
            }
        }
        _ => {
            let mut at = header.body;
            for _ in 0..children(bytes, header)?.unwrap_or(0) {
                let Some(len) = end(&bytes[at..])? else {
                    return Ok(None);
                };
                at += len;
            }
            Ok(Some(at))
        }
    }
}

#[test]
fn finds_ends() {
    let whole: [&[u8]; 9] = [
        b"+OK\r\n",
        b"$-1\r\n",
        b"*-1\r\n",
        b"$3\r\na\r\n\r\n",
        b"*2\r\n:1\r\n*1\r\n$1\r\nx\r\n",
        b"%1\r\n+a\r\n~1\r\n#t\r\n",
        b"|1\r\n+ttl\r\n:5\r\n$1\r\nv\r\n",
        b"=7\r\ntxt:a\r\n\r\n",
        b">2\r\n+invalidate\r\n_\r\n",
    ];
    for bytes in whole {
        assert_eq!(
            end(bytes),
            Ok(Some(bytes.len())),
            "{:?}",
            super::escape(bytes)
        );
        for cut in 0..bytes.len() {
            assert_eq!(
                end(&bytes[..cut]),
                Ok(None),
                "{:?} cut at {cut}",
                super::escape(bytes)
            );
        }
    }
    assert!(end(b"?1\r\n").is_err());
    assert!(end(b"$1\r\nabc\r\n").is_err());
}
