//! The task of a Respite that shares its fleet: says and hears at every beat, and hands on what follows from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::Value;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::super::interval::spread;
use super::super::shard::Shard;
use super::super::snapshot::Snapshot;
use super::super::table::Shards;
use super::super::watcher::Found;
use super::Share;
use super::heartbeat::{BEAT, Entry, KEYS, LOOK, MOST_BYTES, MOST_RECORDS, Told, bases, sets};
use super::holdings::Changes;
use super::identity::ShardKey;
use super::membership::{LEASE, Membership, Terms};
use super::news::{News, account, is_refused};
use super::overview::{MemberReport, Overview};
use super::record::{Record, Unread, longest};
use super::turns::{Move, first_poll};
use super::view::{SetDigest, mix};
use crate::config::FleetSettings;

/// Records are kept for three of the longest intervals and this.
const KEEP: Duration = Duration::from_secs(60);
/// So many bases are asked for at once.
const AT_A_TIME: usize = 500;

/// A Respite's part in the fleet, and the shards that it is about.
pub(super) struct Task {
    share: Arc<Share>,
    membership: Membership,
    shards: HashMap<ShardKey, Arc<Shard>>,
    keys: HashMap<Arc<str>, ShardKey>,
    /// The table that `shards` are of.
    seen: Option<Arc<Shards>>,
    news: News,
    /// When the polls began that the others were told of last.
    told: HashMap<ShardKey, Instant>,
    /// When the last polls of others began.
    heard: HashMap<Arc<str>, Instant>,
    /// More shards refuse the login than the others can be told: it was said.
    left_out: bool,
    error: Option<String>,
    answered: Option<Instant>,
}

impl Task {
    pub(super) fn new(share: Arc<Share>) -> Self {
        Task {
            membership: Membership::new(Arc::clone(share.name())),
            share,
            shards: HashMap::new(),
            keys: HashMap::new(),
            seen: None,
            news: News::default(),
            told: HashMap::new(),
            heard: HashMap::new(),
            left_out: false,
            error: None,
            answered: None,
        }
    }

    /// Takes part for as long as the settings say, and waits for them to say so again.
    pub(super) async fn run(mut self) {
        // What a former run held that has panicked.
        self.release_all();
        // The connection is made by this, not by the first beat, which has to know the backing's clock closely.
        let time = redis::cmd("TIME");
        let _ = timeout(LEASE, self.share.control.command_at(KEYS[0], &time)).await; // the beat tells what is wrong
        loop {
            let share = Arc::clone(&self.share);
            if share.leaving.load(Ordering::Acquire) {
                self.release_all();
                self.farewell().await;
                share.left.send_replace(true);
                return std::future::pending().await;
            }
            if !share.settings.load().share {
                if share.turns.is_on() {
                    self.stop().await;
                }
                share.changed.notified().await;
                continue;
            }
            if !share.turns.is_on() {
                share.turns.set_on(true);
            }
            if share.reconsider.swap(false, Ordering::AcqRel) {
                self.membership.reconsider();
            }
            self.track();
            let pause = self.beat().await;
            tokio::select! {
                () = sleep(pause) => {}
                () = share.changed.notified() => {}
            }
        }
    }

    /// Nothing is shared any more: this Respite polls all its shards itself.
    async fn stop(&mut self) {
        self.farewell().await;
        self.release_all();
        self.share.turns.set_on(false);
        let now = Instant::now();
        let shards = self.shards.values();
        let take = |shard: &Arc<Shard>| {
            let due = shard.tried().map_or(now, |tried| tried + shard.wait());
            Move::Take(Arc::clone(shard), due.max(now))
        };
        (self.share.on_move)(shards.map(take).collect());
        *self = Task::new(Arc::clone(&self.share));
    }

    async fn farewell(&mut self) {
        let (entries, ..) = self.entries();
        let beat = self.membership.farewell(entries, self.terms());
        let args = beat.args();
        let said = self.share.control.script(&BEAT, &KEYS, &args);
        let _ = timeout(LEASE, said).await; // the lease ends anyway
    }

