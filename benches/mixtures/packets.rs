//! Requests as bytes, and what their replies have to be: the value of a key begins with the key's number.

use std::io;

const DIGITS: usize = 12;
const OK: &[u8] = b"+OK\r\n";
/// Bytes of a reply that are compared from its beginning, at most.
const HEAD_BYTES: usize = 32;

/// Commands on values of one length.
pub(crate) struct Shapes {
    get: Shape,
    set: Shape,
    /// The reply to a read up to the value.
    head: Vec<u8>,
    value_bytes: usize,
}

/// A command, and where the number of its key goes.
struct Shape {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

/// The reply to one command.
pub(crate) struct Reply {
    pub(crate) bytes: usize,
    head: [u8; HEAD_BYTES],
    known: usize,
}

/// An error that shows what came.
pub(crate) fn wrong(what: &str, bytes: &[u8]) -> io::Error {
    let begin = String::from_utf8_lossy(&bytes[..bytes.len().min(100)]).into_owned();
    io::Error::other(format!("{what}: {begin:?}"))
}

fn digits(key: u32, place: &mut [u8]) {
    let mut rest = key;
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

// === impl Shapes ===

impl Shapes {
    pub(crate) fn new(value_bytes: usize) -> Self {
        let key = format!("key:{}", "0".repeat(DIGITS));
        let value = format!("{}{}", "0".repeat(DIGITS), "v".repeat(value_bytes - DIGITS));
        let get = format!("*2\r\n$3\r\nGET\r\n${}\r\n{key}\r\n", key.len());
        let set = format!(
            "*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${value_bytes}\r\n",
            key.len()
        );
        let number = |command: &str| command.find("key:").unwrap_or_default() + "key:".len();
        Self {
            get: Shape {
                places: vec![number(&get)],
                bytes: get.into_bytes(),
            },
            set: Shape {
                places: vec![number(&set), set.len()],
                bytes: format!("{set}{value}\r\n").into_bytes(),
            },
            head: format!("${value_bytes}\r\n").into_bytes(),
            value_bytes,
        }
    }

    /// Appends a command.
    pub(crate) fn request(&self, packet: &mut Vec<u8>, key: u32, writes: bool) {
        let shape = if writes { &self.set } else { &self.get };
        let start = packet.len();
        packet.extend_from_slice(&shape.bytes);
        for place in &shape.places {
            digits(key, &mut packet[start + place..start + place + DIGITS]);
        }
    }

    pub(crate) fn reply(&self, key: u32, writes: bool) -> Reply {
        let mut head = [0; HEAD_BYTES];
        if writes {
            head[..OK.len()].copy_from_slice(OK);
            return Reply {
                bytes: OK.len(),
                head,
                known: OK.len(),
            };
        }
        let at = self.head.len();
        head[..at].copy_from_slice(&self.head);
        digits(key, &mut head[at..at + DIGITS]);
        Reply {
            bytes: at + self.value_bytes + 2,
            head,
            known: at + DIGITS,
        }
    }
}

// === impl Reply ===

impl Reply {
    /// Whether the reply can go on like this after so many bytes of it; what fills a value is not looked at.
    pub(crate) fn has(&self, part: &[u8], begun: usize) -> bool {
        let end = begun + part.len();
        let head = begun.min(self.known)..end.min(self.known);
        let begins = part[..head.len()] == self.head[head];
        let last = self.bytes - 2;
        let tail = begun.max(last)..end.max(last);
        let ends = b"\r\n"[tail.start - last..tail.end - last] == part[part.len() - tail.len()..];
        begins && ends
    }
}
