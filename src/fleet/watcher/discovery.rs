//! The nodes of a service, `[fleet.discovery]`: a watcher for each service.
//!
//! Who the nodes are is told by a [`NodeSource`], which whoever starts the fleet gives to it:
//! service discovery itself is not known here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::BoxStream;

use super::{TargetSink, Watcher, Watching};
use crate::config::{Address, Endpoint, TrackedService};
use crate::fleet::Target;

/// The most bytes of a node's tags as a label; with the other labels that is less than any target
/// may have.
const MAX_TAGS_BYTES: usize = 3072;

/// The kind of this watcher, and what its name begins with.
pub(super) const DISCOVERY: &str = "discovery";

/// A node of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceNode {
    /// Its name, unique in the service.
    pub name: String,
    /// Its host and port; none when it has not told its port.
    pub addr: Option<(String, u16)>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// The nodes of a service, each time all of them; or why they cannot be told at present.
pub type NodeLists = BoxStream<'static, Result<Vec<ServiceNode>, String>>;

/// Who knows the nodes of services.
pub trait NodeSource: Send + Sync + fmt::Debug {
    /// Follows the live nodes of a service, known or not: a list now, another whenever they change, and one
    /// every few seconds anyway, or the reason why there is none. It has no end and is told that it
    /// is not wanted any more by its drop.
    fn follow(&self, service: &TrackedService) -> NodeLists;
}

/// Tracks the nodes of one service.
#[derive(Debug)]
pub struct DiscoveryWatcher {
    service: TrackedService,
    source: Arc<dyn NodeSource>,
}

impl DiscoveryWatcher {
    /// Takes one of `[fleet.discovery] services`.
    pub fn new(service: TrackedService, source: Arc<dyn NodeSource>) -> Self {
        DiscoveryWatcher { service, source }
    }

    fn emit(&self, nodes: Vec<ServiceNode>, sink: &TargetSink) {
        let mut targets = Vec::with_capacity(nodes.len());
        let (mut problem, mut more) = (None, 0);
        for node in nodes {
            let name = node.name.clone();
            let (target, reason) = self.target(node);
            targets.extend(target);
            match (reason, &problem) {
                (None, _) => {}
                (Some(reason), None) => {
                    problem = Some(format!("{}: {reason}", name.escape_debug()))
                }
                (Some(_), Some(_)) => more += 1,
            }
        }
        match problem {
            None => sink.set(targets),
            Some(problem) if more == 0 => sink.set_partly(targets, problem),
            Some(problem) => sink.set_partly(targets, format!("{problem} (and {more} more)")),
        }
    }

    /// The node as a target, if it can be one, and what is wrong with it.
    fn target(&self, node: ServiceNode) -> (Option<Target>, Option<&'static str>) {
        let Some((host, port)) = node.addr else {
            return (None, Some("has no port"));
        };
        let mut labels = BTreeMap::from([
            ("group".to_owned(), self.service.group.clone()),
            ("service".to_owned(), self.service.service.clone()),
            ("node".to_owned(), node.name.clone()),
        ]);
        let tags = node.tags.join(",");
        let too_long = tags.len() > MAX_TAGS_BYTES;
        if !tags.is_empty() && !too_long {
            labels.insert("tags".to_owned(), tags);
        }
        let endpoint = Endpoint {
            address: Address::Tcp { host, port },
            tls: false,
            user: None,
            password: None,
            db: 0,
            only_at: None,
        };
        let target = Target {
            id: format!("{}/{}", self.service, node.name),
            endpoint,
            labels,
        };
        (Some(target), too_long.then_some("has too long tags"))
    }
}

impl Watcher for DiscoveryWatcher {
    fn name(&self) -> String {
        format!("{DISCOVERY}:{}", self.service)
    }

