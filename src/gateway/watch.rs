//! Follows what services consist of: the services file, and the nodes of discovered services.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::{mpsc, watch};
use tracing::{info, warn};

use super::service::Service;
use super::shared::Gateway;
use crate::config::{Polling, ServerUrl, Services, ServicesError};

/// The file is looked at so often even when the system tells of no change.
const RESCAN: Duration = Duration::from_secs(5);
/// A file that is being written is given so long.
const SETTLE: Duration = Duration::from_millis(50);

/// Where the instances of discovered services come from.
pub trait Nodes: Send + Sync {
    /// The addresses of a service's live nodes, `HOST:PORT` or a URL, now and whenever they change.
    fn follow(&self, service: &str) -> watch::Receiver<Vec<String>>;
}

/// Applies the services file whenever it changes, for ever. A file with mistakes changes nothing.
/// `now` is what is in force.
pub async fn follow_file(gateway: Arc<Gateway>, file: PathBuf, now: Services) {
    let (tell, mut told) = mpsc::channel(1);
    let watcher = watch_folder(&file, tell);
    if let Err(error) = &watcher {
        info!(
            "gateway: changes of {} are noticed within {RESCAN:?}: {error}",
            file.display()
        );
    }
    let mut known = Ok(now);
    loop {
        tokio::select! {
            _ = told.recv(), if watcher.is_ok() => tokio::time::sleep(SETTLE).await,
            () = tokio::time::sleep(RESCAN) => {}
        }
        while told.try_recv().is_ok() {}
        let path = file.clone();
        let Ok(read) = tokio::task::spawn_blocking(move || Services::load(&path)).await else {
            continue;
        };
        if read != known {
            take(&gateway, &file, &read);
            known = read;
        }
    }
}

fn take(gateway: &Arc<Gateway>, file: &Path, read: &Result<Services, ServicesError>) {
    match read {
        Ok(services) => {
            gateway.apply(services);
            let count = services.services.len();
            info!("gateway: {} has changed: {count} services", file.display());
        }
        Err(error) => {
            let lines = error.to_string().replace('\n', "; ");
            warn!("gateway: the services stay as they were: {lines}");
        }
    }
}

/// Has `tell` told of changes in the folder of a file: editors replace files, and mounts swap links.
fn watch_folder(file: &Path, tell: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let read_only = matches!(
            event.as_ref().map(|event| event.kind),
            Ok(EventKind::Access(kind)) if kind != AccessKind::Close(AccessMode::Write)
        );
        if !read_only {
            // When it is full, somebody is told already.
            let _ = tell.try_send(());
        }
    })?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    watcher.watch(
        folder.unwrap_or(Path::new(".")),
        RecursiveMode::NonRecursive,
    )?;
    Ok(watcher)
}

/// Keeps the instances of a service to the nodes that are discovered.
pub(super) async fn follow_nodes(
    gateway: Arc<Gateway>,
    service: Arc<Service>,
    mut nodes: watch::Receiver<Vec<String>>,
    polling: Polling,
) {
    loop {
        let addresses = nodes.borrow_and_update().clone();
        let mut wanted = Vec::with_capacity(addresses.len());
        for address in &addresses {
            match address.parse::<ServerUrl>() {
                Ok(url) => wanted.push((url, polling.clone())),
                Err(why) => warn!(
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
