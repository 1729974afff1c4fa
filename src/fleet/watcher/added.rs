//! The shards of `SHARD.ADD`, kept in the backing so that every Respite on it knows them.
//!
//! They are fields of one hash, `id` to a description; the field without a name holds a revision,
//! which changes with each change. Every Respite looks at the revision now and then.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::Value;
use tokio::sync::Mutex;

use super::super::Settings;
use super::super::target::{Credentials, MOST_LABELS, Target, parse_addr};
use super::{TargetSink, Watcher, Watching};
use crate::random;
use crate::upstream::{ControlError, ControlLink, ControlScript};

/// The name and kind of this watcher.
pub(super) const ADDED: &str = "added";

/// The hash.
const KEY: &str = "respite:f:shards";

/// The revision is looked at as often as an idle shard is polled, but at least so seldom.
const SHORTEST_LOOK: Duration = Duration::from_secs(1);

/// The longest id or description that is read: what `SHARD.ADD` can have written is shorter. The
/// hash may have been written by others.
const LONGEST_FIELD: usize = 100 * 1024;

/// KEYS: the hash. ARGV: id, description, a new revision, the most shards. Returns 1, or 0 when
/// there is no room.
static ADD: LazyLock<ControlScript> = LazyLock::new(|| {
    ControlScript::new(
        "local n = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], '') \
         if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 \
         and n >= tonumber(ARGV[4]) then return 0 end \
         redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], '', ARGV[3]) return 1",
    )
});

/// KEYS: the hash. Returns its revision, or nothing when it has none that a Respite wrote.
const REVISION: &str = "if redis.call('HSTRLEN', KEYS[1], '') > 64 then return '' end \
         return redis.call('HGET', KEYS[1], '')";

/// The most bytes that are read: a hundred thousand shards with over 600 bytes each.
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// KEYS: the hash. ARGV: the most shards, the longest field, the most bytes. Returns ids and descriptions in turn, or how
/// many shards there are when that is too many. What is too long is left out.
const READ: &str = "local n = redis.call('HLEN', KEYS[1]) - redis.call('HEXISTS', KEYS[1], '') \
         if n > tonumber(ARGV[1]) then return n end \
         local longest, most, bytes, all = tonumber(ARGV[2]), tonumber(ARGV[3]), 0, {} \
         for _, id in ipairs(redis.call('HKEYS', KEYS[1])) do \
         local len = redis.call('HSTRLEN', KEYS[1], id) \
         if #id <= longest and len <= longest then \
         bytes = bytes + #id + len \
         if bytes > most then return {err = 'ERR too large: what is asked for of ' .. KEYS[1] .. \
         ' has more than ' .. most .. ' bytes'} end \
         all[#all + 1] = id all[#all + 1] = redis.call('HGET', KEYS[1], id) end end return all";

/// KEYS: the hash. ARGV: id, a new revision. Returns how many were there.
static DEL: LazyLock<ControlScript> = LazyLock::new(|| {
    ControlScript::new(
        "local n = redis.call('HDEL', KEYS[1], ARGV[1]) \
         if n == 1 then redis.call('HSET', KEYS[1], '', ARGV[2]) end return n",
    )
});

/// What `SHARD.ADD` says of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in super::super) struct Description {
    /// As it was given: `HOST:PORT` or a URL without a login.
    pub(in super::super) addr: String,
    pub(in super::super) user: Option<String>,
    pub(in super::super) credential: Option<String>,
    pub(in super::super) labels: BTreeMap<String, String>,
}

/// Emits the shards of `SHARD.ADD`, and changes them.
pub struct Added {
    control: Arc<ControlLink>,
    credentials: arc_swap::ArcSwap<Credentials>,
    settings: Settings,
    /// Held while the hash is read and emitted, so that what is older never comes last.
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    sink: Option<TargetSink>,
    /// The revision that was emitted last.
    revision: Option<Vec<u8>>,
}

