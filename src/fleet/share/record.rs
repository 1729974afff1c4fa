//! What one Respite tells the others of a shard: its INFO, compressed, and how its polls went. Written by others, so
//! every length is judged before anything is taken by it.

use std::sync::LazyLock;
use std::time::Duration;

use super::super::shard::Trouble;
use super::view::is_name;

/// What an INFO usually says, for those to be compressed against that have no base. Changing it changes [`VERSION`].
const USUAL: &str = include_str!("usual.txt");
/// The form of a record. Others are left unread.
const VERSION: u8 = 1;
/// The longest error that is taken, in bytes.
const LONGEST_ERROR: usize = 1024;
/// What compression may add to a text, and all that stands around it.
const AROUND: usize = 4096;

/// The usual text with the line ends of INFO.
static DICTIONARY: LazyLock<Vec<u8>> = LazyLock::new(|| USUAL.replace('\n', "\r\n").into_bytes());

/// A shard as its poller knows it. Times are microseconds of the backing's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    /// Who polled it.
    pub(super) poller: String,
    /// When the last poll began, whether it was answered or not.
    pub(super) tried: u64,
    /// When the answer was asked for that `text` is.
    pub(super) asked: u64,
    pub(super) interval: Duration,
    pub(super) failures: u32,
    /// Why the last poll failed, when it did.
    pub(super) trouble: Option<(Trouble, String)>,
    pub(super) ops_per_sec: Option<u64>,
    /// Its INFO; none before its first answer.
    pub(super) text: Option<Vec<u8>>,
}

/// An INFO that others of the same shard are compressed against: little of it changes from one poll to the next.
#[derive(Debug, Clone, Copy)]
pub(super) struct Base<'a> {
    /// When it was asked for; names it.
    pub(super) asked: u64,
    pub(super) text: &'a [u8],
}

/// Why a record cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    /// No Respite of this version wrote it.
    Wrong,
    /// The base is not known that it was compressed against.
    NoBase,
}

/// So long is the longest record whose text has so many bytes.
pub(super) fn longest(text: usize) -> usize {
    text + text / 128 + AROUND
}

impl Record {
    /// Writes it, compressed against a base if there is one.
    pub(super) fn encode(&self, base: Option<Base<'_>>) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048);
        out.push(VERSION);
        out.extend(base.map_or(0, |base| base.asked).to_le_bytes());
        out.extend(self.tried.to_le_bytes());
        out.extend(self.asked.to_le_bytes());
        let interval = u64::try_from(self.interval.as_micros()).unwrap_or(u64::MAX);
        out.extend(interval.to_le_bytes());
        out.extend(self.failures.to_le_bytes());
        out.extend(self.ops_per_sec.unwrap_or(u64::MAX).to_le_bytes());
        put(&mut out, self.poller.as_bytes());
        let (trouble, error) = match &self.trouble {
            None => (0, ""),
            Some((Trouble::Auth, error)) => (1, error.as_str()),
            Some((Trouble::Loading, error)) => (2, error.as_str()),
            Some((Trouble::Other, error)) => (3, error.as_str()),
        };
        out.push(trouble);
        put(&mut out, error.as_bytes());
        let text = self.text.as_deref().unwrap_or_default();
        out.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        if !text.is_empty() {
            let against = base.map_or(&**DICTIONARY, |base| base.text);
            let packed = lz4_flex::block::compress_with_dict(text, against);
            out.extend(packed);
        }
        out
    }

    /// Reads a record whose text has at most `most` bytes; `base` finds the text of a base.
    pub(super) fn decode(
        bytes: &[u8],
        most: usize,
        base: impl FnOnce(u64) -> Option<Vec<u8>>,
    ) -> Result<Self, Unread> {
        match Self::head(bytes, most).ok_or(Unread::Wrong)? {
            (record, _, 0, _) => Ok(record),
            (record, 0, len, packed) => record.with_text(packed, len, &DICTIONARY),
            (record, asked, len, packed) => {
                let base = base(asked).ok_or(Unread::NoBase)?;
                record.with_text(packed, len, &base)
            }
        }
    }

