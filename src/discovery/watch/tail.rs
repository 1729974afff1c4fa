//! Follows the event streams of all groups that are watched, with one blocking read, and makes
//! nodes lapse in time for those who watch.
//!
//! It runs from the first watch until a while after the last.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use redis::aio::MultiplexedConnection;
use redis::streams::StreamReadReply;
use redis::{Cmd, FromRedisValue, RedisError, Value};
use tokio::time::{sleep, sleep_until, timeout};
use tracing::debug;

use super::table::{Event, Position};
use super::{Index, Watches};
use crate::backoff::Backoff;
use crate::discovery::keys;
use crate::discovery::store::parse_event;
use crate::upstream::{ControlError, NodeId};

/// How long one read blocks, and how long it may take before the connection counts as dead.
const BLOCK: Duration = Duration::from_secs(5);
const DEAD: Duration = Duration::from_secs(10);
/// The most entries that one read brings for a group.
pub(super) const ENTRIES: usize = 100;
/// How often a read that must end is told so, until it has.
const UNBLOCK_EVERY: Duration = Duration::from_millis(20);
/// The waits before the connection is opened again.
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(20);
pub(super) const RETRY_LONGEST: Duration = Duration::from_secs(1);
/// The bounds of the time between two ticks of a group; nodes that lapse are heard of in a second.
const TICK_SOONEST: Duration = Duration::from_millis(50);
const TICK_LATEST: Duration = Duration::from_millis(500);
/// Ticks at the same time, at one node.
const TICKS_AT_ONCE: usize = 32;

/// Follows until nothing is watched any more.
pub(super) async fn follow(watches: Arc<Watches>) {
    let on_cluster = watches.store.link().backing().is_cluster();
    tokio::select! {
        () = watches.tick() => {}
        () = watches.read_events(), if !on_cluster => {}
        () = watches.hear_events(), if on_cluster => {}
    }
}

impl Watches {
    /// Takes note of where a group is, after a read.
    pub(super) fn learn(self: &Arc<Self>, group: &str, index: Index) {
        let (moved, topics) = self.table.learn(group, index);
        if moved {
            self.moved.notify_one();
        }
        for topic in topics {
            topic.out_of_date(self);
        }
    }

    /// Ticks the groups until none is left.
    async fn tick(self: &Arc<Self>) {
        // A node that does not answer holds up its own groups only.
        let mut busy = HashSet::new();
        let mut rounds = FuturesUnordered::new();
        while self.table.tidy() {
            let mut due: HashMap<Option<NodeId>, Vec<Arc<str>>> = HashMap::new();
            for group in self.table.due(Instant::now()) {
                let node = self.store.node_of(&group);
                if !busy.contains(&node) {
                    due.entry(node).or_default().push(group);
                }
            }
            for (node, groups) in due {
                busy.insert(node);
                rounds.push(async move {
                    self.tick_each(groups).await;
                    node
                });
            }
            // Groups that are new meanwhile are found by then.
            let soon = Instant::now() + TICK_SOONEST;
            let next = self.table.first_due().unwrap_or(soon).max(soon);
            let mut sleep = pin!(sleep_until(next.min(soon + TICK_LATEST).into()));
            loop {
                tokio::select! {
                    () = &mut sleep => break,
                    Some(node) = rounds.next() => {
                        busy.remove(&node);
                    }
                }
            }
        }
    }

    async fn tick_each(self: &Arc<Self>, groups: Vec<Arc<str>>) {
        let ticks = groups.into_iter().map(|group| async move {
            let ticked = self.store.tick(&group).await;
            let wait = match ticked {
                Ok(tick) => {
                    for topic in self.table.compare(&group, tick.index) {
                        topic.out_of_date(self);
                    }
                    tick.wait.unwrap_or(TICK_LATEST)
                }
                Err(error) => {
                    debug!(%group, "cannot look for lapsed nodes: {error}");
                    TICK_LATEST
                }
            };
            // A millisecond later it has lapsed by the backing's clock, too.
            let wait = wait + Duration::from_millis(1);
            let wait = wait.clamp(TICK_SOONEST, TICK_LATEST);
            self.table.next_due(&group, Instant::now() + wait);
        });
        let ticks = stream::iter(ticks).buffer_unordered(TICKS_AT_ONCE);
        ticks.collect::<()>().await;
    }

