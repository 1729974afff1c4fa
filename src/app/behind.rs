//! The way to the Redis behind: one server, an embedded one, the master that sentinels name, or a cluster. And what
//! clients are told it is.

use std::sync::Arc;

use tokio_rustls::TlsConnector;

use super::Failure;
use crate::cache::Cache;
use crate::config::{Config, Upstream};
use crate::session::announced::Announced;
use crate::upstream::embedded::Embedded;
use crate::upstream::sentinel::Follower;
use crate::upstream::{Backing, Dialer, SwapWatch, cluster};

/// Makes the way to the backing; starts an embedded one, begins to follow one that moves.
pub(super) async fn reach(
    config: &Config,
    tls: Option<TlsConnector>,
) -> Result<(Arc<Backing>, Option<Embedded>), Failure> {
    let refused = |text: String| Failure::Refused(text);
    match &config.upstream {
        Upstream::Single(endpoint) => Ok((Backing::new(endpoint.clone(), tls), None)),
        Upstream::Embedded => {
            let embedded = Embedded::start(config.data_dir.as_deref());
            let embedded = embedded.map_err(|error| refused(error.to_string()))?;
            embedded.until_listening(config.timeouts.connect).await;
            Ok((Backing::new(embedded.endpoint(), tls), Some(embedded)))
        }
        Upstream::Sentinel(set) => {
            let backing = Backing::followed(set.db, tls);
            let dialer = Dialer::new(config.tls.upstream_ca.clone());
            let mut follower = Follower::new(set.clone(), dialer, Arc::clone(&backing));
            let found = follower.first_look().await;
            found.map_err(|error| refused(format!("upstream: {error}")))?;
            tokio::spawn(follower.follow());
            Ok((backing, None))
        }
        Upstream::Cluster(seeds) => {
            let backing = Backing::clustered(tls);
            let dialer = Dialer::new(config.tls.upstream_ca.clone());
            let mut follower = cluster::Follower::new(seeds.clone(), dialer, Arc::clone(&backing));
            let found = follower.first_look().await;
            found.map_err(|error| refused(format!("upstream: {error}")))?;
            tokio::spawn(follower.follow());
            tokio::spawn(Arc::clone(&backing).watch_masters());
            Ok((backing, None))
        }
    }
}

/// What Respite is for clients that insist on a cluster.
pub(super) fn announced(config: &Config) -> Option<Arc<Announced>> {
    let announce = config.cluster.announce.as_ref()?;
    let tls = config.tls.server.is_some();
    Some(Arc::new(Announced::new(announce, tls)))
}

/// Empties the cache when a script has exchanged databases.
pub(super) fn swap_watch(backing: &Arc<Backing>, cache: &Arc<Cache>) -> SwapWatch {
    let (backing, cache) = (Arc::clone(backing), Arc::clone(cache));
    SwapWatch::start(backing, move || {
        cache.flush();
    })
}