    fn release_all(&mut self) {
        self.share.turns.good_until(Instant::now());
        for shard in self.share.table.shards().sorted() {
            shard.hold(false);
        }
    }

    /// Takes notice of shards that have come, gone or moved.
    fn track(&mut self) {
        let table = self.share.table.shards();
        let same = |seen: &Arc<Shards>| Arc::ptr_eq(seen, &table);
        if self.seen.as_ref().is_some_and(same) {
            return;
        }
        self.shards.clear();
        self.keys.clear();
        for shard in table.sorted() {
            if shard.gone_since().is_some() {
                // Should it come back it is held anew.
                shard.hold(false);
            } else {
                let key = ShardKey::of(&shard.found());
                self.shards.insert(key, Arc::clone(shard));
                self.keys.insert(Arc::clone(shard.id()), key);
            }
        }
        self.membership.track(self.shards.keys().copied().collect());
        self.told.retain(|key, _| self.shards.contains_key(key));
        self.news.retain(|key| self.shards.contains_key(key));
        // A shard that is somewhere else now is another one.
        for (key, shard) in &self.shards {
            shard.hold(self.membership.holdings().holds(*key));
        }
        self.seen = Some(table);
    }

    fn terms(&self) -> Terms {
        let settings = self.share.settings.load();
        Terms {
            longest: longest(Found::MOST_INFO),
            keep: settings.interval_max.saturating_mul(3) + KEEP,
        }
    }

    /// One beat; returns the wait until the next.
    async fn beat(&mut self) -> Duration {
        let (entries, shards, more) = self.entries();
        let bytes: usize = entries.iter().map(|entry| entry.record.len()).sum();
        let terms = self.terms();
        let beat = self.membership.beat(entries, terms, Instant::now());
        self.note_left_out();
        let args = beat.args();
        let sent = Instant::now();
        let said = self.share.control.script(&BEAT, &KEYS, &args);
        let told = match timeout(LEASE, said).await {
            Ok(Ok(reply)) => Told::parse(reply, beat.rev)
                .ok_or_else(|| format!("{} and its like hold what no Respite wrote", KEYS[0])),
            Ok(Err(error)) => Err(error.client_text()),
            Err(_) => Err(format!("the backing has not answered within {LEASE:?}")),
        };
        let received = Instant::now();
        let told = told.and_then(|told| match Membership::is_late(received - sent) {
            false => Ok(told),
            true => Err("this process has stood still".to_owned()),
        });
        let counters = &self.share.counters;
        counters.beats.add(1);
        let told = match told {
            Ok(told) => told,
            Err(error) => {
                for (key, _) in &shards {
                    if let Some(shard) = self.shards.get(key) {
                        self.share.turns.polled(shard);
                    }
                }
                return self.miss(error, sent, received - sent);
            }
        };
        counters.told.add(shards.len());
        counters.told_bytes.add(bytes);
        self.told.extend(shards);
        self.well(received);
        if told.joined {
            self.news.forget_given();
        }
        let missing = self.membership.hear(&beat, &told, (sent, received));
        self.fetch_sets(&missing).await;
        let changes = self.membership.settle();
        let moved = changes != Changes::default() || told.rows.is_some();
        let urgent = told.more || more;
        // Before what is taken over: they say when it was polled last.
        self.take_in(told.records).await;
        self.apply(changes);
        // Now that what others may have taken over is not held any more.
        if let Some(end) = self.membership.lease_end() {
            self.share.turns.good_until(end);
        }
        self.report(moved);
        match urgent {
            true => Duration::ZERO,
            false => self.membership.pause(),
        }
    }

    fn note_left_out(&mut self) {
        let left_out = self.membership.left_out();
        if left_out > 0 && !self.left_out {
            warn!("{left_out} shards more refuse the login than other Respites can be told of");
        }
        self.left_out = left_out > 0;
    }