    fn kind(&self) -> &'static str {
        DISCOVERY
    }

    fn watch(self: Arc<Self>, sink: TargetSink) -> Watching {
        Box::pin(async move {
            let mut lists = self.source.follow(&self.service);
            while let Some(list) = lists.next().await {
                match list {
                    Ok(nodes) => self.emit(nodes, &sink),
                    Err(reason) => sink.failed(reason),
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use parking_lot::Mutex;
    use tokio::runtime::Handle;

    use super::super::{Found, Supervisor, WatcherReport};
    use super::*;

    /// Tells these lists, then waits.
    #[derive(Debug)]
    struct Script(Vec<Result<Vec<ServiceNode>, String>>);

    impl NodeSource for Script {
        fn follow(&self, _: &TrackedService) -> NodeLists {
            let lists = stream::iter(self.0.clone());
            lists.chain(stream::pending()).boxed()
        }
    }

    fn node(name: &str, port: Option<u16>, tags: &[&str]) -> ServiceNode {
        ServiceNode {
            name: name.to_owned(),
            addr: port.map(|port| ("::1".to_owned(), port)),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    /// What is tracked and how the watcher does after these lists.
    async fn after(
        service: &str,
        lists: Vec<Result<Vec<ServiceNode>, String>>,
    ) -> (Vec<Found>, WatcherReport) {
        let told = Arc::<Mutex<Vec<Found>>>::default();
        let keep = Arc::clone(&told);
        let supervisor = Supervisor::new(Handle::current(), move |found| *keep.lock() = found);
        let service = service.parse().expect("a service");
        let watcher = DiscoveryWatcher::new(service, Arc::new(Script(lists)));
        supervisor.replace(vec![Arc::new(watcher)]);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let found = told.lock().clone();
        (found, supervisor.reports().remove(0))
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_is_a_shard() {
        let list = vec![
            node("n1", Some(7), &["blue", "eu"]),
            node("n2", Some(8), &[]),
        ];
        let (found, report) = after("shop/web", vec![Ok(list)]).await;
        assert_eq!(
            (&*report.name, report.kind),
            ("discovery:shop/web", "discovery")
        );
        assert_eq!((report.targets, report.error), (2, None));
        let (first, second) = (&found[0].target, &found[1].target);
        assert_eq!(first.id, "shop/web/n1");
        assert_eq!(first.endpoint.address.to_string(), "[::1]:7");
        let labels: Vec<_> = first
            .labels
            .iter()
            .map(|(n, v)| format!("{n}={v}"))
            .collect();
        assert_eq!(
            labels,
            ["group=shop", "node=n1", "service=web", "tags=blue,eu"]
        );
        assert_eq!(second.id, "shop/web/n2");
        assert!(!second.labels.contains_key("tags"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_be_tracked_is_reported_and_the_rest_is() {
        let long = "x".repeat(255);
        let tags = vec![long.as_str(); 13];
        let list = vec![
            node("a", None, &[]),
            node("b", Some(7), &tags),
            node("c", Some(8), &[]),
        ];
        let (found, report) = after("web", vec![Ok(list)]).await;
        let ids: Vec<_> = found.iter().map(|f| f.target.id.as_str()).collect();
        assert_eq!(ids, ["web/b", "web/c"]);
        assert!(!found[0].target.labels.contains_key("tags"));
        assert_eq!(report.error.as_deref(), Some("a: has no port (and 1 more)"));
        // A name too long for an id is the affair of all watchers.
        let (found, report) = after("web", vec![Ok(vec![node(&long, Some(7), &[])])]).await;
        assert!(found.is_empty());
        assert!(report.error.expect("reported").contains("1 to 255 bytes"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_list_stays_while_there_is_none() {
        let one = || Ok(vec![node("n1", Some(7), &[])]);
        let lost = || Err("UPSTREAM away".to_owned());
        let (found, report) = after("web", vec![one(), lost()]).await;
        assert_eq!((found.len(), report.targets), (1, 1));
        assert_eq!(report.error.as_deref(), Some("UPSTREAM away"));
        let (found, report) = after("web", vec![one(), lost(), one()]).await;
        assert_eq!((found.len(), report.error), (1, None));
        let (found, _) = after("web", vec![one(), lost(), Ok(Vec::new())]).await;
        assert!(found.is_empty());
    }
}
