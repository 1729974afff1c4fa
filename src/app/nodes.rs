//! The nodes of discovered services, for the gateway.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::debug;

use crate::discovery::{Discovery, Node, NodeState};
use crate::gateway::Nodes;

/// Services are looked for here.
const GROUP: &str = "default";
/// Between attempts to ask for the nodes of a service while the backing cannot be asked.
const RETRY: Duration = Duration::from_secs(1);
/// How long nothing changes until the nodes are asked for anyway: so it shows whether they can be.
const LOOK: Duration = Duration::from_secs(2);

/// Follows services of discovery.
pub(super) struct DiscoveredNodes {
    discovery: Arc<Discovery>,
    control: Handle,
}

impl DiscoveredNodes {
    pub(super) fn new(discovery: &Arc<Discovery>, control: Handle) -> Self {
        DiscoveredNodes {
            discovery: Arc::clone(discovery),
            control,
        }
    }
}

impl Nodes for DiscoveredNodes {
    fn follow(&self, service: &str) -> watch::Receiver<Vec<String>> {
        let (tell, told) = watch::channel(Vec::new());
        let discovery = Arc::clone(&self.discovery);
        let service = service.to_owned();
        self.control.spawn(async move {
            tokio::select! {
                () = follow(&discovery, &service, &tell) => {}
                () = tell.closed() => {}
            }
        });
        told
    }
}

/// Tells the nodes for ever. While they cannot be asked for, those that were told last stay.
async fn follow(discovery: &Discovery, service: &str, tell: &watch::Sender<Vec<String>>) {
    let mut nodes = loop {
        match discovery.subscribe(GROUP, service) {
            Ok(nodes) => break nodes,
            Err(error) => debug!("gateway: {service} cannot be followed: {error}"),
        }
        sleep(RETRY).await;
    };
    let mut failed = false;
    loop {
        let list = if failed {
            sleep(RETRY).await;
            nodes.refresh().await
        } else {
            match timeout(LOOK, nodes.next()).await {
                Ok(list) => list,
                Err(_) => nodes.refresh().await,
            }
        };
        failed = list.is_err();
        match list {
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
