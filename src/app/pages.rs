//! What the pages of the admin listener show, wired.

use std::sync::Arc;

use futures_util::FutureExt;
use serde_json::{Map, Value, json};

use super::api::Bodies;
use super::listed::{buses, groups, missing, of_bus, services};
use super::observer::Observer;
use crate::access::Denied;
use crate::bus::Hub;
use crate::command::AboutRespite;
use crate::discovery::{Discovery, ServiceFilter};
use crate::exporter::Exporter;
use crate::fleet::{Fleet, ShardFilter};
use crate::gateway::Gateway;
use crate::http::{
    Asked, Chunks, Inventory, JsonSource, KeyClient, PageError, Part, PartOfMetrics, Sight,
    Sources, piece, pieces,
};
use crate::resp::Glob;
use crate::session::shared::Shared;

/// Everything that has something to show.
pub(super) struct Shown {
    pub(super) observer: Arc<Observer>,
    pub(super) shared: Arc<Shared>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) discovery: Arc<Discovery>,
    pub(super) bus: Arc<Hub>,
    pub(super) gateway: Arc<Gateway>,
}

impl Shown {
    /// Where the pages get what they show.
    pub(super) fn sources(self) -> Sources {
        let stats = Arc::clone(&self.gateway);
        let stats: JsonSource =
            Arc::new(move |most| -> Chunks { Box::new(stats.stats_json(most)) });
        let clients = Arc::clone(&self.shared);
        let commands = Arc::clone(&self.shared);
        Sources {
            backing: Arc::clone(&self.shared.backing),
            metrics: self.metrics(),
            stats,
            api: Arc::new(Bodies {
                observer: self.observer,
                fleet: Arc::clone(&self.fleet),
                discovery: Arc::clone(&self.discovery),
                bus: Arc::clone(&self.bus),
                gateway: Arc::clone(&self.gateway),
            }),
            inventory: Arc::new(Known {
                shared: self.shared,
                exporter: Exporter::new(Arc::clone(&self.fleet)),
                fleet: self.fleet,
                discovery: self.discovery,
                bus: self.bus,
            }),
            table: Arc::new(move || Arc::clone(&commands.settings().table)),
            keys: Arc::new(move |peer, trusted| {
                let client = clients.internal_client(peer, trusted)?;
                Ok(client.map(|client| KeyClient {
                    stream: client.stream,
                    hits: client.hits,
                }))
            }),
        }
    }

    /// A line for each part that has metrics, in the order of the page.
    fn metrics(&self) -> Vec<PartOfMetrics> {
        let (process, cache) = (Arc::clone(&self.shared), Arc::clone(&self.shared.cache));
        let (fleet, discovery) = (Arc::clone(&self.fleet), Arc::clone(&self.discovery));
        let (bus, gateway) = (Arc::clone(&self.bus), Arc::clone(&self.gateway));
        let part = |command, write| PartOfMetrics { command, write };
        let latencies = Arc::clone(&process);
        vec![
            part(None, Arc::new(move |out, _| process.write_metrics(out))),
            part(
                Some("RESPITE.LATENCY"),
                Arc::new(move |out, rights| latencies.write_latencies(out, rights)),
            ),
            part(
                Some("CACHE.STATS"),
                Arc::new(move |out, _| cache.write_metrics(out)),
            ),
            part(None, Arc::new(move |out, _| fleet.write_metrics(out))),
            part(None, Arc::new(move |out, _| discovery.write_metrics(out))),
            part(
                Some("BUS.METHODS"),
                Arc::new(move |out, rights| bus.write_metrics(out, rights)),
            ),
            part(
                Some("GATEWAY.STATS"),
                Arc::new(move |out, _| gateway.write_metrics(out)),
            ),
        ]
    }
}

/// Shards, services and buses.
struct Known {
    shared: Arc<Shared>,
    exporter: Exporter,
    fleet: Arc<Fleet>,
    discovery: Arc<Discovery>,
    bus: Arc<Hub>,
}

impl Inventory for Known {
    fn fleet_metrics(&self) -> Chunks {
        Box::new(self.exporter.metrics())
    }

