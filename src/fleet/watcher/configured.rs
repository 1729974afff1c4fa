//! Makes the watchers that the configuration asks for.

use std::sync::Arc;

use super::{
    DiscoveryWatcher, FileMemory, FileWatcher, LocalWatcher, NodeSource, StaticWatcher, Watcher,
};
use crate::config::FleetTargets;
use crate::fleet::{Credentials, check_id};

/// Makes watchers, again at every reload, and hands on what files said to the one that follows.
///
/// Those of the backing come before them, those of `SHARD.ADD` after them.
#[derive(Debug)]
pub struct ConfiguredWatchers {
    files: Arc<FileMemory>,
    nodes: Arc<dyn NodeSource>,
}

impl ConfiguredWatchers {
    /// Takes who knows the nodes of services.
    pub fn new(nodes: Arc<dyn NodeSource>) -> Self {
        ConfiguredWatchers {
            files: Arc::default(),
            nodes,
        }
    }

    /// Makes the watchers of all sources that are in use: of two with the same id the first wins.
    pub fn make(&self, targets: &FleetTargets, credentials: &Credentials) -> Vec<Arc<dyn Watcher>> {
        let mut watchers: Vec<Arc<dyn Watcher>> = Vec::new();
        if !targets.listed.is_empty() {
            let listed = targets.listed.clone();
            watchers.push(Arc::new(StaticWatcher::new(listed, credentials.clone())));
        }
        if !targets.file.paths.is_empty() {
            let (file, memory) = (targets.file.clone(), Arc::clone(&self.files));
            watchers.push(Arc::new(FileWatcher::new(
                file,
                credentials.clone(),
                memory,
            )));
        }
        if targets.local.enabled {
            let local = targets.local.clone();
            watchers.push(Arc::new(LocalWatcher::new(local, credentials.clone())));
        }
        for service in &targets.services {
            let (service, nodes) = (service.clone(), Arc::clone(&self.nodes));
            watchers.push(Arc::new(DiscoveryWatcher::new(service, nodes)));
        }
        watchers
    }
}

/// Checks the ids of `[[fleet.static]]`.
///
/// # Errors
/// Names the key and says what is wrong with it.
pub fn check_listed(targets: &FleetTargets) -> Result<(), String> {
    for (index, target) in targets.listed.iter().enumerate() {
        check_id(&target.id).map_err(|reason| format!("fleet.static[{index}].id: {reason}"))?;
    }
    Ok(())
}
