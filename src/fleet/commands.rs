//! `SHARD.*`: what is tracked, and what it said.

use std::sync::Arc;

use super::Fleet;
use super::fields::FieldsCall;
use super::info::{Asked, check_age, no_shard};
use super::list::ListCall;
use super::rows::ROWS;
use super::shard::Shard;
use super::target::{MOST_LABELS, check_id};
use super::watcher::Description;
use super::words::{Result, Words, unknown_option};
use crate::command::{Answer, Call, Family, OwnRow, Pending, help};
use crate::resp::{Proto, ReplyWriter};

/// The commands about tracked servers.
#[derive(Debug)]
pub struct ShardFamily {
    fleet: Arc<Fleet>,
}

impl ShardFamily {
    /// The commands about the servers of this fleet.
    #[must_use]
    pub fn new(fleet: Arc<Fleet>) -> Self {
        ShardFamily { fleet }
    }

    fn shard(&self, id: &[u8]) -> Result<Arc<Shard>> {
        let shard = std::str::from_utf8(id)
            .ok()
            .and_then(|id| self.fleet.shard(id));
        shard.ok_or_else(|| no_shard(id))
    }

    fn info(&self, call: &Call<'_>, reply: &mut ReplyWriter<'_>) -> Result<()> {
        let mut words = Words::new(call, 2);
        let mut most = None;
        let asked = loop {
            match words.option().as_deref() {
                None => break Asked::new(std::iter::empty()),
                Some(b"MAXAGE") => most = Some(words.millis()?),
                Some(b"SECTION") => {
                    let mut rest = words.rest().peekable();
                    if rest.peek().is_none() {
                        return Err(unknown_option());
                    }
                    break Asked::new(rest);
                }
                Some(_) => return Err(unknown_option()),
            }
        };
        let shard = self.shard(&call.args[1])?;
        let status = self.fleet.status(&shard);
        check_age(&status, most)?;
        self.fleet.give(&status, &asked, reply);
        Ok(())
    }

    fn bind(&self, call: &Call<'_>, reply: &mut ReplyWriter<'_>) -> Result<()> {
        let id = &call.args[1];
        let shard = match id.eq_ignore_ascii_case(b"NONE") {
            true => None,
            false => Some(Arc::clone(self.shard(id)?.id())),
        };
        *call.caller.shard.lock() = shard;
        reply.ok();
        Ok(())
    }

    fn refresh(&self, call: &Call<'_>, reply: &mut ReplyWriter<'_>) -> Result<()> {
        let shard = self.shard(&call.args[1])?;
        if shard.gone_since().is_some() {
            return Err(no_shard(&call.args[1]));
        }
        self.fleet.refresh(shard);
        reply.ok();
        Ok(())
    }

    fn watchers(&self, reply: &mut ReplyWriter<'_>) {
        let integer = |n: u128| i64::try_from(n).unwrap_or(i64::MAX);
        let mut reports = self.fleet.watchers();
        reports.extend(self.fleet.pollers());
        reply.array(reports.len());
        for report in reports {
            reply.map(5);
            reply.bulk("name");
            reply.bulk(&*report.name);
            reply.bulk("kind");
            reply.bulk(report.kind);
            reply.bulk("targets");
            reply.integer(integer(report.targets as u128));
            reply.bulk("last_ok_ms");
            match report.last_ok {
                Some(ago) => reply.integer(integer(ago.as_millis())),
                None => reply.null(),
            }
            reply.bulk("error");
            match report.error {
                Some(error) => reply.bulk(error),
                None => reply.null(),
            }
        }
    }

    fn add(&self, call: &Call<'_>) -> Result<Pending> {
        let id = Words::new(call, 1).text("id")?;
        check_id(&id).map_err(|reason| format!("ERR {reason}"))?;
        let mut words = Words::new(call, 2);
        let mut description = Description {
            addr: words.text("addr")?,
            ..Description::default()
        };
        while let Some(option) = words.option() {
            match option.as_slice() {
                b"USER" => description.user = Some(words.text("USER")?),
                b"CREDENTIAL" => description.credential = Some(words.text("CREDENTIAL")?),
                b"LABELS" => {
                    let count = words.number("LABELS")?;
                    if count > MOST_LABELS as u64 {
                        return Err(format!("ERR LABELS must be at most {MOST_LABELS}"));
                    }
                    for _ in 0..count {
                        let (name, value) = (words.text("a label")?, words.text("a label")?);
                        description.labels.insert(name, value);
                    }
                }
                _ => return Err(unknown_option()),
            }
        }
        if description.user.is_some() && description.credential.is_none() {
            return Err("ERR USER needs CREDENTIAL, which names the password".to_owned());
        }
        if let Some(shard) = self.fleet.shard(&id) {
            let source = Arc::clone(&shard.found().source);
            if shard.gone_since().is_none() && &*source != "added" {
                return Err(format!(
                    "ERR shard '{id}' is tracked already, by '{source}'"
                ));
            }
        }
        let (added, proto) = (Arc::clone(&self.fleet.added), call.proto);
        Ok(Box::pin(async move {
            let result = added.add(&id, &description).await;
            written(proto, result, |reply, ()| reply.ok())
        }))
    }

    fn del(&self, call: &Call<'_>) -> Result<Pending> {
        let id = Words::new(call, 1).text("id")?;
        let (added, proto) = (Arc::clone(&self.fleet.added), call.proto);
        Ok(Box::pin(async move {
            let result = added.remove(&id).await;
            written(proto, result, |reply, was| reply.integer(i64::from(was)))
        }))
    }
}

fn written<T>(
    proto: Proto,
    result: Result<T>,
    write: impl FnOnce(&mut ReplyWriter<'_>, T),
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = ReplyWriter::new(&mut out, proto);
    match result {
        Ok(value) => write(&mut reply, value),
        Err(error) => reply.error(error),
    }
    out
}

impl Family for ShardFamily {
    fn rows(&self) -> &'static [OwnRow] {
        ROWS
    }

    /// A shard is no key: to change one takes `@admin`.
    fn key(&self, _call: &Call<'_>) -> Option<String> {
        None
    }

    fn call(&self, call: &Call<'_>, out: &mut Vec<u8>) -> Answer {
        let name = call.args[0].to_ascii_uppercase();
        let mut reply = ReplyWriter::new(out, call.proto);
        let result = match name.as_slice() {
            b"SHARD.LIST" => ListCall::new(&self.fleet, call).map(|list| list.answer(out)),
            b"SHARD.FIELDS" => FieldsCall::new(&self.fleet, call).map(|fields| fields.answer(out)),
            b"SHARD.INFO" => self.info(call, &mut reply).map(|()| Answer::Given),
            b"SHARD.USE" => self.bind(call, &mut reply).map(|()| Answer::Given),
            b"SHARD.REFRESH" => self.refresh(call, &mut reply).map(|()| Answer::Given),
            b"SHARD.ADD" => self.add(call).map(Answer::Later),
            b"SHARD.DEL" => self.del(call).map(Answer::Later),
            b"SHARD.WATCHERS" => {
                self.watchers(&mut reply);
                Ok(Answer::Given)
            }
            _ => {
                help(ROWS, out);
                Ok(Answer::Given)
            }
        };
        result.unwrap_or_else(|error| {
            ReplyWriter::new(out, call.proto).error(error);
            Answer::Given
        })
    }

    /// What a client did to the backing before, `FLUSHALL` say, comes before what is kept there.
    fn uses_backing(&self) -> bool {
        true
    }
}
