//! What a caller sends to a worker, in one piece: the backing keeps it without looking at it.

use crate::resp::write_command;

/// The lengths of the first two parts stand in front, four bytes each.
const HEADER: usize = 8;

/// Arguments and payload of a call.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::bus) struct Body(Vec<u8>);

impl Body {
    pub(in crate::bus) fn new(
        args: &[Vec<u8>],
        kwargs: &[(Vec<u8>, Vec<u8>)],
        payload: &[u8],
    ) -> Self {
        let mut bytes = vec![0; HEADER];
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        write_command(&mut bytes, &words);
        let args = bytes.len() - HEADER;
        let words = kwargs
            .iter()
            .flat_map(|(name, value)| [name.as_slice(), value]);
        let words: Vec<&[u8]> = words.collect();
        write_command(&mut bytes, &words);
        let kwargs = bytes.len() - HEADER - args;
        bytes.extend_from_slice(payload);
        for (at, len) in [(0, args), (4, kwargs)] {
            // A request is under 4 GiB.
            let len = u32::try_from(len).unwrap_or(u32::MAX);
            bytes[at..at + 4].copy_from_slice(&len.to_le_bytes());
        }
        Body(bytes)
    }

    /// Takes what the backing kept.
    pub(in crate::bus) fn read(bytes: Vec<u8>) -> Self {
        Body(bytes)
    }

    pub(in crate::bus) fn len(&self) -> usize {
        self.0.len()
    }

    pub(in crate::bus) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The arguments as a reply: an array of bulks.
    pub(in crate::bus) fn args(&self) -> &[u8] {
        self.part(0, self.part_len(0))
    }

    /// The arguments by name, how many there are and the pairs as bulks.
    pub(in crate::bus) fn kwargs(&self) -> (usize, &[u8]) {
        let array = self.part(self.part_len(0), self.part_len(4));
        let end = memchr::memchr(b'\n', array).map_or(0, |at| at + 1);
        let (header, pairs) = array.split_at(end);
        let count = header
            .strip_prefix(b"*")
            .and_then(|rest| rest.strip_suffix(b"\r\n"));
        let count = count.and_then(|count| std::str::from_utf8(count).ok()?.parse::<usize>().ok());
        (count.unwrap_or(0) / 2, pairs)
    }

    pub(in crate::bus) fn payload(&self) -> &[u8] {
        let before = self.part_len(0).saturating_add(self.part_len(4));
        self.part(before, self.0.len().saturating_sub(HEADER + before))
    }

    fn part_len(&self, at: usize) -> usize {
        let bytes = self
            .0
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok());
        usize::try_from(bytes.map_or(0, u32::from_le_bytes)).unwrap_or(usize::MAX)
    }

    fn part(&self, from: usize, len: usize) -> &[u8] {
        let from = HEADER.saturating_add(from);
        self.0
            .get(from..from.saturating_add(len))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_are_written_as_replies() {
        let word = |text: &str| text.as_bytes().to_vec();
        let body = Body::new(&[word("1"), word("2")], &[(word("a"), word("1"))], b"p\r\n");
        let body = Body::read(body.into_bytes());
        assert_eq!(body.args(), b"*2\r\n$1\r\n1\r\n$1\r\n2\r\n");
        assert_eq!(body.kwargs(), (1, &b"$1\r\na\r\n$1\r\n1\r\n"[..]));
        assert_eq!(body.payload(), b"p\r\n");
        let empty = Body::new(&[], &[], b"");
        assert_eq!(
            (empty.args(), empty.kwargs(), empty.payload()),
            (&b"*0\r\n"[..], (0, &b""[..]), &b""[..])
        );
    }

    #[test]
    fn what_is_no_body_has_no_parts() {
        for bytes in [&b""[..], b"short", &[255; 9]] {
            let body = Body::read(bytes.to_vec());
            assert_eq!((body.args(), body.payload()), (&b""[..], &b""[..]));
            assert_eq!(body.kwargs().0, 0);
        }
    }
}
