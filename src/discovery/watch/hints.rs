//! Follows the event streams on a cluster. They are in as many slots as there are groups, and a node reads those
//! of one slot at a time: so none is waited for. Who writes an event publishes on a channel called like the
//! stream, which is heard at any node; then that one stream is read.
//!
//! A hint that is lost is made up for by the ticks, which find the group ahead.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use redis::aio::PubSub;
use redis::streams::StreamReadReply;
use redis::{FromRedisValue, RedisError};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::debug;

use super::Watches;
use super::table::{Event, Position};
use super::tail::{ENTRIES, RETRY_FIRST, RETRY_LONGEST, event};
use crate::backoff::Backoff;
use crate::discovery::keys;
use crate::upstream::ControlError;

/// How often is looked for groups that are behind, or watched no more.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Channels that are named in one command.
const CHANNELS_AT_ONCE: usize = 500;

/// The streams that are being read, each with whether it has to be read again.
#[derive(Default)]
struct Reads {
    under_way: FuturesUnordered<BoxFuture<'static, Arc<str>>>,
    again: HashMap<Arc<str>, bool>,
}

impl Watches {
    /// Reads the events that it is told of, for ever.
    pub(super) async fn hear_events(self: &Arc<Self>) {
        let mut backoff = Backoff::new(RETRY_FIRST, RETRY_LONGEST);
        loop {
            match self.store.link().listener("respite-discovery").await {
                Ok(hints) => {
                    backoff.reset();
                    let Err(error) = self.hear_on(hints).await;
                    debug!("the connection for hints of events was lost: {error}");
                }
                Err(error) => debug!("no connection for hints of events: {error}"),
            }
            sleep(backoff.next()).await;
        }
    }

    async fn hear_on(self: &Arc<Self>, hints: PubSub) -> Result<Infallible, RedisError> {
        let (mut sink, mut messages) = hints.split();
        let mut channels: HashMap<String, Arc<str>> = HashMap::new();
        let mut reads = Reads::default();
        let mut clock = interval(LOOK_EVERY);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                message = messages.next() => {
                    let Some(message) = message else {
                        return Err((redis::ErrorKind::Io, "closed").into());
                    };
                    if let Some(group) = channels.get(message.get_channel_name()) {
                        reads.read(self, group);
                    }
                    continue;
                }
                group = reads.next() => {
                    if let Some(group) = group {
                        reads.read(self, &group);
                    }
                    continue;
                }
                () = self.moved.notified() => {}
                _ = clock.tick() => {}
            }
            let positions = self.table.positions();
            let names = positions.iter().map(|(group, _)| group);
            let wanted: HashMap<String, Arc<str>> = names
                .map(|group| (keys::events(group), Arc::clone(group)))
                .collect();
            let fresh: Vec<_> = wanted
                .keys()
                .filter(|c| !channels.contains_key(*c))
                .collect();
            for some in fresh.chunks(CHANNELS_AT_ONCE) {
                sink.subscribe(some).await?;
            }
            let left: Vec<_> = channels
                .keys()
                .filter(|c| !wanted.contains_key(*c))
                .collect();
            for some in left.chunks(CHANNELS_AT_ONCE) {
                sink.unsubscribe(some).await?;
            }
            // What happened before is not told of.
            let mut due: HashSet<Arc<str>> = self.table.behind().into_iter().collect();
            due.extend(fresh.iter().map(|channel| Arc::clone(&wanted[*channel])));
            due.iter().for_each(|group| reads.read(self, group));
            channels = wanted;
        }
    }

    /// Reads what has come to a group's stream.
    async fn read_group(self: Arc<Self>, group: Arc<str>) -> Arc<str> {
        let mut whole = false;
        while let Some(position) = self.table.position(&group).filter(|_| !whole) {
            match self.read_events_of(&group, position).await {
                Ok(events) => {
                    whole = events.len() < ENTRIES;
                    for topic in self.table.advance(&group, &events) {
                        topic.out_of_date(&self);
                    }
                }
                Err(error) => {
                    debug!(%group, "cannot read events: {error}");
                    // It may have been an event that is too large to read: nobody stays in front of it.
                    let _ = self.skip_events_of(&group, position).await; // tried again when it is behind
                    whole = true;
                }
            }
        }
        group
    }

    async fn read_events_of(
        &self,
        group: &str,
        position: Position,
    ) -> Result<Vec<Event>, ControlError> {
        let key = keys::events(group);
        let (revision, n) = position.entry;
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(ENTRIES).arg("STREAMS").arg(&key);
        read.arg(format!("{revision}-{n}"));
        let reply = self.store.link().command_at(&key, &read).await?;
        let reply = Option::<StreamReadReply>::from_redis_value(reply).unwrap_or_default();
        let streams = reply.into_iter().flat_map(|reply| reply.keys);
        Ok(streams
            .flat_map(|stream| stream.ids)
            .filter_map(|entry| event(&entry))
            .collect())
    }
}

impl Reads {
    /// Begins to read a group's stream, or has it read once more when that is done.
    fn read(&mut self, watches: &Arc<Watches>, group: &Arc<str>) {
        if let Some(again) = self.again.get_mut(group) {
            *again = true;
            return;
        }
        self.again.insert(Arc::clone(group), false);
        let reading = Arc::clone(watches).read_group(Arc::clone(group));
        self.under_way.push(reading.boxed());
    }

    /// Waits until a stream has been read; gives the group if that has to be done once more.
    async fn next(&mut self) -> Option<Arc<str>> {
        match self.under_way.next().await {
            Some(group) => {
                let again = self.again.remove(&group).unwrap_or(false);
                again.then_some(group)
            }
            None => std::future::pending().await,
        }
    }
}
