//! The arguments of one request, where they lie in the read buffer.
//!
//! Does not copy them, except into an [`ArgVec`] on request.

use std::fmt;
use std::ops::Index;

/// Where one argument lies: its first byte and the byte behind its last.
pub(super) type Range = (u32, u32);

/// The arguments of one request, the command's name first.
///
/// As cheap to pass on as two slices.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    buf: &'a [u8],
    ranges: &'a [Range],
}

impl<'a> Args<'a> {
    /// `ranges` refer to `buf`.
    pub(super) const fn new(buf: &'a [u8], ranges: &'a [Range]) -> Self {
        Self { buf, ranges }
    }

    /// Returns how many arguments there are, the command's name included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ranges.len()
    }

    /// Tells whether there are no arguments at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns argument `i`, if there are so many.
    #[inline]
    #[must_use]
    pub fn get(&self, i: usize) -> Option<&'a [u8]> {
        let &(start, end) = self.ranges.get(i)?;
        self.buf.get(start as usize..end as usize)
    }

    /// Returns the bytes at which the first argument begins, and its length: it
    /// may end before or behind them. None when there are not so many bytes.
    #[inline]
    #[must_use]
    pub fn front(&self) -> Option<(&'a [u8; 16], usize)> {
        let &(start, end) = self.ranges.first()?;
        let front = self.buf.get(start as usize..)?.first_chunk()?;
        Some((front, (end - start) as usize))
    }

    /// Returns the arguments from number `from` on, none if there are fewer.
    #[must_use]
    pub fn tail(&self, from: usize) -> Self {
        Self {
            buf: self.buf,
            ranges: self.ranges.get(from..).unwrap_or_default(),
        }
    }

    /// Iterates over the arguments.
    #[must_use]
    pub fn iter(&self) -> ArgIter<'a> {
        ArgIter {
            buf: self.buf,
            ranges: self.ranges.iter(),
        }
    }

    /// Copies the arguments out of the buffer, for the cold paths that keep
    /// them.
    #[must_use]
    pub fn to_owned(&self) -> ArgVec {
        let mut owned = ArgVec::default();
        for arg in self.iter() {
            owned.push(arg);
        }
        owned
    }
}

/// Gives argument `i`.
///
/// # Panics
///
/// If there are not so many arguments, like a slice.
impl Index<usize> for Args<'_> {
    type Output = [u8];

    #[inline]
    fn index(&self, i: usize) -> &[u8] {
        let (start, end) = self.ranges[i];
        &self.buf[start as usize..end as usize]
    }
}

impl<'a> IntoIterator for Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgIter<'a>;

    fn into_iter(self) -> ArgIter<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Args<'a> {
    type Item = &'a [u8];
    type IntoIter = ArgIter<'a>;

    fn into_iter(self) -> ArgIter<'a> {
        self.iter()
    }
}

/// Shows the arguments as escaped text.
impl fmt::Debug for Args<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        for arg in self.iter() {
            list.entry(&format_args!("\"{}\"", arg.escape_ascii()));
        }
        list.finish()
    }
}

/// Iterates over [`Args`].
#[derive(Clone)]
pub struct ArgIter<'a> {
    buf: &'a [u8],
    ranges: std::slice::Iter<'a, Range>,
}

impl<'a> ArgIter<'a> {
    fn slice(&self, &(start, end): &Range) -> &'a [u8] {
        self.buf
            .get(start as usize..end as usize)
            .unwrap_or_default()
    }
}

impl<'a> Iterator for ArgIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let range = self.ranges.next()?;
        Some(self.slice(range))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.ranges.size_hint()
    }

    fn nth(&mut self, n: usize) -> Option<&'a [u8]> {
        let range = self.ranges.nth(n)?;
        Some(self.slice(range))
    }
}

impl DoubleEndedIterator for ArgIter<'_> {
    fn next_back(&mut self) -> Option<Self::Item> {
        let range = self.ranges.next_back()?;
        Some(self.slice(range))
    }
}

impl ExactSizeIterator for ArgIter<'_> {}

/// Holds its own copy of a request's arguments, in one piece.
///
/// All of them together must stay under 4 GiB, as any request's do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Hash)]
pub struct ArgVec {
    bytes: Vec<u8>,
    ranges: Vec<Range>,
}

impl ArgVec {
    /// Returns the arguments.
    #[must_use]
    pub fn as_args(&self) -> Args<'_> {
        Args::new(&self.bytes, &self.ranges)
    }

    /// Returns how many bytes they are kept in.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + self.ranges.len() * size_of::<Range>()
    }

    /// Appends one argument.
    ///
    /// # Panics
    ///
    /// If the arguments together pass 4 GiB.
    pub fn push(&mut self, arg: &[u8]) {
        let start = offset(self.bytes.len());
        self.bytes.extend_from_slice(arg);
        self.ranges.push((start, offset(self.bytes.len())));
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for ArgVec {
    fn from_iter<I: IntoIterator<Item = T>>(args: I) -> Self {
        let mut owned = Self::default();
        for arg in args {
            owned.push(arg.as_ref());
        }
        owned
    }
}

/// Turns a position inside a request into an offset.
pub(super) fn offset(position: usize) -> u32 {
    u32::try_from(position).expect("a request is under 4 GiB: the parser refuses larger ones")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_copy_equals_what_it_was_made_from() {
        let buf = b"..SET.key.\x00\r\n";
        let ranges = [(2, 5), (6, 9), (9, 9), (10, 13)];
        let args = Args::new(buf, &ranges);
        let want: [&[u8]; 4] = [b"SET", b"key", b"", b"\x00\r\n"];
        assert!(args.iter().eq(want));
        assert!(args.iter().rev().eq(want.into_iter().rev()));
        let owned = args.to_owned();
        assert!(owned.as_args().iter().eq(want));
        assert_eq!(owned, want.iter().collect());
        assert_eq!(args.iter().len(), 4);
        assert_eq!(&args[1], b"key");
        assert_eq!(args.get(4), None);
        assert!(args.tail(2).iter().eq([b"".as_slice(), b"\x00\r\n"]));
        assert!(args.tail(9).is_empty());
        assert_eq!(format!("{args:?}"), r#"["SET", "key", "", "\x00\r\n"]"#);
    }
}
