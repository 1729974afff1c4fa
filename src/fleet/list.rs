//! `SHARD.LIST`: every shard in a few words.

use std::sync::Arc;

use futures_util::FutureExt;

use super::Fleet;
use super::commands::{Words, unknown_option};
use super::shard::{Shard, State, Status};
use crate::command::{Answer, Call};
use crate::config::FleetSettings;
use crate::resp::{Proto, ReplyWriter, glob_match};

/// So many shards are written without letting other clients have their turn.
pub(super) const AT_ONCE: usize = 128;

pub(super) struct ListCall {
    shards: Vec<Arc<Shard>>,
    settings: Arc<FleetSettings>,
    state: Option<State>,
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
                b"MATCH" => glob = Some(words.word()?),
                _ => return Err(unknown_option()),
            }
        }
        let all = fleet.shards();
        let named = |shard: &&Arc<Shard>| {
            glob.is_none_or(|glob| glob_match(glob, shard.id().as_bytes(), false))
        };
        Ok(ListCall {
            shards: all.sorted().iter().filter(named).cloned().collect(),
            settings: fleet.settings(),
            state,
            proto: call.proto,
        })
    }

    /// Writes a short list now, a long one bit by bit.
    pub(super) fn answer(self, out: &mut Vec<u8>) -> Answer {
        if self.shards.len() > AT_ONCE {
            return Answer::Later(Box::pin(self.write()));
        }
        if let Some(reply) = self.write().now_or_never() {
            out.extend_from_slice(&reply);
        }
        Answer::Given
    }

    async fn write(self) -> Vec<u8> {
        let mut listed = 0;
        let mut entries = Vec::new();
        for (index, shard) in self.shards.iter().enumerate() {
            if index % AT_ONCE == AT_ONCE - 1 {
                tokio::task::yield_now().await;
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
