//! Renews certificates when their files change, without being asked.

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::{info, warn};

use super::reload::Reloader;
use crate::config::Tls;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// A certificate and its key are written one after the other: so many looks have to find them as they are.
const SETTLED_AFTER: u32 = 2;

/// What tells a file from the one before, as far as it is there.
type Stamps = Vec<(PathBuf, Option<(u64, u64, i64, i64)>)>;

/// Watches the files for as long as the server runs.
pub(super) async fn watch(reloader: Arc<Reloader>) {
    let mut used = stamps(reloader.tls_in_force().await).await;
    let mut seen = used.clone();
    let mut same = 0;
    loop {
        sleep(LOOK).await;
        let now = stamps(reloader.tls_in_force().await).await;
        same = if now == seen { same + 1 } else { 0 };
        seen = now;
        if seen == used || same < SETTLED_AFTER - 1 {
            continue;
        }
        // Said once: it is tried again when they change again.
        used = seen.clone();
        match reloader.renew_certificates().await {
            Ok(()) => info!("certificates renewed"),
            Err(error) => warn!("the certificates before stay in force: {error}"),
        }
    }
}

async fn stamps(tls: Tls) -> Stamps {
    let server = tls.server.into_iter();
    let files = server.flat_map(|tls| [Some(tls.cert), Some(tls.key), tls.client_ca]);
    let files: Vec<PathBuf> = files.chain([tls.upstream_ca]).flatten().collect();
    if files.is_empty() {
        return Vec::new();
    }
    let read = tokio::task::spawn_blocking(|| {
        let stamp = |file: PathBuf| {
            let stamp = std::fs::metadata(&file).ok();
            let stamp = stamp.map(|is| (is.ino(), is.size(), is.mtime(), is.mtime_nsec()));
            (file, stamp)
        };
        files.into_iter().map(stamp).collect()
    });
    read.await.unwrap_or_default() // the server ends
}
