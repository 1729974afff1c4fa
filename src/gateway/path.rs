//! The one reading of a path: what is routed by it and what an instance makes of it must be the same.
//!
//! Escapes that stand for letters, digits, `-`, `.`, `_` and `~` are written out, as RFC 3986 section 6.2.2
//! has it. A path that servers read differently is refused: see [`normal`].

use std::borrow::Cow;

/// The times that a path is decoded to look for what hides behind `%25`: no server decodes so often.
const MOST_DECODINGS: usize = 4;

/// Why a path is refused: servers do not agree about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Ambiguous {
    #[error("the path has a . or .. segment")]
    Dots,
    #[error("the path has an empty segment")]
    Empty,
    #[error("the path has a backslash")]
    Backslash,
    #[error("the path has an encoded slash or control character")]
    Encoded,
    #[error("the path has a % that begins no escape")]
    Escape,
    #[error("the path has parameters (;) where a service begins")]
    Parameters,
}

/// Returns the path as it is routed and sent on. Refused are, decoded or not: `.` and `..` segments, with
/// parameters behind them or not; empty segments but the last; backslashes; encoded slashes and control
/// characters; a `%` without two digits.
pub(super) fn normal(path: &str) -> Result<Cow<'_, str>, Ambiguous> {
    if path.contains('\\') {
        return Err(Ambiguous::Backslash);
    }
    let path = match path.contains('%') {
        true => Cow::Owned(unescaped(path)?),
        false => Cow::Borrowed(path),
    };
    let mut segments = path
        .strip_prefix('/')
        .unwrap_or(&path)
        .split('/')
        .peekable();
    while let Some(segment) = segments.next() {
        let name = without_parameters(segment);
        let last = segments.peek().is_none();
        if name.is_empty() && !(last && segment.is_empty()) {
            return Err(Ambiguous::Empty);
        }
        let decoded = decoded(name);
        if let [b'.'] | [b'.', b'.'] = without_bytes(&decoded) {
            return Err(Ambiguous::Dots);
        }
        if name.contains("%25") {
            let folders = |byte| matches!(byte, b'/' | b'\\');
            if decoded.iter().copied().any(folders) {
                return Err(Ambiguous::Encoded);
            }
        }
    }
    Ok(path)
}

/// The path without the parameters of its segments, if it has any: some servers read it so.
pub(super) fn bare(path: &str) -> Option<String> {
    if !path.contains(';') && !path.contains("%3B") {
        return None;
    }
    let segments: Vec<&str> = path.split('/').map(without_parameters).collect();
    Some(segments.join("/"))
}

fn without_parameters(segment: &str) -> &str {
    let end = segment.find(';').unwrap_or(segment.len());
    let end = segment[..end].find("%3B").unwrap_or(end);
    &segment[..end]
}

fn without_bytes(segment: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', segment).unwrap_or(segment.len());
    &segment[..end]
}

/// Decodes until nothing is encoded any more.
fn decoded(segment: &str) -> Vec<u8> {
    let mut bytes = segment.as_bytes().to_vec();
    for _ in 0..MOST_DECODINGS {
        if !bytes.contains(&b'%') {
            break;
        }
        bytes = percent_encoding::percent_decode(&bytes).collect();
    }
    bytes
}

/// Writes out the escapes that need not be any, and the others with capitals.
fn unescaped(path: &str) -> Result<String, Ambiguous> {
    let mut text = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(at) = rest.find('%') {
        text.push_str(&rest[..at]);
        let digits = rest.get(at + 1..at + 3).ok_or(Ambiguous::Escape)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(Ambiguous::Escape);
        }
        let byte = u8::from_str_radix(digits, 16).map_err(|_| Ambiguous::Escape)?;
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            b'\\' => return Err(Ambiguous::Backslash),
            b'/' | 0..=0x1f | 0x7f => return Err(Ambiguous::Encoded),
            _ => {
                text.push('%');
                text.push_str(&digits.to_ascii_uppercase());
            }
        }
        rest = &rest[at + 3..];
    }
    text.push_str(rest);
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_reading() {
        for (path, read) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/", "/a/"),
            ("/%61dmin/%7e", "/admin/~"),
            ("/a%20b%c3%bc", "/a%20b%C3%BC"),
            ("/a..b/.../.a", "/a..b/.../.a"),
            ("/a;x=1/b;y", "/a;x=1/b;y"),
            ("/100%25", "/100%25"),
            ("*", "*"),
        ] {
            assert_eq!(normal(path).as_deref(), Ok(read), "{path}");
        }
        use Ambiguous::{Backslash, Dots, Empty, Encoded, Escape};
        for (path, why) in [
            ("/a/../b", Dots),
            ("/..", Dots),
            ("/.", Dots),
            ("/a/./b", Dots),
            ("/a/%2e%2E/b", Dots),
            ("/a/.%2e", Dots),
            ("/public/..;/admin", Dots),
            ("/public/..;x=1/admin", Dots),
            ("/public/..%3b/admin", Dots),
            ("/public/%2e%2e;/admin", Dots),
            ("/a/%252e%252e/b", Dots),
            ("/a/%25252e./b", Dots),
            ("/a/..%253b/b", Dots),
            ("/a/..%2fb", Encoded),
            ("/a%2Fb", Encoded),
            ("/a%252fb", Encoded),
            ("/a%00", Encoded),
            ("/a%0d%0ab", Encoded),
            ("/a%7f", Encoded),
            ("/a/..\\b", Backslash),
            ("/a%5cb", Backslash),
            ("//a", Empty),
            ("/a//b", Empty),
            ("/a//", Empty),
            ("/a/;x/b", Empty),
            ("/a/;", Empty),
            ("/%zz", Escape),
            ("/%", Escape),
            ("/%4", Escape),
            ("/%+1", Escape),
            ("/%ü", Escape),
        ] {
            assert_eq!(normal(path), Err(why), "{path}");
        }
    }

    #[test]
    fn parameters_are_told_apart() {
        assert_eq!(bare("/a/b"), None);
        assert_eq!(bare("/admin;x/b;y=1").as_deref(), Some("/admin/b"));
        assert_eq!(bare("/admin%3Bx").as_deref(), Some("/admin"));
    }
}
