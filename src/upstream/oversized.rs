//! Tells in the log which keys of Respite's own hold more than is read.
//!
//! Somebody else has written them, and it does not mend itself: a human must look. Once is enough, though clients ask on.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tracing::warn;

use super::bounded::TOO_LARGE;

/// What the scripts' errors for such keys begin with.
const REFUSED: &str = "ERR too large: ";
/// How long nothing more is said of a key.
const SILENCE: Duration = Duration::from_secs(3600);
/// The most keys that are told of in that time: whoever can write one can write many.
const MOST_KEYS: usize = 100;

/// Which keys were told of, and when.
#[derive(Debug, Default)]
pub(super) struct Oversized {
    told: Mutex<HashMap<String, Instant>>,
}

impl Oversized {
    /// Logs what the backing's error says, if it is one of these, unless that was done of late.
    pub(super) fn note_refused(&self, text: &str) {
        if let Some(said) = text.strip_prefix(REFUSED)
            && self.is_news(said)
        {
            warn!("a key of the backing is not read, others than Respite write to it: {said}");
        }
    }

    /// Logs that a connection was lost to a reply that was too large, if that is why, unless that was done of late.
    pub(super) fn note_lost(&self, why: &str) {
        if why.contains(TOO_LARGE) && self.is_news(TOO_LARGE) {
            warn!("a reply of the backing was not taken: {why}");
        }
    }

    /// Takes note of what is said; its first key tells it from others.
    fn is_news(&self, said: &str) -> bool {
        let key = said.split(' ').find(|word| word.starts_with("respite:"));
        let key = key.unwrap_or(said);
        let now = Instant::now();
        let mut told = self.told.lock();
        told.retain(|_, at| now.duration_since(*at) < SILENCE);
        if told.contains_key(key) || told.len() >= MOST_KEYS {
            return false;
        }
        told.insert(key.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_told_of_once_and_not_too_many() {
        let oversized = Oversized::default();
        assert!(oversized.is_news("respite:d:{a}:names has 9 entries"));
        assert!(!oversized.is_news("respite:d:{a}:names has 10 entries"));
        assert!(oversized.is_news("what is asked for of respite:d:{b}:names is long"));
        let news =
            (0..2 * MOST_KEYS).filter(|n| oversized.is_news(&format!("respite:{n} is long")));
        assert_eq!(news.count(), MOST_KEYS - 2);
    }
}
