//! Properties that hold for any bytes and any way in which they arrive, and
//! agreement with the `redis-protocol` crate.

mod oracle;
mod replies;
mod requests;

use proptest::prelude::*;

/// Bytes that come close to the protocol more often than any bytes do.
fn near_protocol() -> impl Strategy<Value = Vec<u8>> {
    let pieces: Vec<&'static [u8]> = vec![
        b"*",
        b"$",
        b"+",
        b"-",
        b":",
        b"|",
        b"%",
        b"~",
        b">",
        b"_",
        b"#t",
        b",",
        b"(",
        b"!",
        b"=",
        b"?",
        b";",
        b".",
        b"\r\n",
        b"\r\n",
        b"\r\n",
        b"\r",
        b"\n",
        b"0",
        b"1",
        b"2",
        b"4",
        b"-1",
        b"9999999999999999999",
        b"2147483647",
        b"a",
        b"\"",
        b"'",
        b"\\",
        b"x4",
        b" ",
        b"\0",
        b"\xff",
        b"*1\r\n",
        b"*2\r\n",
        b"$1\r\na\r\n",
        b"$0\r\n\r\n",
        b"|1\r\n",
        b":1\r\n",
        b"txt:",
        b"=4\r\ntxt:\r\n",
    ];
    let piece = prop_oneof![
        9 => prop::sample::select(pieces).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Cuts `bytes` into chunks of these sizes, over and over.
fn chunks<'a>(bytes: &'a [u8], sizes: &'a [usize]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = bytes;
    sizes.iter().cycle().map_while(move |&size| {
        let (chunk, behind) = rest.split_at(size.min(rest.len()));
        rest = behind;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Sizes of the chunks in which a peer's bytes arrive.
fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![1]),
        prop::collection::vec(1..9_usize, 1..9),
        prop::collection::vec(1..200_usize, 1..9),
    ]
}
