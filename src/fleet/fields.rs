//! `SHARD.FIELDS`: fields of several shards in one reply.

use std::sync::Arc;
use std::time::Duration;

use super::Fleet;
use super::info::{check_age, no_shard, not_ready};
use super::list::{AT_ONCE, Turn, begin};
use super::shard::{Shard, State, Status};
use super::words::{Words, unknown_option};
use crate::command::{Answer, Call};
use crate::config::FleetSettings;
use crate::resp::{Glob, LONG_PATTERN, MOST_PATTERN, Proto, ReplyWriter};

/// So many patterns are looked at for each field.
const MOST_GLOBS: usize = 100;

/// An id that was asked for, with its shard.
type Named = (Box<[u8]>, Option<Arc<Shard>>);

/// The patterns, which together are no longer than one may be.
fn taken_apart(globs: &[&[u8]]) -> Result<Vec<Glob>, String> {
    if globs.iter().map(|glob| glob.len()).sum::<usize>() > MOST_PATTERN {
        return Err(LONG_PATTERN.to_owned());
    }
    let globs = globs.iter().map(|glob| Glob::new(glob));
    Ok(globs.collect::<Result<_, _>>()?)
}

pub(super) struct FieldsCall {
    /// In the order asked; an id without a shard is one that nobody tracks.
    shards: Vec<Named>,
    settings: Arc<FleetSettings>,
    globs: Vec<Glob>,
    most: Option<Duration>,
    partial: bool,
    proto: Proto,
}

impl FieldsCall {
    pub(super) fn new(fleet: &Fleet, call: &Call<'_>) -> Result<Self, String> {
        let mut words = Words::new(call, 1);
        let (mut ids, mut globs) = (None, Vec::new());
        let (mut most, mut partial) = (None, false);
        while let Some(option) = words.option() {
            match option.as_slice() {
                b"IDS" => ids = Some(words.counted("IDS")?),
                b"MATCH" => globs = words.counted("MATCH")?,
                b"MAXAGE" => most = Some(words.millis()?),
                b"PARTIAL" => partial = true,
                _ => return Err(unknown_option()),
            }
        }
        if globs.len() > MOST_GLOBS {
            return Err(format!("ERR MATCH takes at most {MOST_GLOBS} patterns"));
        }
        let all = fleet.shards();
        let shards = match ids {
            Some(ids) => {
                let named = |id: &[u8]| {
                    let shard = std::str::from_utf8(id).ok().and_then(|id| all.get(id));
                    (Box::from(id), shard.cloned())
                };
                ids.into_iter().map(named).collect()
            }
            None => {
                let polled =
                    |shard: &&Arc<Shard>| shard.gone_since().is_none() && shard.latest().is_some();
                let named = |shard: &Arc<Shard>| {
                    (Box::from(shard.id().as_bytes()), Some(Arc::clone(shard)))
                };
                all.sorted().iter().filter(polled).map(named).collect()
            }
        };
        Ok(FieldsCall {
            shards,
            settings: fleet.settings(),
            globs: taken_apart(&globs)?,
            most,
            partial,
            proto: call.proto,
        })
    }

    /// Writes a few shards now, many bit by bit.
    pub(super) fn answer(self, out: &mut Vec<u8>) -> Answer {
        let at_once = self.shards.len() <= AT_ONCE;
        begin(Box::pin(self.write()), at_once, out)
    }

    async fn write(self) -> Vec<u8> {
        let mut out = Vec::new();
        ReplyWriter::new(&mut out, self.proto).array(self.shards.len());
        let mut turn = Turn::default();
        for (id, shard) in &self.shards {
            turn.may_end().await;
            let status = shard.as_ref().map(|shard| shard.status(&self.settings));
            let error = self.problem(id, status.as_ref());
            if let Some(error) = error.as_ref().filter(|_| !self.partial) {
                out.clear();
                ReplyWriter::new(&mut out, self.proto).error(error);
                return out;
            }
            self.entry(id, status.as_ref(), error.as_deref(), &mut out);
        }
        out
    }

    /// Why a shard's fields are not given.
    fn problem(&self, id: &[u8], status: Option<&Status>) -> Option<String> {
        let Some(status) = status else {
            return Some(no_shard(id));
        };
        if status.latest.is_none() {
            return Some(not_ready(status));
        }
        check_age(status, self.most).err()
    }

    fn entry(&self, id: &[u8], status: Option<&Status>, error: Option<&str>, out: &mut Vec<u8>) {
        let latest = status.and_then(|status| status.latest.as_ref());
        let mut fields = Vec::new();
        if let (Some(latest), None) = (latest, error) {
            let wanted = |(name, _): &(&[u8], &[u8])| {
                self.globs.is_empty() || self.globs.iter().any(|glob| glob.is_match(name))
            };
            fields.extend(latest.snapshot.fields().filter(wanted));
        }
        let mut reply = ReplyWriter::new(out, self.proto);
        reply.map(5);
        reply.bulk("id");
        reply.bulk(id);
        reply.bulk("age_ms");
        match status.and_then(|status| status.age) {
            Some(age) => reply.integer(i64::try_from(age.as_millis()).unwrap_or(i64::MAX)),
            None => reply.null(),
        }
        reply.bulk("state");
        match status.map(|status| status.state) {
            Some(state) => reply.bulk(State::name(state)),
            None => reply.null(),
        }
        reply.bulk("error");
        match error {
            Some(error) => reply.bulk(error),
            None => reply.null(),
        }
        reply.bulk("fields");
        reply.map(fields.len());
        for (name, value) in fields {
            reply.bulk(name);
            reply.bulk(value);
        }
    }
}
