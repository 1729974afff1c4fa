//! What is said about a node or a service, as one string that the scripts need not understand:
//! each field as its length, a colon and its bytes.

/// Appends fields.
#[derive(Debug, Default)]
pub(super) struct FieldWriter {
    bytes: Vec<u8>,
}

/// Takes fields off again.
#[derive(Debug)]
pub(super) struct FieldReader<'a> {
    rest: &'a [u8],
}

impl FieldWriter {
    pub(super) fn field(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let mut length = itoa::Buffer::new();
        self.bytes
            .extend_from_slice(length.format(bytes.len()).as_bytes());
        self.bytes.push(b':');
        self.bytes.extend_from_slice(bytes);
    }

    pub(super) fn count(&mut self, count: usize) {
        self.field(itoa::Buffer::new().format(count));
    }

    pub(super) fn pairs(&mut self, pairs: &[(String, Vec<u8>)]) {
        self.count(pairs.len());
        for (name, value) in pairs {
            self.field(name);
            self.field(value);
        }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }
}

impl<'a> FieldReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        FieldReader { rest: bytes }
    }

    pub(super) fn field(&mut self) -> Option<&'a [u8]> {
        let colon = memchr::memchr(b':', self.rest)?;
        let length: usize = std::str::from_utf8(&self.rest[..colon])
            .ok()?
            .parse()
            .ok()?;
        let end = (colon + 1).checked_add(length)?;
        let field = self.rest.get(colon + 1..end)?;
        self.rest = &self.rest[end..];
        Some(field)
    }

    pub(super) fn text(&mut self) -> Option<String> {
        String::from_utf8(self.field()?.to_vec()).ok()
    }

    pub(super) fn count(&mut self) -> Option<usize> {
        std::str::from_utf8(self.field()?).ok()?.parse().ok()
    }

    pub(super) fn pairs(&mut self) -> Option<Vec<(String, Vec<u8>)>> {
        let count = self.count()?;
        (0..count)
            .map(|_| Some((self.text()?, self.field()?.to_vec())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_as_they_went_in() {
        let pairs = vec![
            ("a".to_owned(), b"1:2".to_vec()),
            (String::new(), vec![0, 255]),
        ];
        let mut writer = FieldWriter::default();
        writer.field("x:y");
        writer.pairs(&pairs);
        let bytes = writer.finish();
        let mut reader = FieldReader::new(&bytes);
        assert_eq!(reader.field(), Some(&b"x:y"[..]));
        assert_eq!(reader.pairs(), Some(pairs));
        assert_eq!(reader.field(), None);
    }

    #[test]
    fn what_is_cut_off_or_odd_is_nothing() {
        for bytes in ["", "3", "3:ab", "x:ab", "-1:", "99999999999999999999:"] {
            assert_eq!(FieldReader::new(bytes.as_bytes()).field(), None, "{bytes}");
        }
        assert_eq!(FieldReader::new(b"5:99999").pairs(), None);
    }
}
