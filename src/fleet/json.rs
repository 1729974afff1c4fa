//! Shards and their INFO as JSON, for the pages of the admin listener.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use super::Fleet;
use super::info::not_ready;
use super::shard::{Role, Shard, State, Status};
use super::snapshot::{Snapshot, Wanted};
use crate::config::FleetSettings;
use crate::resp::Glob;

/// The shards that are wanted; those of every kind unless it says otherwise.
#[derive(Debug, Clone, Default)]
pub struct ShardFilter {
    /// Only in this state.
    pub state: Option<State>,
    /// Only with ids that this glob matches.
    pub glob: Option<Glob>,
}

/// A shard, as `SHARD.LIST` tells it, and what is wrong with it.
#[derive(Serialize)]
struct Listed<'a> {
    id: &'a str,
    addr: String,
    role: Option<&'static str>,
    state: &'static str,
    age_ms: Option<u64>,
    interval_ms: u64,
    ops_per_sec: Option<u64>,
    source: &'a str,
    labels: &'a BTreeMap<String, String>,
    failures: u32,
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    info: Option<Map<String, Value>>,
}

impl Fleet {
    /// A JSON array of the shards, sorted by id, a shard a piece; `with_info`: with all that they said.
    pub fn shards_json(
        &self,
        filter: ShardFilter,
        with_info: bool,
    ) -> impl Iterator<Item = String> + Send + use<> {
        let settings = self.settings();
        let mut first = true;
        let shards = self.shards().sorted().to_vec().into_iter();
        let entries = shards.map(move |shard| {
            // Nothing, for a shard that is not wanted.
            let Some(entry) = listed(&shard, &filter, &settings, with_info) else {
                return String::new();
            };
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            format!("{comma}{entry}")
        });
        std::iter::once("[".to_owned())
            .chain(entries)
            .chain(std::iter::once("]".to_owned()))
    }

    /// A JSON array of the watchers, as `SHARD.WATCHERS` tells them.
    #[must_use]
    pub fn watchers_json(&self) -> String {
        let reports = self.watchers().into_iter().chain(self.pollers());
        let reports = reports.map(|report| {
            serde_json::json!({
                "name": &*report.name,
                "kind": report.kind,
                "targets": report.targets,
                "last_ok_ms": report.last_ok.map(millis),
                "error": report.error,
            })
        });
        Value::Array(reports.collect()).to_string()
    }

    /// A shard with its INFO as a JSON object: `sections` are the arguments of `INFO`. None when nobody
    /// tracks a server of this id.
    ///
    /// # Errors
    /// `NOTREADY` when it has not answered yet.
    #[must_use]
    pub fn shard_json(&self, id: &str, sections: &[&str]) -> Option<Result<String, String>> {
        let status = self.status(&*self.shard(id)?);
        let Some(latest) = &status.latest else {
            return Some(Err(not_ready(&status)));
        };
        let names: Vec<_> = sections
            .iter()
            .map(|name| name.to_ascii_lowercase().into_bytes())
            .collect();
        let info = object(&latest.snapshot, Wanted::new(&names));
        Some(Ok(json(&entry(&status, Some(info)))))
    }
}

fn listed(
    shard: &Arc<Shard>,
    filter: &ShardFilter,
    settings: &FleetSettings,
    with_info: bool,
) -> Option<String> {
    if let Some(glob) = &filter.glob
        && !glob.is_match(shard.id().as_bytes())
    {
        return None;
    }
    let status = shard.status(settings);
    if filter.state.is_some_and(|state| state != status.state) {
        return None;
    }
    let latest = status.latest.as_ref().filter(|_| with_info);
    let everything = [b"everything".to_vec()];
    let info = latest.map(|latest| object(&latest.snapshot, Wanted::new(&everything)));
    Some(json(&entry(&status, info)))
}

fn entry(status: &Status, info: Option<Map<String, Value>>) -> Listed<'_> {
    let latest = status.latest.as_ref();
    Listed {
        id: &status.id,
        addr: status.target.endpoint.address.to_string(),
        role: latest.and_then(|latest| latest.role).map(Role::name),
        state: status.state.name(),
        age_ms: status.age.map(millis),
        interval_ms: millis(status.interval),
        ops_per_sec: latest.and_then(|latest| latest.ops_per_sec),
        source: &status.source,
        labels: &status.target.labels,
        failures: status.failures,
        error: status.error.as_deref(),
        info,
    }
}

/// The sections by name, each with its fields; a field that is there several times is a list.
fn object(snapshot: &Snapshot, wanted: Wanted<'_>) -> Map<String, Value> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut sections = Map::new();
    for (section, fields) in snapshot.wanted_sections(wanted) {
        let mut object = Map::new();
        for (name, value) in fields {
            let value = Value::String(text(value));
            match object.get_mut(&text(name)) {
                None => {
                    object.insert(text(name), value);
                }
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        sections.insert(text(section), Value::Object(object));
    }
    sections
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("text, numbers and lists are JSON")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sections_are_objects() {
        let text = "# Server\r\na:1\r\nb:x:y\r\n\r\n# Modules\r\nmodule:name=one\r\nmodule:name=two\r\n\
                    module:name=three\r\n\r\n# Commandstats\r\ncmdstat_get:calls=1\r\n";
        let snapshot = Snapshot::new(text.as_bytes().to_vec()).expect("INFO");
        let shown = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| name.as_bytes().to_vec()).collect();
            Value::Object(object(&snapshot, Wanted::new(&names)))
        };
        let server = json!({"a": "1", "b": "x:y"});
        let modules = json!({"module": ["name=one", "name=two", "name=three"]});
        let commands = json!({"cmdstat_get": "calls=1"});
        assert_eq!(shown(&[]), json!({"Server": server, "Modules": modules}));
        assert_eq!(shown(&["server"]), json!({"Server": server}));
        assert_eq!(
            shown(&["everything"]),
            json!({"Server": server, "Modules": modules, "Commandstats": commands})
        );
        assert_eq!(shown(&["nothing"]), json!({}));
    }
}
