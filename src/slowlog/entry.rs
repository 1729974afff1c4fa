//! One slow command.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where the time of a command went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// It waited in Respite: for a connection, for room, behind other commands of the same connection.
    pub queued: Duration,
    /// The backing worked on it, or a family of Respite's own.
    pub backing: Duration,
    /// Its reply waited for the client to read.
    pub client: Duration,
}

/// Who sent a command.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// Its address.
    pub addr: String,
    /// What `CLIENT SETNAME` has said.
    pub name: String,
    /// The user.
    pub user: String,
}

/// A slow command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Grows by one each time.
    pub id: u64,
    /// When it was noted, in milliseconds since 1970.
    pub time_ms: u64,
    /// Where its time went.
    pub spent: Spent,
    /// What is shown of its arguments.
    pub args: Vec<Vec<u8>>,
    /// Who sent it.
    pub client: Client,
}

impl Spent {
    /// All of it.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.queued + self.backing + self.client
    }
}

impl Entry {
    /// The same for somebody who may not see the keys of others: the command alone.
    #[must_use]
    pub fn without_arguments(mut self) -> Self {
        if self.args.len() > 1 {
            let hidden = format!("... ({} more arguments)", self.args.len() - 1);
            self.args.truncate(1);
            self.args.push(hidden.into_bytes());
        }
        self
    }

    pub(super) fn new(id: u64, spent: Spent, args: Vec<Vec<u8>>, client: Client) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let time_ms = now.map_or(0, |now| now.as_millis());
        Entry {
            id,
            time_ms: u64::try_from(time_ms).unwrap_or(u64::MAX),
            spent,
            args,
            client,
        }
    }
}
