//! The Redis servers of this machine, `[fleet.local]`: found by the names of their processes.
//!
//! One process is one target, at the port that it serves clients on. A server without a port, such as the embedded
//! one, is none. Nothing is asked of the servers.

mod choice;
#[cfg(target_os = "linux")]
mod processes;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{TargetSink, Watcher, Watching};
use crate::config::{Address, Endpoint, LocalTargets};
use crate::fleet::{Credentials, Target};

/// Its name and kind: its targets' addresses mean something on this machine only.
pub(in super::super) const LOCAL: &str = "local";

/// Looks for servers on this machine.
#[derive(Debug)]
pub struct LocalWatcher {
    settings: LocalTargets,
    credentials: Credentials,
}

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LocalServer {
    pid: i32,
    /// The name of its process, as it is configured.
    name: String,
    /// Where it can be reached from this machine.
    address: SocketAddr,
}

/// What one look has found.
#[derive(Debug, Default, PartialEq, Eq)]
struct LocalServers {
    servers: Vec<LocalServer>,
    /// Why one that is there is not among them.
    problem: Option<String>,
}

impl LocalWatcher {
    /// Takes `[fleet.local]` and the logins that its rules name.
    pub fn new(settings: LocalTargets, credentials: Credentials) -> Self {
        LocalWatcher {
            settings,
            credentials,
        }
    }

    async fn run(self: Arc<Self>, sink: TargetSink) {
        loop {
            let watcher = Arc::clone(&self);
            let found = spawn_blocking(move || find(&watcher.settings.names));
            match found.await.expect("looking for processes does not panic") {
                Err(reason) => sink.failed(reason),
                Ok(found) => self.emit(found, &sink),
            }
            sleep(self.settings.rescan).await;
        }
    }

    fn emit(&self, found: LocalServers, sink: &TargetSink) {
        let mut problem = found.problem;
        let mut targets = Vec::with_capacity(found.servers.len());
        for server in found.servers {
            match self.target(&server) {
                Ok(target) => targets.push(target),
                Err(reason) => {
                    problem.get_or_insert(format!("{} {reason}", server.address));
                }
            }
        }
        match problem {
            None => sink.set(targets),
            Some(problem) => sink.set_partly(targets, problem),
        }
    }

    fn target(&self, server: &LocalServer) -> Result<Target, String> {
        let mut endpoint = Endpoint {
            address: Address::Tcp {
                host: server.address.ip().to_string(),
                port: server.address.port(),
            },
            tls: false,
            user: None,
            password: None,
            db: 0,
            only_at: None,
        };
        let mut rules = self.settings.rules.iter();
        if let Some(rule) = rules.find(|rule| rule.fits(&server.name, server.address.port())) {
            endpoint.tls = rule.tls;
            if let Some(name) = &rule.credential {
                match rule.port {
                    // The rule names the address: this machine, that port.
                    Some(_) => self.credentials.log_in(&mut endpoint, name)?,
                    // Anybody can call a process so.
                    None => self
                        .credentials
                        .log_in_to_found(&mut endpoint, name, None)?,
                }
            }
        }
        let labels = [
            ("pid".to_owned(), server.pid.to_string()),
            ("process".to_owned(), server.name.clone()),
        ];
        Ok(Target {
            id: endpoint.address.to_string(),
            endpoint,
            labels: BTreeMap::from(labels),
        })
    }
}

impl Watcher for LocalWatcher {
    fn name(&self) -> String {
        LOCAL.to_owned()
    }

    fn kind(&self) -> &'static str {
        LOCAL
    }

    fn watch(self: Arc<Self>, sink: TargetSink) -> Watching {
        Box::pin(self.run(sink))
    }
}

#[cfg(target_os = "linux")]
fn find(names: &[String]) -> Result<LocalServers, String> {
    processes::find(names)
}

#[cfg(not(target_os = "linux"))]
fn find(_: &[String]) -> Result<LocalServers, String> {
    Err("servers of this machine can be found on Linux only".to_owned())
}
