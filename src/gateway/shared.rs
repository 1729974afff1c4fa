//! The gateway as a whole: the services in force and what everything works on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::catalog::Catalog;
use super::connect::Connector;
use super::instance::Instance;
use super::nodes::Nodes;
use super::probe;
use super::service::Service;
use crate::config::{GatewaySettings, InstancesSpec, Polling, ServerUrl, Services};
use crate::tasks::{self, Kind};

/// Polls at the same time.
const MOST_POLLS: usize = 256;

/// The services, their instances and how to reach them.
pub struct Gateway {
    settings: ArcSwap<GatewaySettings>,
    connector: ArcSwap<Connector>,
    /// Where polls are made.
    control: Handle,
    nodes: Arc<dyn Nodes>,
    catalog: ArcSwap<Catalog>,
    /// The tasks that follow discovered nodes, by service; also lets one set of services be applied
    /// at a time.
    followers: Mutex<HashMap<String, Follower>>,
    permits: Arc<Semaphore>,
    pub(super) counts: GatewayCounts,
}

/// What happened to requests of no service.
#[derive(Debug, Default)]
pub(super) struct GatewayCounts {
    /// Answered with 404.
    pub(super) unrouted: AtomicU64,
}

struct Follower {
    name: String,
    polling: Polling,
    task: AbortHandle,
}

impl Gateway {
    /// A gateway without services. Polls are made on `control`; `nodes` tells of the instances of
    /// services that are discovered.
    pub fn new(
        settings: GatewaySettings,
        connector: Connector,
        control: Handle,
        nodes: Arc<dyn Nodes>,
    ) -> Arc<Self> {
        Arc::new(Gateway {
            settings: ArcSwap::from_pointee(settings),
            connector: ArcSwap::from_pointee(connector),
            control,
            nodes,
            catalog: ArcSwap::default(),
            followers: Mutex::default(),
            permits: Arc::new(Semaphore::new(MOST_POLLS)),
            counts: GatewayCounts::default(),
        })
    }

    /// `[gateway]`.
    pub fn settings(&self) -> Arc<GatewaySettings> {
        self.settings.load_full()
    }

    /// Puts changed settings in force, for the requests that begin from now on; who listens with how many
    /// threads and connections is not its affair.
    pub fn set_settings(&self, settings: GatewaySettings, connector: Connector) {
        self.settings.store(Arc::new(settings));
        self.connector.store(Arc::new(connector));
    }

    pub(super) fn connector(&self) -> Arc<Connector> {
        self.connector.load_full()
    }

    pub(super) fn control(&self) -> &Handle {
        &self.control
    }

    pub(super) fn route(&self, path: &str) -> Option<Arc<Service>> {
        self.catalog.load().route(path).cloned()
    }

    pub(super) fn service(&self, name: &str) -> Option<Arc<Service>> {
        self.catalog.load().services.get(name).cloned()
    }

    pub(super) fn services(&self) -> Vec<Arc<Service>> {
        self.catalog.load().services.values().cloned().collect()
    }

    /// Puts these services in force. Services and instances that are there already keep what is known
    /// of them; those that are missing get no more requests and finish what they have.
    pub fn apply(self: &Arc<Self>, wanted: &Services) {
        let mut followers = self.followers.lock();
        let old = self.catalog.load_full();
        let mut services = std::collections::BTreeMap::new();
        for (name, spec) in &wanted.services {
            let kept = old.services.get(name).cloned();
            let service = kept.unwrap_or_else(|| Service::new(name));
            service.set_apis(&spec.apis);
            services.insert(name.clone(), service);
        }
        self.catalog.store(Arc::new(Catalog::new(services.clone())));
        for (name, gone) in &old.services {
            if !services.contains_key(name) {
                end(followers.remove(name));
                gone.retire();
            }
        }
        for (name, spec) in &wanted.services {
            let service = &services[name];
            match &spec.instances {
                InstancesSpec::Listed(listed) => {
                    end(followers.remove(name));
                    self.set_instances(service, listed);
                }
                InstancesSpec::Discovered {
                    name: discovered,
                    polling,
                } => {
                    self.discover(&mut followers, service, discovered, polling);
                }
            }
        }
    }

    /// Gives a service its instances and has the new ones polled.
    pub(super) fn set_instances(&self, service: &Arc<Service>, wanted: &[(ServerUrl, Polling)]) {
        service.set_instances(wanted, |instance: &Arc<Instance>| {
            let (service, instance_too) = (Arc::clone(service), Arc::clone(instance));
            let connector = Connector::clone(&self.connector());
            let permits = Arc::clone(&self.permits);
            let polling = move || {
                probe::poll_for_ever(
                    Arc::clone(&service),
                    Arc::clone(&instance_too),
                    connector.clone(),
                    Arc::clone(&permits),
                )
            };
            let polling = self.control.spawn(tasks::keep(Kind::Gateway, polling));
            instance.set_poller(polling.abort_handle());
        });
    }