    /// Reads events for ever, over one connection after the other.
    async fn read_events(self: &Arc<Self>) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        let mut again = false;
        loop {
            match self.store.link().dedicated("respite-discovery").await {
                Ok(conn) => {
                    backoff.reset();
                    if again {
                        // What happened meanwhile is not known.
                        for topic in self.table.all() {
                            topic.out_of_date(self);
                        }
                    }
                    again = true;
                    let Err(error) = self.read_on(conn).await;
                    debug!("the connection that reads events was lost: {error}");
                    // It may have been an event that is too large to read: nobody stays in front of it.
                    if let Err(error) = self.skip_events().await {
                        debug!("cannot look where the events end: {error}");
                    }
                }
                Err(error) => debug!("no connection to read events: {error}"),
            }
            sleep(backoff.next()).await;
        }
    }

    /// Reads events until the connection breaks.
    async fn read_on(
        self: &Arc<Self>,
        mut conn: MultiplexedConnection,
    ) -> Result<std::convert::Infallible, RedisError> {
        let id = conn
            .send_packed_command(redis::cmd("CLIENT").arg("ID"))
            .await?;
        let id = i64::from_redis_value(id)?;
        loop {
            let mut read = redis::cmd("XREAD");
            read.arg("COUNT").arg(ENTRIES);
            read.arg("BLOCK")
                .arg(BLOCK.as_millis() as u64)
                .arg("STREAMS");
            let positions = self.table.positions();
            if positions.is_empty() {
                self.moved.notified().await;
                continue;
            }
            for (group, _) in &positions {
                read.arg(keys::events(group));
            }
            for (_, position) in &positions {
                let (revision, n) = position.entry;
                read.arg(format!("{revision}-{n}"));
            }
            let reply = self.read_until_moved(&mut conn, &read, id).await?;
            let Some(reply) = Option::<StreamReadReply>::from_redis_value(reply)? else {
                continue;
            };
            for stream in reply.keys {
                let of = positions
                    .iter()
                    .find(|(g, _)| keys::events(g) == stream.key);
                let Some((group, _)) = of else { continue };
                let events: Vec<Event> = stream.ids.iter().filter_map(event).collect();
                for topic in self.table.advance(group, &events) {
                    topic.out_of_date(self);
                }
            }
        }
    }

    /// Goes on behind the newest event of each group, without having read those before it: all of the group is out of date.
    async fn skip_events(self: &Arc<Self>) -> Result<(), ControlError> {
        for (group, position) in self.table.positions() {
            self.skip_events_of(&group, position).await?;
        }
        Ok(())
    }

    pub(super) async fn skip_events_of(
        self: &Arc<Self>,
        group: &str,
        position: Position,
    ) -> Result<(), ControlError> {
        if let Some(newest) = self.store.newest_event(group).await?
            && newest > position.entry
        {
            for topic in self.table.advance(group, &[(newest, None)]) {
                topic.out_of_date(self);
            }
        }
        Ok(())
    }

    /// Sends a blocking read and waits for its reply; makes it end at once when the positions have moved.
    async fn read_until_moved(
        &self,
        conn: &mut MultiplexedConnection,
        read: &Cmd,
        id: i64,
    ) -> Result<Value, RedisError> {
        let reading = async {
            let replied = timeout(DEAD, conn.send_packed_command(read)).await;
            let dead = |_| Err((redis::ErrorKind::Io, "a blocking read did not end").into());
            replied.unwrap_or_else(dead).and_then(Value::extract_error)
        };
        let mut reading = pin!(reading);
        tokio::select! {
            reply = &mut reading => return reply,
            () = self.moved.notified() => {}
        }
        loop {
            // It may not have arrived yet: then there is nothing to unblock, and it is told again.
            if let Err(error) = self.unblock(id).await {
                debug!("cannot end a read of events early: {error}");
                return reading.await;
            }
            tokio::select! {
                reply = &mut reading => return reply,
                () = sleep(UNBLOCK_EVERY) => {}
            }
        }
    }

    async fn unblock(&self, id: i64) -> Result<(), ControlError> {
        let mut unblock = redis::cmd("CLIENT");
        unblock.arg("UNBLOCK").arg(id);
        self.store.link().command(&unblock).await.map(|_| ())
    }
}

/// Reads an entry `revision-n` with the field `s`.
pub(super) fn event(entry: &redis::streams::StreamId) -> Option<Event> {
    let place = parse_event(&entry.id)?;
    // One that names none, or that no Respite has written, may concern all.
    let service: Option<String> = entry.get("s");
    Some((place, service.filter(|service| service != "*")))
}
