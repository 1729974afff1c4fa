//! `SHARD.LIST`: every shard in a few words.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

use super::Fleet;
use super::shard::{Shard, State, Status};
use super::words::{Words, unknown_option};
use crate::command::{Answer, Call, Pending};
use crate::config::FleetSettings;
use crate::resp::{Glob, Proto, ReplyWriter};

/// A list of so many shards is written bit by bit.
pub(super) const AT_ONCE: usize = 128;
/// How long one call keeps a worker before other clients have their turn.
const TURN: Duration = Duration::from_millis(1);

/// Writes a reply now, or what is left of it when the call has its next turn.
pub(super) fn begin(mut writing: Pending, at_once: bool, out: &mut Vec<u8>) -> Answer {
    match at_once.then(|| (&mut writing).now_or_never()).flatten() {
        Some(reply) => {
            out.extend_from_slice(&reply);
            Answer::Given
        }
        None => Answer::Later(writing),
    }
}

/// A call's turn on its worker.
#[derive(Debug)]
pub(super) struct Turn(Instant);

impl Default for Turn {
    fn default() -> Self {
        Turn(Instant::now())
    }
}

impl Turn {
    /// Lets others have their turn if this one has lasted long enough.
    pub(super) async fn may_end(&mut self) {
        if self.0.elapsed() > TURN {
            tokio::task::yield_now().await;
            *self = Turn::default();
        }
    }
}

pub(super) struct ListCall {
    shards: Vec<Arc<Shard>>,
    settings: Arc<FleetSettings>,
    state: Option<State>,
    glob: Option<Glob>,
    proto: Proto,
}

impl ListCall {
    pub(super) fn new(fleet: &Fleet, call: &Call<'_>) -> Result<Self, String> {
        let mut words = Words::new(call, 1);
        let (mut state, mut glob) = (None, None);
        while let Some(option) = words.option() {
            match option.as_slice() {
                b"STATE" => {
                    let name = String::from_utf8_lossy(words.word()?);
                    let known = name.parse().map_err(|()| {
                        let names = State::ALL.map(State::name).join(" ");
                        format!("ERR STATE must be one of {names}")
                    });
                    state = Some(known?);
                }
                b"MATCH" => glob = Some(Glob::new(words.word()?)?),
                _ => return Err(unknown_option()),
            }
        }
        Ok(ListCall {
            shards: fleet.shards().sorted().to_vec(),
            settings: fleet.settings(),
            state,
            glob,
            proto: call.proto,
        })
    }

    /// Writes a short list now, a long one bit by bit.
    pub(super) fn answer(self, out: &mut Vec<u8>) -> Answer {
        let at_once = self.shards.len() <= AT_ONCE;
        begin(Box::pin(self.write()), at_once, out)
    }

    async fn write(self) -> Vec<u8> {
        let mut listed = 0;
        let mut entries = Vec::new();
        let mut turn = Turn::default();
        for shard in &self.shards {
            turn.may_end().await;
            let glob = self.glob.as_ref();
            if glob.is_some_and(|glob| !glob.is_match(shard.id().as_bytes())) {
                continue;
            }
            let status = shard.status(&self.settings);
            if self.state.is_none_or(|state| state == status.state) {
                listed += 1;
                entry(&status, &mut ReplyWriter::new(&mut entries, self.proto));
            }
        }
        let mut out = Vec::with_capacity(entries.len() + 16);
        let mut reply = ReplyWriter::new(&mut out, self.proto);
        reply.array(listed);
        reply.raw(&entries);
        out
    }
}

fn entry(status: &Status, reply: &mut ReplyWriter<'_>) {
    let integer = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
    let latest = status.latest.as_ref();
    let number = |reply: &mut ReplyWriter<'_>, number: Option<u128>| match number {
        Some(number) => reply.integer(integer(number)),
        None => reply.null(),
    };
    reply.map(9);
    reply.bulk("id");
    reply.bulk(&*status.id);
    reply.bulk("addr");
    reply.bulk(status.target.endpoint.address.to_string());
    reply.bulk("role");
    match latest.and_then(|latest| latest.role) {
        Some(role) => reply.bulk(role.name()),
        None => reply.null(),
    }
    reply.bulk("state");
    reply.bulk(status.state.name());
    reply.bulk("age_ms");
    number(reply, status.age.map(|age| age.as_millis()));
    reply.bulk("interval_ms");
    reply.integer(integer(status.interval.as_millis()));
    reply.bulk("ops_per_sec");
    let ops = latest.and_then(|latest| latest.ops_per_sec);
    number(reply, ops.map(u128::from));
    reply.bulk("source");
    reply.bulk(&*status.source);
    reply.bulk("labels");
    reply.map(status.target.labels.len());
    for (name, value) in &status.target.labels {
        reply.bulk(name);
        reply.bulk(value);
    }
}
