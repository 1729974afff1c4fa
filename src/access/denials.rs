//! What was refused to whom: the newest refusals, grouped as Redis' `ACL LOG` groups them, and how many there were.
//!
//! Refuses nothing itself.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;

/// So many entries are kept, as by Redis' `acllog-max-len`.
const MOST: usize = 128;
/// A refusal like one of this age is counted with it, as by Redis.
const GROUPED_FOR: Duration = Duration::from_secs(60);
/// So many of the newest entries are looked at for that, as by Redis.
const LOOKED_AT: usize = 10;
/// So many bytes of a key or a name are kept: clients choose them.
const SHOWN: usize = 256;

/// Why something was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The command.
    Command,
    /// A key of it.
    Key,
    /// A channel of it.
    Channel,
    /// A login with a wrong password, or a user that there is not.
    Auth,
}

/// Where a refused command came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A client that is in no transaction.
    TopLevel,
    /// A transaction.
    Multi,
    /// A request for a page.
    Http,
}

/// One refusal.
#[derive(Debug, Clone, Copy)]
pub struct Refusal<'a> {
    /// Why.
    pub reason: Reason,
    /// From where.
    pub place: Place,
    /// What: the key or the channel, or the command.
    pub object: &'a [u8],
    /// Who: the user, or the name that a login was tried with.
    pub user: &'a [u8],
}

/// Like refusals.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Grows by one with each entry.
    pub id: u64,
    /// How many refusals it stands for.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// From where.
    pub place: Place,
    /// What.
    pub object: Vec<u8>,
    /// Who.
    pub user: Vec<u8>,
    /// The client of the last one, as `CLIENT INFO` shows it.
    pub client: String,
    /// When the first one was, since 1970.
    pub created: Duration,
    /// When the last one was, since 1970.
    pub updated: Duration,
}

/// The refusals of this process.
#[derive(Debug, Default)]
pub struct Denials {
    /// The newest first.
    entries: Mutex<VecDeque<Entry>>,
    ids: AtomicU64,
    counts: [AtomicU64; Reason::ALL.len()],
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Command, Self::Key, Self::Channel, Self::Auth];

    /// The name that `ACL LOG` uses.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Key => "key",
            Self::Channel => "channel",
            Self::Auth => "auth",
        }
    }
}

impl Place {
    /// The name that `ACL LOG` uses, or would.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Http => "http",
        }
    }
}

impl Denials {
    /// Notes a refusal; `client` describes who it was.
    pub fn note(&self, refusal: Refusal<'_>, client: String) {
        self.note_at(refusal, client, now());
    }

    fn note_at(&self, refusal: Refusal<'_>, client: String, now: Duration) {
        self.counts[refusal.reason as usize].fetch_add(1, Ordering::Relaxed);
        let [object, user] =
            [refusal.object, refusal.user].map(|text| &text[..text.len().min(SHOWN)]);
        let is_like = |entry: &Entry| {
            entry.reason == refusal.reason
                && entry.place == refusal.place
                && now.saturating_sub(entry.updated) <= GROUPED_FOR
                && entry.object == object
                && entry.user == user
        };
        let mut entries = self.entries.lock();
        let like = entries.iter().take(LOOKED_AT).position(is_like);
        let entry = match like.and_then(|at| entries.remove(at)) {
            Some(entry) => Entry {
                count: entry.count + 1,
                client,
                updated: now,
                ..entry
            },
            None => Entry {
                id: self.ids.fetch_add(1, Ordering::Relaxed),
                count: 1,
                reason: refusal.reason,
                place: refusal.place,
                object: object.to_vec(),
                user: user.to_vec(),
                client,
                created: now,
                updated: now,
            },
        };
        entries.push_front(entry);
        entries.truncate(MOST);
    }

    /// The newest so many, the newest first.
    #[must_use]
    pub fn newest(&self, most: usize) -> Vec<Entry> {
        self.entries.lock().iter().take(most).cloned().collect()
    }

    /// Forgets all entries; what was counted stays.
    pub fn clear(&self) {
        self.entries.lock().clear();
    }

    /// How many refusals there were for a reason.
    #[must_use]
    pub fn count(&self, reason: Reason) -> u64 {
        self.counts[reason as usize].load(Ordering::Relaxed)
    }
}

impl Entry {
    /// How long ago the last one was.
    #[must_use]
    pub fn age(&self) -> Duration {
        now().saturating_sub(self.updated)
    }
}

fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(log: &Denials, reason: Reason, object: &str, user: &str, at: u64) {
        let refusal = Refusal {
            reason,
            place: Place::TopLevel,
            object: object.as_bytes(),
            user: user.as_bytes(),
        };
        log.note_at(refusal, format!("at {at}"), Duration::from_secs(at));
    }

    fn shown(log: &Denials) -> Vec<String> {
        let entry = |entry: &Entry| {
            let (object, user) = (
                String::from_utf8_lossy(&entry.object),
                String::from_utf8_lossy(&entry.user),
            );
            let (id, count, reason) = (entry.id, entry.count, entry.reason.name());
            format!("{id} {count} {reason} {object} {user} {}", entry.client)
        };
        log.newest(usize::MAX).iter().map(entry).collect()
    }

    #[test]
    fn like_refusals_of_a_minute_are_one_entry() {
        let log = Denials::default();
        note(&log, Reason::Key, "k", "ann", 0);
        note(&log, Reason::Key, "k", "bob", 1);
        note(&log, Reason::Command, "k", "ann", 2);
        note(&log, Reason::Key, "k", "ann", 60);
        assert_eq!(
            shown(&log),
            [
                "0 2 key k ann at 60",
                "2 1 command k ann at 2",
                "1 1 key k bob at 1"
            ]
        );
        // The last of them has to be that young, not the first.
        note(&log, Reason::Key, "k", "ann", 120);
        note(&log, Reason::Key, "k", "bob", 120);
        assert_eq!(
            shown(&log)[..2],
            ["3 1 key k bob at 120", "0 3 key k ann at 120"]
        );
        assert_eq!((log.count(Reason::Key), log.count(Reason::Command)), (5, 1));
        log.clear();
        assert_eq!((shown(&log).len(), log.count(Reason::Key)), (0, 5));
    }

    #[test]
    fn the_log_is_bounded() {
        let log = Denials::default();
        for at in 0..500 {
            note(
                &log,
                Reason::Auth,
                &"x".repeat(100_000),
                &at.to_string(),
                at,
            );
        }
        let entries = log.newest(usize::MAX);
        assert_eq!((entries.len(), entries[0].object.len()), (MOST, SHOWN));
        assert_eq!(entries[0].user, b"499");
        assert_eq!(log.newest(2).len(), 2);
    }
}