    fn discover(
        self: &Arc<Self>,
        followers: &mut HashMap<String, Follower>,
        service: &Arc<Service>,
        name: &str,
        polling: &Polling,
    ) {
        let same = |follower: &Follower| follower.name == name && follower.polling == *polling;
        if followers.get(&service.name).is_some_and(same) {
            return;
        }
        end(followers.remove(&service.name));
        let (gateway, own, polled) = (Arc::clone(self), Arc::clone(service), polling.clone());
        let nodes = self.nodes.follow(name);
        let following = move || {
            let (gateway, own) = (Arc::clone(&gateway), Arc::clone(&own));
            follow_nodes(gateway, own, nodes.clone(), polled.clone())
        };
        let following = self.control.spawn(tasks::keep(Kind::Gateway, following));
        let follower = Follower {
            name: name.to_owned(),
            polling: polling.clone(),
            task: following.abort_handle(),
        };
        followers.insert(service.name.clone(), follower);
    }
}

/// Keeps the instances of a service to the nodes that are discovered.
async fn follow_nodes(
    gateway: Arc<Gateway>,
    service: Arc<Service>,
    mut nodes: tokio::sync::watch::Receiver<Vec<String>>,
    polling: Polling,
) {
    loop {
        let addresses = nodes.borrow_and_update().clone();
        let mut wanted = Vec::with_capacity(addresses.len());
        for address in &addresses {
            match address.parse::<ServerUrl>() {
                Ok(url) => wanted.push((url, polling.clone())),
                Err(why) => tracing::warn!(
                    "gateway: a node of service {}: \"{address}\" {why}",
                    service.name
                ),
            }
        }
        gateway.set_instances(&service, &wanted);
        if nodes.changed().await.is_err() {
            return;
        }
    }
}

fn end(follower: Option<Follower>) {
    if let Some(follower) = follower {
        follower.task.abort();
    }
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("services", &self.catalog.load().services.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::watch;

    use super::*;
    use crate::config::Config;

    /// Tells of the nodes that a test sends.
    struct Told(watch::Receiver<Vec<String>>);

    impl Nodes for Told {
        fn follow(&self, service: &str) -> watch::Receiver<Vec<String>> {
            assert_eq!(service, "payments");
            self.0.clone()
        }
    }

    fn urls(gateway: &Gateway) -> Vec<String> {
        let service = gateway.service("pay").expect("the service");
        let instances = service.instances();
        instances.iter().map(|one| one.url.to_string()).collect()
    }

    async fn until(gateway: &Gateway, wanted: &[&str]) {
        let waiting = async {
            while urls(gateway) != wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        let done = tokio::time::timeout(Duration::from_secs(10), waiting).await;
        done.unwrap_or_else(|_| panic!("{:?}", urls(gateway)));
    }

    #[tokio::test]
    async fn discovered_nodes_are_instances_while_they_are_there() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let file = folder.path().join("services.yaml");
        let load = |text: &str| {
            std::fs::write(&file, text).expect("written");
            Services::load(&file).expect("valid")
        };
        let (tell, told) = watch::channel(vec!["127.0.0.1:1".to_owned()]);
        let nodes: Arc<dyn Nodes> = Arc::new(Told(told));
        let settings = Config::default().gateway;
        let connector = Connector::new(None);
        let gateway = Gateway::new(settings, connector, Handle::current(), nodes);
        let services = load("pay: {discovery: payments, apis: [/pay]}");
        gateway.apply(&services);
        until(&gateway, &["127.0.0.1:1"]).await;
        let first = gateway.service("pay").expect("the service").instances()[0].id;
        tell.send_replace(
            ["127.0.0.1:2", "127.0.0.1:1", "no address", "127.0.0.1:1"]
                .map(str::to_owned)
                .into(),
        );
        until(&gateway, &["127.0.0.1:2", "127.0.0.1:1"]).await;
        gateway.apply(&services);
        let service = gateway.service("pay").expect("the service");
        assert_eq!(service.instances()[1].id, first, "it is the same instance");
        gateway.apply(&load("{}"));
        assert!(gateway.service("pay").is_none() && service.instances().is_empty());
        tell.send_replace(vec!["127.0.0.1:3".to_owned()]);
        tokio::task::yield_now().await;
        assert!(service.instances().is_empty());
    }
}