impl Added {
    pub(in super::super) fn new(
        control: Arc<ControlLink>,
        credentials: Credentials,
        settings: Settings,
    ) -> Self {
        Added {
            control,
            credentials: arc_swap::ArcSwap::from_pointee(credentials),
            settings,
            known: Mutex::default(),
        }
    }

    /// Takes over other logins; they show when the watcher is started anew.
    pub(in super::super) fn set_credentials(&self, credentials: Credentials) {
        self.credentials.store(Arc::new(credentials));
    }

    /// Adds a shard or changes it. It is tracked when this returns.
    pub(in super::super) async fn add(
        &self,
        id: &str,
        description: &Description,
    ) -> Result<(), String> {
        // What could not be tracked is not kept.
        self.target(id, description)?;
        let most = self.settings.load().max_added;
        let (text, revision) = (description.encode(), revision());
        let args = [id, &text, &revision, &most.to_string()];
        let added = self.control.script(&ADD, &[KEY], &args).await;
        match added.map_err(|error| error.client_text())? {
            Value::Int(0) => Err(format!(
                "ERR no more than {most} shards can be added: see fleet.max_added"
            )),
            _ => self.read().await.map_err(|error| error.client_text()),
        }
    }

    /// Removes a shard; returns whether it was there.
    pub(in super::super) async fn remove(&self, id: &str) -> Result<bool, String> {
        let removed = self.control.script(&DEL, &[KEY], &[id, &revision()]).await;
        let removed = removed.map_err(|error| error.client_text())?;
        self.read().await.map_err(|error| error.client_text())?;
        Ok(removed == Value::Int(1))
    }

    fn target(&self, id: &str, description: &Description) -> Result<Target, String> {
        let mut endpoint =
            parse_addr(&description.addr).map_err(|reason| format!("ERR addr: {reason}"))?;
        if let Some(name) = &description.credential {
            let user = description.user.as_deref();
            let credentials = self.credentials.load();
            let logged_in = credentials.log_in_to_found(&mut endpoint, name, user);
            logged_in.map_err(|reason| format!("ERR {reason}"))?;
        }
        Ok(Target {
            id: id.to_owned(),
            endpoint,
            labels: description.labels.clone(),
        })
    }

    /// Executes a script that only reads. It is sent as it is: each Respite looks as soon as it starts, and asking
    /// for one that the backing does not keep would be an error in its statistics.
    async fn ask(&self, script: &str, args: &[&str]) -> Result<Value, ControlError> {
        let mut command = redis::cmd("EVAL");
        command.arg(script).arg(1).arg(KEY).arg(args);
        self.control.command_at(KEY, &command).await
    }

    /// Reads the hash and emits what is in it.
    async fn read(&self) -> Result<(), ControlError> {
        let mut known = self.known.lock().await;
        let most = self.settings.load().max_added.to_string();
        let args = [
            most.as_str(),
            &LONGEST_FIELD.to_string(),
            &MOST_BYTES.to_string(),
        ];
        let all = self.ask(READ, &args).await?;
        let Some(sink) = known.sink.clone() else {
            return Ok(());
        };
        if let Value::Int(there) = all {
            sink.failed(format!(
                "{KEY} has {there} shards, and fleet.max_added is {most}"
            ));
            // It is looked at again, however its revision is.
            known.revision = None;
            return Ok(());
        }
        let mut revision = None;
        let mut targets = Vec::new();
        let mut problem = None;
        for (id, text) in pairs(all) {
            if id.is_empty() {
                revision = Some(text);
                continue;
            }
            let id = String::from_utf8_lossy(&id).into_owned();
            let description = Description::decode(&text);
            match self.target(&id, &description) {
                Ok(target) => targets.push(target),
                Err(reason) => {
                    let id = id.escape_debug();
                    problem.get_or_insert_with(|| format!("{id}: {reason}"));
                }
            }
        }
        match problem {
            None => sink.set(targets),
            Some(problem) => sink.set_partly(targets, problem),
        }
        known.revision = Some(revision.unwrap_or_default());
        Ok(())
    }

