//! The shards as Prometheus' `http_sd` reads them.

use serde_json::{Map, Value, json};

use super::Exporter;
use super::shards::label;
use crate::fleet::{Role, State, Status};

impl Exporter {
    /// A JSON array of the shards that are tracked now, a shard a piece.
    pub fn http_sd(&self) -> impl Iterator<Item = String> + Send + use<> {
        let fleet = std::sync::Arc::clone(&self.fleet);
        let shards = self.fleet.shards().sorted().to_vec().into_iter();
        let mut first = true;
        let entries = shards.map(move |shard| {
            let status = fleet.status(&shard);
            if status.state == State::Gone {
                return String::new();
            }
            let comma = if std::mem::take(&mut first) { "" } else { "," };
            format!("{comma}\n{}", entry(&status))
        });
        std::iter::once("[".to_owned())
            .chain(entries)
            .chain(std::iter::once("\n]\n".to_owned()))
    }
}

fn entry(status: &Status) -> Value {
    let role = status.latest.as_ref().and_then(|latest| latest.role);
    let mut labels: Map<String, Value> = [
        ("__param_target", &*status.id),
        ("__meta_respite_shard", &*status.id),
        ("__meta_respite_state", status.state.name()),
        ("__meta_respite_role", role.map_or("", Role::name)),
        ("__meta_respite_source", &*status.source),
    ]
    .map(|(name, value)| (name.to_owned(), value.into()))
    .into_iter()
    .collect();
    for (name, value) in &status.target.labels {
        let name = label("__meta_respite_label_", name);
        labels.entry(name).or_insert_with(|| value.as_str().into());
    }
    let address = status.target.endpoint.address.to_string();
    json!({"targets": [address], "labels": labels})
}