    fn miss(&mut self, error: String, sent: Instant, took: Duration) -> Duration {
        self.share.counters.failures.add(1);
        self.news.forget_given();
        if self.membership.miss(sent, took) {
            warn!("what other Respites poll cannot be heard of: {error}");
        }
        if self.membership.is_isolated() {
            self.share.turns.good_without_end();
        }
        self.error = Some(error);
        self.report(false);
        self.membership.pause()
    }

    fn well(&mut self, now: Instant) {
        if self.membership.is_away() {
            info!("other Respites can be heard of again");
        }
        self.error = None;
        self.answered = Some(now);
    }

    async fn fetch_sets(&mut self, digests: &[SetDigest]) {
        if digests.is_empty() {
            return;
        }
        let (key, args) = sets(digests);
        for (digest, set) in digests.iter().zip(self.look(key, &args).await) {
            self.membership.learn(*digest, &set);
        }
    }

    /// Asks for fields of a hash; those that are not there are empty.
    async fn look(&self, key: &'static str, args: &[String]) -> Vec<Vec<u8>> {
        let keys = [key];
        let asked = self.share.control.script(&LOOK, &keys, args);
        let Ok(Ok(Value::Array(values))) = timeout(LEASE, asked).await else {
            return Vec::new();
        };
        let bytes = |value| match value {
            Value::BulkString(bytes) => bytes,
            _ => Vec::new(),
        };
        values.into_iter().map(bytes).collect()
    }

    fn apply(&mut self, changes: Changes) {
        let share = &self.share;
        share.counters.acquired.add(changes.acquired.len());
        share.counters.released.add(changes.released.len());
        let mut moves = Vec::new();
        for key in changes.released {
            let Some(shard) = self.shards.get(&key) else {
                continue;
            };
            shard.hold(false);
            self.news.release(key);
            // Who polls it next has to know of a poll that is under way.
            if shard.tried() > self.told.get(&key).copied() {
                share.turns.polled(shard);
            }
            moves.push(Move::Leave(Arc::clone(shard)));
        }
        let spread = spread(changes.acquired.len(), share.settings.load().interval_min);
        let now = Instant::now();
        for acquired in changes.acquired {
            let Some(shard) = self.shards.get(&acquired.key) else {
                continue;
            };
            shard.hold(true);
            let due = match shard.tried() {
                Some(tried) => first_poll(tried, shard.wait(), acquired.abandoned, now),
                None => now + spread.mul_f64(fraction(acquired.key)),
            };
            moves.push(Move::Take(Arc::clone(shard), due));
        }
        if !moves.is_empty() {
            (share.on_move)(moves);
        }
    }

    /// What the others are to be told now, of polls that began when, and whether there is more.
    fn entries(&mut self) -> (Vec<Entry>, Vec<(ShardKey, Instant)>, bool) {
        let (mut entries, mut tried) = (Vec::new(), Vec::new());
        let Some(clock) = self.membership.clock() else {
            return (entries, tried, false);
        };
        let (shards, mut more) = self.share.turns.take_news(MOST_RECORDS / 2);
        let mut size = 0;
        for shard in shards {
            let key = self.keys.get(shard.id()).copied();
            let (Some(key), Some((account, latest))) = (key, shard.account()) else {
                continue;
            };
            if size > MOST_BYTES / 2 {
                self.share.turns.polled(&shard);
                more = true;
                continue;
            }
            if is_refused(&shard, &account) {
                self.membership.decline(key, account.tried);
            }
            tried.push((key, account.tried));
            let me = self.share.name();
            let entry = self.news.tell(key, account, latest.as_ref(), me, clock);
            size += entry.record.len();
            entries.push(entry);
        }
        (entries, tried, more)
    }