    /// Reads the hash if it has changed.
    async fn look(&self) -> Result<(), ControlError> {
        let revision = match self.ask(REVISION, &[]).await? {
            Value::BulkString(revision) => revision,
            _ => Vec::new(),
        };
        if self.known.lock().await.revision.as_ref() == Some(&revision) {
            return Ok(());
        }
        self.read().await
    }
}

impl std::fmt::Debug for Added {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Added").finish_non_exhaustive()
    }
}

impl Watcher for Added {
    fn name(&self) -> String {
        ADDED.to_owned()
    }

    fn kind(&self) -> &'static str {
        ADDED
    }

    fn watch(self: Arc<Self>, sink: TargetSink) -> Watching {
        Box::pin(async move {
            *self.known.lock().await = Known {
                sink: Some(sink.clone()),
                revision: None,
            };
            loop {
                match self.look().await {
                    Ok(()) => sink.well(),
                    Err(error) => {
                        // Once it is well, the set is emitted again, which says so.
                        self.known.lock().await.revision = None;
                        sink.failed(error.client_text());
                    }
                }
                let every = self.settings.load().interval_max.max(SHORTEST_LOOK);
                tokio::time::sleep(every).await;
            }
        })
    }
}

/// A revision that was never there before.
fn revision() -> String {
    random::word()
}

fn pairs(reply: Value) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |value| match value {
        Value::BulkString(bytes) => bytes,
        _ => Vec::new(),
    };
    let mut pairs = Vec::new();
    match reply {
        Value::Array(values) => {
            let mut values = values.into_iter();
            while let (Some(id), Some(text)) = (values.next(), values.next()) {
                pairs.push((bytes(id), bytes(text)));
            }
        }
        Value::Map(entries) => {
            pairs.extend(
                entries
                    .into_iter()
                    .map(|(id, text)| (bytes(id), bytes(text))),
            );
        }
        _ => {}
    }
    pairs
}

/// What stands before the name of a label in a description.
const LABEL: &str = "label.";

impl Description {
    /// Writes it as a URL's query is written: `addr=…&credential=…&label.NAME=…`.
    fn encode(&self) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("addr", &self.addr);
        for (name, value) in [("user", &self.user), ("credential", &self.credential)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        for (name, value) in &self.labels {
            query.append_pair(&format!("{LABEL}{name}"), value);
        }
        query.finish()
    }

    /// Reads it back; what a newer Respite may have put in besides is left out.
    fn decode(text: &[u8]) -> Self {
        let mut description = Self::default();
        for (name, value) in url::form_urlencoded::parse(text) {
            let value = value.into_owned();
            match (&*name, name.strip_prefix(LABEL)) {
                ("addr", _) => description.addr = value,
                ("user", _) => description.user = Some(value),
                ("credential", _) => description.credential = Some(value),
                // The hash may have been written by others.
                (_, Some(_)) if description.labels.len() >= MOST_LABELS => {}
                (_, Some(label)) => {
                    description.labels.insert(label.to_owned(), value);
                }
                _ => {}
            }
        }
        description
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_read_back() {
        let mut description = Description {
            addr: "h:1".to_owned(),
            ..Description::default()
        };
        assert_eq!(description.encode(), "addr=h%3A1");
        assert_eq!(Description::decode(b"addr=h%3A1&newer=x"), description);
        description.user = Some("ü&=".to_owned());
        description.credential = Some("main".to_owned());
        let labels = [("dc", "a b"), ("addr", "%"), ("", "x")];
        description.labels = labels.map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        assert_eq!(
            Description::decode(description.encode().as_bytes()),
            description
        );
        assert_eq!(Description::decode(b"\xff&&==").addr, "");
    }
}