    fn scrape(&self, target: &str) -> Option<String> {
        self.exporter.scrape(target)
    }

    fn http_sd(&self) -> Chunks {
        Box::new(self.exporter.http_sd())
    }

    fn shards(&self, state: Option<&str>, glob: Option<&str>) -> Result<Chunks, PageError> {
        let unknown = |()| PageError::Invalid("ERR there is no such state".to_owned());
        let filter = ShardFilter {
            state: state
                .map(|name| name.parse().map_err(unknown))
                .transpose()?,
            glob: glob
                .map(|glob| {
                    Glob::new(glob.as_bytes()).map_err(|text| PageError::Invalid(text.to_owned()))
                })
                .transpose()?,
        };
        let end = std::iter::once("\n".to_owned());
        Ok(Box::new(self.fleet.shards_json(filter, false).chain(end)))
    }

    fn shard(&self, id: &str, sections: &[&str]) -> Result<String, PageError> {
        match self.fleet.shard_json(id, sections) {
            Some(shard) => shard.map_err(PageError::Unavailable),
            None => Err(PageError::Unknown(format!("NOSHARD no shard '{id}'"))),
        }
    }

    fn services(
        &self,
        sight: &Sight,
        group: Option<String>,
        service: Option<String>,
        all: bool,
    ) -> Asked<Chunks> {
        let group = group.unwrap_or_else(|| Discovery::DEFAULT_GROUP.to_owned());
        let filter = ServiceFilter {
            group,
            service,
            all,
        };
        if !sight
            .rights()
            .may_use(Discovery::rule_key(&filter.group).as_bytes())
        {
            return denied();
        }
        services(Arc::clone(&self.discovery), filter)
    }

    fn methods(&self, sight: &Sight, bus: String) -> Asked<String> {
        if !sight.rights().may_use(Hub::rule_key(&bus).as_bytes()) {
            return denied();
        }
        let hub = Arc::clone(&self.bus);
        async move { hub.methods_json(&bus).await.map_err(of_bus) }.boxed()
    }

    fn parts(&self, sight: &Sight) -> Vec<(&'static str, Part)> {
        let mut about = Map::new();
        about.insert("version".to_owned(), env!("CARGO_PKG_VERSION").into());
        self.shared.fields(&mut |name, value| {
            about.insert(name.to_owned(), plain(&value.to_string()));
        });
        let clients = &self.shared.clients;
        let clients = json!({
            "connected": clients.len(),
            "received": clients.total_connections(),
            "rejected": clients.total_rejected(),
        });
        let cache = piece(self.shared.cache.stats_json());
        let watchers = piece(self.fleet.watchers_json());
        let shards = self.fleet.shards_json(ShardFilter::default(), true);
        let rights = sight.rights();
        let discovery = groups(Arc::clone(&self.discovery), rights.clone());
        let buses = buses(Arc::clone(&self.bus), &rights, false);
        // Each part with the command that tells the same.
        let parts = [
            ("respite", "INFO", piece(Value::Object(about).to_string())),
            ("clients", "INFO", piece(clients.to_string())),
            ("cache", "CACHE.STATS", cache),
            ("watchers", "SHARD.WATCHERS", watchers),
            ("shards", "SHARD.INFO", pieces(Box::new(shards))),
            ("discovery", "DISCOVERY.NODES", discovery),
            ("buses", "BUS.METHODS", buses),
        ];
        let shown = parts.into_iter().map(|(name, command, part)| {
            let part = match sight.may_run(command) {
                Ok(()) => part,
                Err(denied) => piece(missing(&denied.to_string())),
            };
            (name, part)
        });
        shown.collect()
    }
}

/// What whoever may not touch its key gets of a group or a bus.
fn denied<T: Send + 'static>() -> Asked<T> {
    async { Err(PageError::Denied(Denied::Key(None).to_string())) }.boxed()
}

/// A number as a number.
fn plain(text: &str) -> Value {
    text.parse::<u64>()
        .map_or_else(|_| text.into(), Value::from)
}
