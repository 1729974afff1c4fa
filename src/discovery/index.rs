//! How far a group has come: its epoch and revision, opaque to clients.

use std::fmt;
use std::str::FromStr;

/// A point in the history of a group. An epoch is drawn when a group begins, so the indexes of a group
/// that was lost and made anew are never mistaken for its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Index {
    /// None for a group that is not there: the index `0`.
    epoch: Option<u64>,
    revision: u64,
}

impl Index {
    /// The point before everything.
    pub const ZERO: Index = Index {
        epoch: None,
        revision: 0,
    };

    pub(super) fn new(epoch: &[u8], revision: u64) -> Option<Self> {
        if epoch == b"0" {
            return Some(Index::ZERO);
        }
        let epoch = std::str::from_utf8(epoch).ok()?;
        let epoch = u64::from_str_radix(epoch, 16).ok()?;
        Some(Index {
            epoch: Some(epoch),
            revision,
        })
    }

    /// The group's revision: how many changes it has seen, with gaps.
    #[must_use]
    pub fn revision(self) -> u64 {
        self.revision
    }

    /// The same life of the group at another revision.
    pub(super) fn moved_to(self, revision: u64) -> Self {
        Index { revision, ..self }
    }

    /// Whether both are of the same life of a group; one that is not there has none.
    #[must_use]
    pub fn same_epoch(self, other: Self) -> bool {
        self.epoch == other.epoch
    }

    /// Whether a client that is at this index has been left behind by a group that is at `now`: the
    /// group was lost, or is at an earlier point than the client has seen.
    #[must_use]
    pub fn is_reset_by(self, now: Self) -> bool {
        match self.epoch {
            None => false,
            epoch => epoch != now.epoch || self.revision > now.revision,
        }
    }
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.epoch {
            None => f.write_str("0"),
            Some(epoch) => write!(f, "{epoch:016x}-{}", self.revision),
        }
    }
}

impl FromStr for Index {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text == "0" {
            return Ok(Index::ZERO);
        }
        let (epoch, revision) = text.split_once('-').ok_or(())?;
        let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        if epoch.len() != 16 || !plain(epoch) || !plain(revision) {
            return Err(());
        }
        Ok(Index {
            epoch: Some(u64::from_str_radix(epoch, 16).map_err(|_| ())?),
            revision: revision.parse().map_err(|_| ())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_reads_back_and_nothing_else_does() {
        let index = Index::new(b"00000000000000ff", 42).expect("an epoch");
        assert_eq!(index.to_string(), "00000000000000ff-42");
        assert_eq!("00000000000000ff-42".parse(), Ok(index));
        assert_eq!("0".parse(), Ok(Index::ZERO));
        for bad in [
            "",
            "1",
            "-",
            "ff-1",
            "00000000000000ff-",
            "00000000000000ff-+1",
            "x",
        ] {
            assert_eq!(bad.parse::<Index>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn another_epoch_or_an_earlier_point_is_a_reset() {
        let at = |epoch: &[u8], revision| Index::new(epoch, revision).expect("an epoch");
        let seen = at(b"a", 5);
        assert!(!seen.is_reset_by(at(b"a", 5)) && !seen.is_reset_by(at(b"a", 6)));
        assert!(seen.is_reset_by(at(b"a", 4)) && seen.is_reset_by(at(b"b", 9)));
        assert!(seen.is_reset_by(Index::ZERO));
        assert!(!Index::ZERO.is_reset_by(seen));
    }
}
