//! Follows the services file.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tracing::{info, warn};

use super::shared::Gateway;
use crate::config::{Services, ServicesError};

/// The file is looked at so often even when the system tells of no change.
const RESCAN: Duration = Duration::from_secs(5);
/// A file that is being written is given so long.
const SETTLE: Duration = Duration::from_millis(50);

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
