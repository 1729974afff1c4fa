//! Where service discovery meets those who follow its nodes: the fleet and the gateway.

use std::sync::Arc;

use futures_util::{StreamExt, stream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tracing::debug;

use crate::config::TrackedService;
use crate::discovery::{Discovery, Followed, Node, NodeState};
use crate::fleet::watcher::{NodeLists, NodeSource, ServiceNode};
use crate::gateway::Nodes;
use crate::tasks::{self, Kind};

/// The gateway's services are looked for here.
const GATEWAY_GROUP: &str = "default";

/// The nodes that service discovery knows.
#[derive(Debug, Clone)]
pub(super) struct ServiceNodes {
    discovery: Arc<Discovery>,
    control: Handle,
}

impl ServiceNodes {
    pub(super) fn new(discovery: &Arc<Discovery>, control: Handle) -> Self {
        ServiceNodes {
            discovery: Arc::clone(discovery),
            control,
        }
    }

    fn followed(&self, group: &str, service: &str) -> Followed {
        Followed::new(Arc::clone(&self.discovery), group, service)
    }
}

// === the fleet ===

impl NodeSource for ServiceNodes {
    fn follow(&self, service: &TrackedService) -> NodeLists {
        let followed = self.followed(&service.group, &service.service);
        let lists = stream::unfold(followed, async |mut followed| {
            let list = followed.next().await;
            Some((list, followed))
        });
        lists
            .map(|list| {
                let nodes = list.map_err(|error| error.client_text())?.nodes.into_iter();
                Ok(nodes.filter(|node| node.live).map(service_node).collect())
            })
            .boxed()
    }
}

fn service_node(node: Node) -> ServiceNode {
    ServiceNode {
        name: node.name,
        addr: node.addr.and_then(|addr| Some((addr.host, addr.port?))),
        tags: node.tags,
    }
}

// === the gateway ===

impl Nodes for ServiceNodes {
    fn follow(&self, service: &str) -> watch::Receiver<Vec<String>> {
        let (tell, told) = watch::channel(Vec::new());
        let discovery = Arc::clone(&self.discovery);
        let (service, tell) = (service.to_owned(), Arc::new(tell));
        self.control.spawn(tasks::keep(Kind::Discovery, move || {
            let followed = Followed::new(Arc::clone(&discovery), GATEWAY_GROUP, &service);
            let (service, tell) = (service.clone(), Arc::clone(&tell));
            async move {
                tokio::select! {
                    () = tell_addresses(followed, &service, &tell) => {}
                    () = tell.closed() => {}
                }
            }
        }));
        told
    }
}

/// Tells the addresses for ever. While they cannot be asked for, those that were told last stay.
async fn tell_addresses(mut nodes: Followed, service: &str, tell: &watch::Sender<Vec<String>>) {
    loop {
        match nodes.next().await {
            Ok(list) => {
                let addresses: Vec<String> = list.nodes.iter().filter_map(address).collect();
                tell.send_if_modified(|told| {
                    let differs = *told != addresses;
                    *told = addresses;
                    differs
                });
            }
            Err(error) => debug!("gateway: the nodes of {service} are not known: {error}"),
        }
    }
}

/// Where a node takes requests, if it wants any.
fn address(node: &Node) -> Option<String> {
    let works = matches!(node.state, NodeState::Passing | NodeState::Warning);
    let address = node
        .addr
        .as_ref()
        .filter(|address| address.port.is_some())?;
    (node.live && works).then(|| address.to_string())
}
