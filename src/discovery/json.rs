//! Services and their nodes as JSON, for the pages of the admin listener.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::DiscoveryError;
use super::keys::rule_key;
use super::model::Node;
use super::names::name;
use super::service::Discovery;

/// A node, as `DISCOVERY.NODES` tells it.
#[derive(Serialize)]
struct Shown<'a> {
    node: &'a str,
    addr: Option<String>,
    state: &'static str,
    ttl_ms: Option<u64>,
    live: bool,
    tags: &'a [String],
    facts: Map<String, Value>,
}

/// Which services and nodes are wanted.
#[derive(Debug, Clone)]
pub struct ServiceFilter {
    /// Of this group.
    pub group: String,
    /// This service only; an unknown one has no nodes.
    pub service: Option<String>,
    /// Nodes that have lapsed and are kept, too.
    pub all: bool,
}

impl Discovery {
    /// The group of commands and pages that name none.
    pub const DEFAULT_GROUP: &str = super::names::DEFAULT_GROUP;

    /// The key that stands for a group in key rules.
    #[must_use]
    pub fn rule_key(group: &str) -> String {
        rule_key(group)
    }

    /// A JSON object with the services of a group, each with its nodes, a service a piece.
    ///
    /// # Errors
    /// When a name is not allowed, or the backing cannot be asked.
    pub async fn services_json(
        &self,
        filter: ServiceFilter,
    ) -> Result<impl Iterator<Item = String> + Send + use<>, DiscoveryError> {
        let check = |what, text: &str| name(what, text.as_bytes()).map_err(DiscoveryError::Refused);
        let group = check("group", &filter.group)?;
        let wanted = filter.service.map(|service| check("service", &service));
        let wanted = wanted.transpose()?;
        let known = match &wanted {
            Some(service) => vec![service.clone()],
            None => self.store.services(&group).await?,
        };
        let nodes = self.store.nodes(&group, wanted.as_deref()).await?.nodes;
        let mut services: BTreeMap<String, Vec<Node>> = known
            .into_iter()
            .map(|service| (service, Vec::new()))
            .collect();
        for node in nodes.into_iter().filter(|node| filter.all || node.live) {
            // One that has come since the services were read is shown as well.
            services.entry(node.service.clone()).or_default().push(node);
        }
        let head = format!("{{\"group\":{},\"services\":[", json(&group));
        let services = services
            .into_iter()
            .enumerate()
            .map(|(at, (service, nodes))| {
                let comma = if at == 0 { "" } else { "," };
                let nodes: Vec<Shown<'_>> = nodes.iter().map(shown).collect();
                let (service, nodes) = (json(&service), json(&nodes));
                format!("{comma}{{\"service\":{service},\"nodes\":{nodes}}}")
            });
        Ok(std::iter::once(head)
            .chain(services)
            .chain(std::iter::once("]}".to_owned())))
    }

    /// The groups that have services, sorted.
    ///
    /// # Errors
    /// When the backing cannot be asked.
    pub async fn groups(&self) -> Result<Vec<String>, DiscoveryError> {
        self.store.groups().await
    }
}

fn shown(node: &Node) -> Shown<'_> {
    let text = |bytes: &[u8]| Value::String(String::from_utf8_lossy(bytes).into_owned());
    let facts = node.facts.iter();
    let ttl = node
        .ttl
        .map(|ttl| u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX));
    Shown {
        node: &node.name,
        addr: node.addr.as_ref().map(ToString::to_string),
        state: node.state.name(),
        ttl_ms: ttl,
        live: node.live,
        tags: &node.tags,
        facts: facts
            .map(|(name, value)| (name.clone(), text(value)))
            .collect(),
    }
}

fn json(value: &(impl Serialize + ?Sized)) -> String {
    serde_json::to_string(value).expect("text, numbers and lists are JSON")
}
