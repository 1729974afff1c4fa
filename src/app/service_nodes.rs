//! Tells the fleet the nodes of services: where it meets service discovery.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use tokio::time::{sleep, timeout};

use crate::config::TrackedService;
use crate::discovery::{Discovery, DiscoveryError, Node, NodeList, Subscription};
use crate::fleet::watcher::{NodeLists, NodeSource, ServiceNode};

/// How long nothing changes until the nodes are asked for anyway: so it shows whether they can be.
/// Next to polling each of them it costs nothing.
const LOOK: Duration = Duration::from_secs(2);

/// The wait before they are asked for again after that failed.
const RETRY: Duration = Duration::from_millis(500);

/// The nodes that service discovery knows.
#[derive(Debug)]
pub(super) struct ServiceNodes(Arc<Discovery>);

impl ServiceNodes {
    pub(super) fn new(discovery: Arc<Discovery>) -> Self {
        ServiceNodes(discovery)
    }
}

impl NodeSource for ServiceNodes {
    fn follow(&self, service: &TrackedService) -> NodeLists {
        let followed = Followed {
            discovery: Arc::clone(&self.0),
            service: service.clone(),
            subscription: None,
            failed: false,
        };
        let lists = stream::unfold(followed, |mut followed| async {
            let list = followed.next().await;
            Some((list, followed))
        });
        lists.boxed()
    }
}

/// One service that is followed.
struct Followed {
    discovery: Arc<Discovery>,
    service: TrackedService,
    subscription: Option<Subscription>,
    /// The last list could not be told.
    failed: bool,
}

impl Followed {
    async fn next(&mut self) -> Result<Vec<ServiceNode>, String> {
        let list = self.list().await;
        self.failed = list.is_err();
        let nodes = list.map_err(|error| error.client_text())?.nodes.into_iter();
        Ok(nodes.filter(|node| node.live).map(service_node).collect())
    }

    async fn list(&mut self) -> Result<NodeList, DiscoveryError> {
        if self.failed {
            sleep(RETRY).await;
        }
        let subscription = match &mut self.subscription {
            Some(subscription) => subscription,
            none => {
                let (group, service) = (&self.service.group, &self.service.service);
                none.insert(self.discovery.subscribe(group, service)?)
            }
        };
        if self.failed {
            return subscription.refresh().await;
        }
        match timeout(LOOK, subscription.next()).await {
            Ok(list) => list,
            Err(_) => subscription.refresh().await,
        }
    }
}

fn service_node(node: Node) -> ServiceNode {
    ServiceNode {
        name: node.name,
        addr: node.addr.and_then(|addr| Some((addr.host, addr.port?))),
        tags: node.tags,
    }
}
