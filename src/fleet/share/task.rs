//! The task of a Respite that shares its fleet: says and hears at every beat, and hands on what follows from it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::Value;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::super::shard::{Account, Shard, Trouble};
use super::super::snapshot::Snapshot;
use super::super::table::Shards;
use super::super::watcher::Found;
use super::Share;
use super::heartbeat::{BEAT, KEYS, MOST_BYTES, MOST_RECORDS, SETS, Told, sets_args};
use super::holdings::Changes;
use super::identity::ShardKey;
use super::membership::{LEASE, Membership, Terms};
use super::overview::{MemberReport, Overview};
use super::record::{Fault, Record, longest};
use super::turns::{Move, first_poll};
use super::view::{SetDigest, mix};
use crate::config::FleetSettings;

/// Records are kept for three of the longest intervals and this.
const KEEP: Duration = Duration::from_secs(60);
/// So many new shards are polled at once; more are spread over the shortest interval.
const AT_ONCE: usize = 32;

/// A Respite's part in the fleet, and the shards that it is about.
pub(super) struct Task {
    share: Arc<Share>,
    membership: Membership,
    shards: HashMap<ShardKey, Arc<Shard>>,
    keys: HashMap<Arc<str>, ShardKey>,
    /// The table that `shards` are of.
    seen: Option<Arc<Shards>>,
    /// When the polls began that the others were told of last.
    told: HashMap<ShardKey, Instant>,
    /// When the last polls of others began.
    heard: HashMap<Arc<str>, Instant>,
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
            told: HashMap::new(),
            heard: HashMap::new(),
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
        let (records, _) = self.records();
        let records = records.into_iter().map(|(key, _, bytes)| (key, bytes));
        let beat = self.membership.farewell(records.collect(), self.terms());
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
            if shard.gone_since().is_none() {
                let key = ShardKey::of(&shard.found());
                self.shards.insert(key, Arc::clone(shard));
                self.keys.insert(Arc::clone(shard.id()), key);
            }
        }
        self.membership.track(self.shards.keys().copied().collect());
        self.told.retain(|key, _| self.shards.contains_key(key));
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
        let (records, more) = self.records();
        let shards: Vec<_> = records
            .iter()
            .map(|(key, tried, _)| (*key, *tried))
            .collect();
        let bytes: usize = records.iter().map(|(_, _, bytes)| bytes.len()).sum();
        let records = records.into_iter().map(|(key, _, bytes)| (key, bytes));
        let terms = self.terms();
        let beat = self
            .membership
            .beat(records.collect(), terms, Instant::now());
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
        let missing = self.membership.hear(&beat, &told, (sent, received));
        self.fetch_sets(&missing).await;
        let changes = self.membership.settle();
        let moved = changes != Changes::default() || told.rows.is_some();
        let urgent = told.more || more;
        // Before what is taken over: they say when it was polled last.
        self.take_in(told.records);
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

    fn miss(&mut self, error: String, sent: Instant, took: Duration) -> Duration {
        self.share.counters.failures.add(1);
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
        let args = sets_args(digests);
        let asked = self.share.control.script(&SETS, &KEYS[3..4], &args);
        if let Ok(Ok(Value::Array(sets))) = timeout(LEASE, asked).await {
            for (digest, set) in digests.iter().zip(sets) {
                if let Value::BulkString(encoded) = set {
                    self.membership.learn(*digest, &encoded);
                }
            }
        }
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
            // Who polls it next has to know of a poll that is under way.
            if shard.tried() > self.told.get(&key).copied() {
                share.turns.polled(shard);
            }
            moves.push(Move::Leave(Arc::clone(shard)));
        }
        let spread = match changes.acquired.len() {
            0..=AT_ONCE => Duration::ZERO,
            _ => share.settings.load().interval_min,
        };
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

    /// What the others are to be told now, and whether there is more.
    fn records(&mut self) -> (Vec<(ShardKey, Instant, Vec<u8>)>, bool) {
        let Some(clock) = self.membership.clock() else {
            return (Vec::new(), false);
        };
        let (shards, mut more) = self.share.turns.take_news(MOST_RECORDS / 2);
        let mut records = Vec::with_capacity(shards.len());
        let mut size = 0;
        for shard in shards {
            let (Some(key), Some((account, latest))) =
                (self.keys.get(shard.id()).copied(), shard.account())
            else {
                continue;
            };
            if size > MOST_BYTES / 2 {
                self.share.turns.polled(&shard);
                more = true;
                continue;
            }
            if let Some((Trouble::Auth, _)) = account.trouble
                && shard.is_held()
            {
                self.membership.decline(key, account.tried);
            }
            let record = Record {
                poller: self.share.name().to_string(),
                tried: clock.micros(account.tried),
                asked: account.asked.map_or(0, |asked| clock.micros(asked)),
                interval: account.interval,
                failures: account.failures,
                fault: account
                    .trouble
                    .map(|(trouble, text)| (fault(trouble), text.to_string())),
                ops_per_sec: latest.as_ref().and_then(|latest| latest.ops_per_sec),
                text: latest.map(|latest| latest.snapshot.text().to_vec()),
            };
            let bytes = record.encode();
            size += bytes.len();
            records.push((key, account.tried, bytes));
        }
        (records, more)
    }

    /// Hands on what others have polled.
    fn take_in(&mut self, records: Vec<(ShardKey, Vec<u8>)>) {
        let (now, settings) = (Instant::now(), self.share.settings.load());
        for (key, bytes) in records {
            let Some(shard) = self.shards.get(&key) else {
                continue;
            };
            let counters = &self.share.counters;
            counters.heard_bytes.add(bytes.len());
            match Record::decode(&bytes, shard.found().most_info()) {
                Some(record) => {
                    if self.hear(&Arc::clone(shard), record, now, &settings) {
                        self.share.counters.heard.add(1);
                    }
                }
                None => counters.unreadable.add(1),
            }
        }
    }

    fn hear(
        &mut self,
        shard: &Shard,
        record: Record,
        now: Instant,
        settings: &FleetSettings,
    ) -> bool {
        let clock = self.membership.clock();
        let instant = |micros| clock?.instant(micros, now);
        let Some(tried) = instant(record.tried) else {
            return false;
        };
        if record.poller == **self.share.name() {
            return false;
        }
        let account = Account {
            tried,
            asked: instant(record.asked).filter(|_| record.asked > 0),
            interval: record.interval,
            failures: record.failures,
            trouble: record
                .fault
                .map(|(fault, text)| (trouble(fault), text.into())),
        };
        let snapshot = record.text.and_then(Snapshot::new);
        let said = snapshot.map(|snapshot| (snapshot, record.ops_per_sec));
        let poller: Arc<str> = match self.heard.get_key_value(&*record.poller) {
            Some((name, _)) => Arc::clone(name),
            None => record.poller.as_str().into(),
        };
        let is_member = self.membership.holdings().view().member(&poller).is_some();
        if is_member {
            let heard = self.heard.entry(Arc::clone(&poller)).or_insert(tried);
            *heard = tried.max(*heard);
        }
        shard.hear(account, said, poller, settings)
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

fn fault(trouble: Trouble) -> Fault {
    match trouble {
        Trouble::Auth => Fault::Auth,
        Trouble::Loading => Fault::Loading,
        Trouble::Other => Fault::Other,
    }
}

fn trouble(fault: Fault) -> Trouble {
    match fault {
        Fault::Auth => Trouble::Auth,
        Fault::Loading => Trouble::Loading,
        Fault::Other => Trouble::Other,
    }
}