    /// Whether it can be a base.
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        bytes.get(1..9) == Some(&[0; 8])
    }

    fn with_text(mut self, packed: &[u8], len: usize, against: &[u8]) -> Result<Self, Unread> {
        let text = lz4_flex::block::decompress_with_dict(packed, len, against);
        let text = text.ok().filter(|text| text.len() == len);
        self.text = Some(text.ok_or(Unread::Wrong)?);
        Ok(self)
    }

    /// All but the text: the base's name, the length and the compressed text.
    fn head(bytes: &[u8], most: usize) -> Option<(Self, u64, usize, &[u8])> {
        if bytes.len() > longest(most) {
            return None;
        }
        let mut rest = Rest(bytes);
        if rest.take(1)? != [VERSION] {
            return None;
        }
        let base = rest.u64()?;
        let (tried, asked) = (rest.u64()?, rest.u64()?);
        let interval = Duration::from_micros(rest.u64()?);
        let failures = rest.u32()?;
        let ops_per_sec = Some(rest.u64()?).filter(|ops| *ops != u64::MAX);
        let poller = String::from_utf8(rest.counted()?.to_vec()).ok()?;
        let trouble = rest.take(1)?[0];
        let error = rest.counted()?;
        if !is_name(&poller) || error.len() > LONGEST_ERROR {
            return None;
        }
        let error = String::from_utf8_lossy(error).replace(char::is_control, " ");
        let trouble = match trouble {
            0 => None,
            1 => Some((Trouble::Auth, error)),
            2 => Some((Trouble::Loading, error)),
            3 => Some((Trouble::Other, error)),
            _ => return None,
        };
        let len = usize::try_from(rest.u32()?).ok()?;
        if len > most {
            return None;
        }
        let record = Record {
            poller,
            tried,
            asked,
            interval,
            failures,
            trouble,
            ops_per_sec,
            text: None,
        };
        Some((record, base, len, rest.0))
    }
}

/// Puts a text with its length in front; longer ones than a length can say are cut.
fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST_ERROR)];
    let len = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    out.extend(len.to_le_bytes());
    out.extend(bytes);
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn counted(&mut self) -> Option<&'a [u8]> {
        let len = u16::from_le_bytes(self.take(2)?.try_into().ok()?);
        self.take(usize::from(len))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record {
            poller: "host:7379/1".to_owned(),
            tried: 1_790_000_000_000_002,
            asked: 1_790_000_000_000_001,
            interval: Duration::from_millis(1500),
            failures: 2,
            trouble: Some((Trouble::Auth, "WRONGPASS no".to_owned())),
            ops_per_sec: Some(7),
            text: (!text.is_empty()).then(|| text.as_bytes().to_vec()),
        }
    }

    fn read(bytes: &[u8], most: usize) -> Result<Record, Unread> {
        Record::decode(bytes, most, |_| None)
    }

    #[test]
    fn records_read_back_and_are_small() {
        let info = include_str!("../testdata/redis-7.0.txt").replace('\n', "\r\n");
        let records = [record(&info), record(""), record("a:1\r\n")];
        for record in records {
            let bytes = record.encode(None);
            assert!(Record::is_whole(&bytes));
            assert_eq!(read(&bytes, 8192), Ok(record));
        }
        let plain = Record {
            trouble: None,
            ops_per_sec: None,
            ..record(&info)
        };
        let bytes = plain.encode(None);
        assert!(
            bytes.len() * 2 < info.len(),
            "{} of {}",
            bytes.len(),
            info.len()
        );
        assert_eq!(read(&bytes, 8192), Ok(plain));
    }

    #[test]
    fn little_is_told_of_what_has_hardly_changed() {
        let before = include_str!("../testdata/redis-7.0.txt").replace('\n', "\r\n");
        let after = before.replace("uptime_in_seconds:1", "uptime_in_seconds:4");
        let base = Base {
            asked: 7,
            text: before.as_bytes(),
        };
        let record = record(&after);
        let bytes = record.encode(Some(base));
        assert!(bytes.len() < 200, "{}", bytes.len());
        assert!(!Record::is_whole(&bytes));
        let with = |asked: u64| (asked == 7).then(|| before.clone().into_bytes());
        assert_eq!(Record::decode(&bytes, 8192, with), Ok(record));
        assert_eq!(read(&bytes, 8192), Err(Unread::NoBase));
        let other = |_| Some(b"other".to_vec());
        assert!(Record::decode(&bytes, 8192, other).is_err());
    }

    #[test]
    fn what_is_wrong_or_too_long_is_not_read() {
        let bytes = record("a:1\r\n").encode(None);
        for len in 0..bytes.len() {
            assert_eq!(read(&bytes[..len], 8192), Err(Unread::Wrong), "{len} bytes");
        }
        let long = read(&bytes, 4);
        assert_eq!(long, Err(Unread::Wrong), "a longer text than allowed");
        // One byte changed: another record, or none, but never a panic or a longer text.
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                if let Ok(record) = read(&bytes, 64) {
                    assert!(record.text.is_none_or(|text| text.len() <= 64));
                }
            }
        }
        // A text that says that it is large is not made room for.
        let mut bytes = record("").encode(None);
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(read(&bytes, 8 << 20), Err(Unread::Wrong));
    }
}