    /// Hands on what others have polled, and asks for the bases that this takes.
    async fn take_in(&mut self, records: Vec<(ShardKey, Vec<u8>)>) {
        let (now, settings) = (Instant::now(), self.share.settings.load_full());
        let mut waiting = Vec::new();
        for (key, bytes) in records {
            self.share.counters.heard_bytes.add(bytes.len());
            if self.hear(key, &bytes, now, &settings) == Err(Unread::NoBase) {
                waiting.push((key, bytes));
            }
        }
        for waiting in waiting.chunks(AT_A_TIME) {
            let keys: Vec<_> = waiting.iter().map(|(key, _)| *key).collect();
            let (key, args) = bases(&keys);
            for (shard, base) in keys.iter().zip(self.look(key, &args).await) {
                self.share.counters.heard_bytes.add(base.len());
                let _ = self.hear(*shard, &base, now, &settings); // the record tells
            }
            for (key, bytes) in waiting {
                let heard = self.hear(*key, bytes, now, &settings);
                self.share
                    .counters
                    .unreadable
                    .add(usize::from(heard == Err(Unread::NoBase)));
            }
        }
    }

    fn hear(
        &mut self,
        key: ShardKey,
        bytes: &[u8],
        now: Instant,
        settings: &FleetSettings,
    ) -> Result<(), Unread> {
        let shard = self.shards.get(&key).cloned();
        let (Some(shard), Some(clock)) = (shard, self.membership.clock()) else {
            return Ok(());
        };
        let most = shard.found().most_info();
        let mut record = match self.news.read(key, bytes, most) {
            Err(Unread::Wrong) if !bytes.is_empty() => {
                self.share.counters.unreadable.add(1);
                return Err(Unread::Wrong);
            }
            read => read?,
        };
        if record.poller == **self.share.name() {
            return Ok(());
        }
        // Who compresses against a base of this Respite's has taken its place.
        self.news.release(key);
        let Some(account) = account(&mut record, clock, now) else {
            return Ok(());
        };
        self.note_heard(&record, account.tried);
        let snapshot = record.text.and_then(Snapshot::new);
        let said = snapshot.map(|snapshot| (snapshot, record.ops_per_sec));
        if shard.hear(account, said, record.poller.into(), settings) {
            self.share.counters.heard.add(1);
        }
        Ok(())
    }

    fn note_heard(&mut self, record: &Record, tried: Instant) {
        let view = self.membership.holdings().view();
        if let Some(member) = view.member(&record.poller) {
            let heard = self.heard.entry(Arc::clone(&member.name)).or_insert(tried);
            *heard = tried.max(*heard);
        }
    }

    /// Shows how it is; `moved` when other shards may be others' now.
    fn report(&mut self, moved: bool) {
        let old = self.share.overview.load_full();
        let holdings = self.membership.holdings();
        let view = holdings.view();
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let (mut held, mut nobody) = (old.held, old.nobody);
        let moved = moved || held + old.elsewhere + nobody != self.shards.len();
        if moved {
            for key in self.shards.keys() {
                let owner = holdings.owner(*key).map_or("", |name| &**name);
                *counts.entry(owner).or_default() += 1;
            }
            held = holdings.held().count();
            let mine = counts.get(&**self.share.name()).copied().unwrap_or(0);
            nobody = counts.get("").copied().unwrap_or(0) + mine.saturating_sub(held);
        } else {
            let known = old.members.iter();
            counts.extend(known.map(|member| (&*member.name, member.shards)));
        }
        let members = view.members().iter().map(|member| MemberReport {
            name: Arc::clone(&member.name),
            shards: counts.get(&*member.name).copied().unwrap_or(0),
            heard: self.heard.get(&member.name).copied(),
        });
        let overview = Overview {
            members: members.collect(),
            held,
            elsewhere: self.shards.len().saturating_sub(held + nobody),
            nobody,
            error: self.error.clone(),
            answered: self.answered,
        };
        let there = |name: &Arc<str>| view.member(name).is_some();
        self.heard.retain(|name, _| there(name));
        self.share.overview.store(Arc::new(overview));
    }
}

/// A number from 0 to 1 that is always the same for a shard.
fn fraction(key: ShardKey) -> f64 {
    let spread = u32::try_from(mix(key.0) >> 32).unwrap_or_default();
    f64::from(spread) / f64::from(u32::MAX)
}
