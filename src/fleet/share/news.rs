//! What this Respite tells the others of its polls, and what it reads of theirs: records, and the bases that they are
//! compressed against. No I/O.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::super::shard::{Account, Latest, Shard, Trouble};
use super::heartbeat::Entry;
use super::identity::ShardKey;
use super::membership::BackingClock;
use super::record::{Base, Record, Unread};

/// A base is told anew after so many records.
const OFTEN: u32 = 50;

/// The bases of all shards.
#[derive(Debug, Default)]
pub(super) struct News {
    /// What this Respite compresses against.
    given: HashMap<ShardKey, Given>,
    /// What the others do: whole records, by when they were asked for.
    taken: HashMap<ShardKey, (u64, Vec<u8>)>,
}

#[derive(Debug)]
struct Given {
    asked: u64,
    latest: Arc<Latest>,
    /// The bytes of its record.
    size: usize,
    /// Records that were compressed against it.
    used: u32,
}

impl News {
    /// The backing may not have the bases any more, or never had them.
    pub(super) fn forget_given(&mut self) {
        self.given.clear();
    }

    /// Others tell of this shard.
    pub(super) fn release(&mut self, key: ShardKey) {
        self.given.remove(&key);
    }

    pub(super) fn retain(&mut self, is_tracked: impl Fn(&ShardKey) -> bool) {
        self.given.retain(|key, _| is_tracked(key));
        self.taken.retain(|key, _| is_tracked(key));
    }

    /// What to tell of a shard.
    pub(super) fn tell(
        &mut self,
        key: ShardKey,
        account: Account,
        latest: Option<&Arc<Latest>>,
        me: &str,
        clock: BackingClock,
    ) -> Entry {
        let record = Record {
            poller: me.to_owned(),
            tried: clock.micros(account.tried),
            asked: account.asked.map_or(0, |asked| clock.micros(asked)),
            interval: account.interval,
            failures: account.failures,
            trouble: account
                .trouble
                .map(|(trouble, text)| (trouble, text.to_string())),
            ops_per_sec: latest.and_then(|latest| latest.ops_per_sec),
            text: latest.map(|latest| latest.snapshot.text().to_vec()),
        };
        if let Some(given) = self.given.get_mut(&key).filter(|given| given.used < OFTEN) {
            let base = Base {
                asked: given.asked,
                text: given.latest.snapshot.text(),
            };
            let packed = record.encode(Some(base));
            if packed.len() * 2 < given.size {
                given.used += 1;
                return Entry {
                    key,
                    record: packed,
                    is_base: false,
                };
            }
        }
        let whole = record.encode(None);
        let is_base = latest.is_some() && record.asked > 0;
        if let Some(latest) = latest.filter(|_| is_base) {
            let given = Given {
                asked: record.asked,
                latest: Arc::clone(latest),
                size: whole.len(),
                used: 0,
            };
            self.given.insert(key, given);
        }
        Entry {
            key,
            record: whole,
            is_base,
        }
    }

    /// Reads a record of a shard whose INFO has at most `most` bytes.
    pub(super) fn read(
        &mut self,
        key: ShardKey,
        bytes: &[u8],
        most: usize,
    ) -> Result<Record, Unread> {
        let taken = self.taken.get(&key);
        let base = |asked| {
            let (_, whole) = taken.filter(|(name, _)| *name == asked)?;
            Record::decode(whole, most, |_| None).ok()?.text
        };
        let record = Record::decode(bytes, most, base)?;
        if Record::is_whole(bytes) && record.text.is_some() {
            self.taken.insert(key, (record.asked, bytes.to_vec()));
        }
        Ok(record)
    }
}

/// What a record is about, in the words of a shard; none when its times mean nothing here.
pub(super) fn account(record: &mut Record, clock: BackingClock, now: Instant) -> Option<Account> {
    Some(Account {
        tried: clock.instant(record.tried, now)?,
        asked: match record.asked {
            0 => None,
            asked => clock.instant(asked, now),
        },
        interval: record.interval,
        failures: record.failures,
        trouble: record
            .trouble
            .take()
            .map(|(trouble, text)| (trouble, text.into())),
    })
}

/// Whether a shard refuses the login that it is polled with.
pub(super) fn is_refused(shard: &Shard, account: &Account) -> bool {
    matches!(account.trouble, Some((Trouble::Auth, _))) && shard.is_held()
}
