//! The gateway and the admin listener, wired.

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tracing::warn;

use super::nodes::ServiceNodes;
use crate::access::AccessList;
use crate::config::{
    Config, InstancesSpec, ListenAddr, MetaInfo, Services, Source, environment, is_named,
};
use crate::gateway::{Connector, Gateway, Running, follow_file};
use crate::http::{Guard, Rules};
use crate::tasks::{self, Kind};
use crate::upstream::client_connector;

/// What the services file says, and what `https://` servers are checked with.
pub(super) struct PreparedGateway {
    services: Services,
    tls: Option<TlsConnector>,
}

/// Where the two HTTP listeners are.
#[derive(Debug, Clone, Default)]
pub(super) struct HttpAddresses {
    pub(super) admin: Option<ListenAddr>,
    pub(super) gateway: Option<ListenAddr>,
}

/// Reads the services file and what it needs.
pub(super) fn prepare(config: &Config) -> Result<PreparedGateway, String> {
    let Some(file) = &config.gateway.services else {
        return Ok(PreparedGateway {
            services: Services::default(),
            tls: None,
        });
    };
    let services = Services::load(file).map_err(|error| error.to_string())?;
    let tls = client_connector(None);
    let needed = services
        .services
        .values()
        .any(|service| match &service.instances {
            InstancesSpec::Listed(servers) => servers.iter().any(|(url, _)| url.tls),
            InstancesSpec::Discovered { .. } => false,
        });
    match tls {
        Err(error) if needed => Err(format!("an https:// server cannot be checked: {error}")),
        tls => Ok(PreparedGateway {
            services,
            tls: tls.ok(),
        }),
    }
}

impl PreparedGateway {
    /// Where to listen: what the configuration names, then what the services file names, then the
    /// defaults.
    pub(super) fn addresses(&self, source: &Source, config: &Config) -> HttpAddresses {
        let MetaInfo {
            discovery_server_port,
            request_processor_port,
            ..
        } = self.services.meta;
        let choose = |key: &str, configured: &Option<ListenAddr>, port: Option<u16>| match port {
            Some(port) if !is_named(source, environment(), key) => {
                format!("127.0.0.1:{port}").parse().ok()
            }
            _ => configured.clone(),
        };
        let gateway = choose(
            "gateway.listen",
            &config.gateway.listen,
            request_processor_port,
        );
        HttpAddresses {
            admin: choose("http.listen", &config.http.listen, discovery_server_port),
            // Nothing is to be forwarded without services.
            gateway: gateway.filter(|_| config.gateway.services.is_some()),
        }
    }

    /// What `https://` servers are checked with.
    pub(super) fn tls(&self) -> Option<TlsConnector> {
        self.tls.clone()
    }

    /// Builds the gateway and begins to poll.
    pub(super) fn build(
        self,
        config: &Config,
        nodes: Arc<ServiceNodes>,
    ) -> (Arc<Gateway>, FollowedFile) {
        let connector = Connector::new(self.tls.clone());
        let control = Handle::current();
        let gateway = Gateway::new(config.gateway.clone(), connector, control, nodes);
        let followed = FollowedFile::default();
        followed.follow(&gateway, config, self);
        (gateway, followed)
    }
}

/// The services file that is followed.
#[derive(Debug, Default)]
pub(super) struct FollowedFile(Mutex<Option<(PathBuf, AbortHandle)>>);

impl FollowedFile {
    /// Puts the services in force that were read, and follows their file from now on.
    pub(super) fn follow(&self, gateway: &Arc<Gateway>, config: &Config, read: PreparedGateway) {
        let mut followed = self.0.lock();
        let file = config.gateway.services.as_ref();
        gateway.apply(&read.services);
        if followed.as_ref().map(|(file, _)| file) == file {
            return;
        }
        if let Some((_, task)) = followed.take() {
            task.abort();
        }
        if let Some(file) = file {
            let (own, path, services) = (Arc::clone(gateway), file.clone(), read.services);
            let task = move || follow_file(Arc::clone(&own), path.clone(), services.clone());
            let task = tokio::spawn(tasks::keep(Kind::Gateway, task));
            *followed = Some((file.clone(), task.abort_handle()));
        }
    }
}

/// Who may use the admin listener.
pub(super) fn http_rules(config: &Config, access: &Arc<AccessList>) -> Rules {
    Rules {
        http: config.http.clone(),
        protected_mode: config.access.protected_mode,
        access: Arc::clone(access),
    }
}

/// The guard of the admin listener.
pub(super) fn http_guard(config: &Config, access: &Arc<AccessList>) -> Arc<Guard> {
    Arc::new(Guard::new(http_rules(config, access)))
}

/// Ends the threads of the gateway; what is not done is cut off.
pub(super) fn end(running: Running) {
    let left = running.connections();
    if left > 0 {
        warn!(
            connections = left,
            "closing connections of the gateway that are not done"
        );
    }
    running.end();
}
