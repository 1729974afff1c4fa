//! The way to the Redis behind: one server, an embedded one, the master that sentinels name, or a cluster. And what
//! clients are told it is.

use std::sync::Arc;

use tokio_rustls::TlsConnector;

use super::Failure;
use crate::cache::Cache;
use crate::config::{ClusterSeeds, Config, Upstream};
use crate::session::announced::Announced;
use crate::upstream::embedded::Embedded;
use crate::upstream::embedded_cluster::EmbeddedCluster;
use crate::upstream::sentinel::Follower;
use crate::upstream::{Backing, Dialer, SwapWatch, cluster};

/// The servers behind that are Respite's own. Dropping it stops them.
#[expect(dead_code, reason = "held until the end")]
pub(super) enum Own {
    One(Embedded),
    Cluster(EmbeddedCluster),
}

/// Makes the way to the backing; starts an embedded one, begins to follow one that moves.
pub(super) async fn reach(
    config: &Config,
    tls: Option<TlsConnector>,
) -> Result<(Arc<Backing>, Option<Own>), Failure> {
    let refused = |text: String| Failure::Refused(text);
    match &config.upstream {
        Upstream::Single(endpoint) => Ok((Backing::new(endpoint.clone(), tls), None)),
        Upstream::Embedded => {
            let embedded = Embedded::start(config.data_dir.as_deref());
            let embedded = embedded.map_err(|error| refused(error.to_string()))?;
            embedded.until_listening(config.timeouts.connect).await;
            let backing = Backing::new(embedded.endpoint(), tls);
            Ok((backing, Some(Own::One(embedded))))
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
        Upstream::Cluster(seeds) => Ok((join_cluster(config, seeds, tls).await?, None)),
        Upstream::EmbeddedCluster(masters) => {
            let own = EmbeddedCluster::start(*masters, config.data_dir.as_deref());
            let own = own.map_err(|error| refused(error.to_string()))?;
            let whole = own.until_whole().await;
            whole.map_err(|error| refused(error.to_string()))?;
            let backing = join_cluster(config, &own.seeds(), tls).await?;
            Ok((backing, Some(Own::Cluster(own))))
        }
    }
}

/// Begins to follow a cluster.
async fn join_cluster(
    config: &Config,
    seeds: &ClusterSeeds,
    tls: Option<TlsConnector>,
) -> Result<Arc<Backing>, Failure> {
    let backing = Backing::clustered(tls);
    let dialer = Dialer::new(config.tls.upstream_ca.clone());
    let mut follower = cluster::Follower::new(seeds.clone(), dialer, Arc::clone(&backing));
    let found = follower.first_look().await;
    found.map_err(|error| Failure::Refused(format!("upstream: {error}")))?;
    tokio::spawn(follower.follow());
    tokio::spawn(Arc::clone(&backing).watch_masters());
    Ok(backing)
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
