//! RESP3 replies as a RESP2 client gets them.
//!
//! Redis builds both from the same calls, so for the replies of a command it is known which RESP2 type stands for
//! which RESP3 type. Two things are not in the bytes: which null is meant, and whether pairs are flat.

use super::number::string2ll;

/// What the bytes of a RESP3 reply do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Shape {
    /// A null is `*-1`, not `$-1`.
    pub null_array: bool,
    /// An array of pairs is one flat array.
    pub flat_pairs: bool,
}

/// Appends a whole RESP3 reply as RESP2. False, with nothing of use appended, for what no command replies
/// that is read from memory.
#[must_use]
pub fn downgrade(reply: &[u8], shape: Shape, out: &mut Vec<u8>) -> bool {
    let mut rest = reply;
    let mut outermost = true;
    let mut flat = false;
    while let Some((kind, line, after)) = token(rest) {
        rest = after;
        let done = match kind {
            b'*' if flat => line == b"2",
            b'*' => {
                flat = outermost && shape.flat_pairs && rest.starts_with(b"*2\r\n");
                array(line, if flat { 2 } else { 1 }, out)
            }
            b'~' => array(line, 1, out),
            b'%' => array(line, 2, out),
            b'$' | b'=' => {
                let Some((bytes, after)) = payload(line, rest) else {
                    return false;
                };
                rest = after;
                bulk(
                    if kind == b'=' {
                        bytes.get(4..).unwrap_or_default()
                    } else {
                        bytes
                    },
                    out,
                );
                true
            }
            b',' | b'(' => {
                bulk(line, out);
                true
            }
            b'_' => {
                out.extend_from_slice(if shape.null_array {
                    b"*-1\r\n"
                } else {
                    b"$-1\r\n"
                });
                true
            }
            b'#' => {
                out.extend_from_slice(if line == b"t" { b":1\r\n" } else { b":0\r\n" });
                true
            }
            b'+' | b'-' | b':' => {
                out.push(kind);
                out.extend_from_slice(line);
                out.extend_from_slice(b"\r\n");
                true
            }
            _ => false,
        };
        if !done {
            return false;
        }
        outermost = false;
    }
    rest.is_empty()
}

/// The type, the rest of the line, and what follows it.
fn token(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let end = memchr::memchr(b'\r', rest)?;
    Some((*kind, &rest[..end], rest.get(end + 2..)?))
}

/// The bytes that a header announces, and what follows them.
fn payload<'a>(header: &[u8], rest: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let len = usize::try_from(string2ll(header)?).ok()?;
    Some((rest.get(..len)?, rest.get(len + 2..)?))
}

fn array(count: &[u8], times: i64, out: &mut Vec<u8>) -> bool {
    let Some(count) = string2ll(count).and_then(|count| count.checked_mul(times)) else {
        return false;
    };
    header(b'*', count, out);
    true
}

fn bulk(bytes: &[u8], out: &mut Vec<u8>) {
    header(b'$', bytes.len(), out);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn header(kind: u8, count: impl itoa::Integer, out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(shape: Shape, reply: &str) -> Option<String> {
        let mut out = Vec::new();
        downgrade(reply.as_bytes(), shape, &mut out).then(|| String::from_utf8(out).expect("text"))
    }

    #[test]
    fn each_type_has_its_older_one() {
        for (new, old) in [
            ("+OK\r\n", "+OK\r\n"),
            (":-5\r\n", ":-5\r\n"),
            ("$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"),
            ("_\r\n", "$-1\r\n"),
            (",1.5\r\n", "$3\r\n1.5\r\n"),
            (",-inf\r\n", "$4\r\n-inf\r\n"),
            ("#t\r\n", ":1\r\n"),
            ("(123\r\n", "$3\r\n123\r\n"),
            ("=7\r\ntxt:abc\r\n", "$3\r\nabc\r\n"),
            ("~2\r\n:1\r\n:2\r\n", "*2\r\n:1\r\n:2\r\n"),
            (
                "%1\r\n$1\r\nf\r\n$1\r\nv\r\n",
                "*2\r\n$1\r\nf\r\n$1\r\nv\r\n",
            ),
            ("*2\r\n*1\r\n_\r\n*0\r\n", "*2\r\n*1\r\n$-1\r\n*0\r\n"),
            ("-ERR no\r\n", "-ERR no\r\n"),
        ] {
            assert_eq!(with(Shape::default(), new).as_deref(), Some(old), "{new:?}");
        }
    }

    #[test]
    fn pairs_are_flat_and_nulls_are_arrays_where_the_command_says_so() {
        let flat = Shape {
            flat_pairs: true,
            ..Shape::default()
        };
        let pairs = "*2\r\n*2\r\n$1\r\na\r\n,1\r\n*2\r\n$1\r\nb\r\n,2\r\n";
        let plain = "*4\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n";
        assert_eq!(with(flat, pairs).as_deref(), Some(plain));
        assert_eq!(
            with(flat, "*1\r\n$1\r\na\r\n").as_deref(),
            Some("*1\r\n$1\r\na\r\n")
        );
        assert_eq!(with(flat, "*0\r\n").as_deref(), Some("*0\r\n"));
        let array = Shape {
            null_array: true,
            ..Shape::default()
        };
        assert_eq!(with(array, "*1\r\n_\r\n").as_deref(), Some("*1\r\n*-1\r\n"));
    }

    #[test]
    fn what_is_cut_or_unknown_is_no_reply() {
        for reply in [
            "$3\r\nab",
            "*x\r\n",
            "|1\r\n+a\r\n+b\r\n:1\r\n",
            "$-1\r\n",
            ":1",
        ] {
            assert_eq!(with(Shape::default(), reply), None, "{reply:?}");
        }
    }
}
