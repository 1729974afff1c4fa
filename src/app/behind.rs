//! The way to the Redis behind: one server, an embedded one, the master that sentinels name, or a cluster. And what
//! clients are told it is.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::Failure;
use crate::cache::Cache;
use crate::config::{ClusterSeeds, Config, Endpoint, Upstream, UsersOf};
use crate::session::announced::Announced;
use crate::session::shared::Shared;
use crate::tasks::{self, Kind};
use crate::upstream::embedded::Embedded;
use crate::upstream::embedded_cluster::EmbeddedCluster;
use crate::upstream::{Backing, Dialer, Logins, SwapWatch, cluster, sentinel};

/// The servers behind that are Respite's own. Dropping it stops them.
#[expect(dead_code, reason = "held until the end")]
pub(super) enum Own {
    One(Embedded),
    Cluster(EmbeddedCluster),
}

/// The way to the backing.
pub(super) struct Way {
    pub(super) backing: Arc<Backing>,
    pub(super) own: Option<Own>,
    pub(super) named: NamedBy,
}

/// Who says which servers are behind.
pub(super) enum NamedBy {
    /// The configuration.
    Configuration,
    /// Sentinels.
    Sentinels(watch::Sender<sentinel::Terms>),
    /// The nodes of a cluster.
    Nodes(watch::Sender<cluster::Terms>),
    /// They are Respite's own.
    Respite,
}

/// Makes the way to the backing; starts an embedded one, begins to follow one that moves.
pub(super) async fn reach(config: &Config, tls: Option<TlsConnector>) -> Result<Way, Failure> {
    let refused = |text: String| Failure::Refused(text);
    let mut own = None;
    let (backing, named) = match &config.upstream {
        Upstream::Single(endpoint) => (Backing::new(endpoint.clone(), tls), NamedBy::Configuration),
        Upstream::Embedded => {
            let embedded = Embedded::start(config.data_dir.as_deref());
            let embedded = embedded.map_err(|error| refused(error.to_string()))?;
            embedded.until_listening(config.timeouts.connect).await;
            let backing = Backing::new(embedded.endpoint(), tls);
            own = Some(Own::One(embedded));
            (backing, NamedBy::Respite)
        }
        Upstream::Sentinel(set) => {
            let backing = Backing::followed(set.db, tls);
            let terms = (set.clone(), dialer(config));
            let (mut follower, terms) = sentinel::Follower::new(terms, Arc::clone(&backing));
            let found = follower.first_look().await;
            found.map_err(|error| refused(format!("upstream: {error}")))?;
            let follower = Arc::new(tokio::sync::Mutex::new(follower));
            tokio::spawn(tasks::keep(Kind::Backing, move || {
                let follower = Arc::clone(&follower);
                async move { follower.lock().await.follow().await }
            }));
            (backing, NamedBy::Sentinels(terms))
        }
        Upstream::Cluster(seeds) => {
            let (backing, terms) = join_cluster(config, seeds, tls).await?;
            (backing, NamedBy::Nodes(terms))
        }
        Upstream::EmbeddedCluster(masters) => {
            let nodes = EmbeddedCluster::start(*masters, config.data_dir.as_deref());
            let nodes = nodes.map_err(|error| refused(error.to_string()))?;
            let whole = nodes.until_whole().await;
            whole.map_err(|error| refused(error.to_string()))?;
            let (backing, _) = join_cluster(config, &nodes.seeds(), tls).await?;
            own = Some(Own::Cluster(nodes));
            (backing, NamedBy::Respite)
        }
    };
    Ok(Way {
        backing,
        own,
        named,
    })
}

/// Begins to follow a cluster.
async fn join_cluster(
    config: &Config,
    seeds: &ClusterSeeds,
    tls: Option<TlsConnector>,
) -> Result<(Arc<Backing>, watch::Sender<cluster::Terms>), Failure> {
    let backing = Backing::clustered(tls);
    let terms = (seeds.clone(), dialer(config));
    let (mut follower, terms) = cluster::Follower::new(terms, Arc::clone(&backing));
    let found = follower.first_look().await;
    found.map_err(|error| Failure::Refused(format!("upstream: {error}")))?;
    let follower = Arc::new(tokio::sync::Mutex::new(follower));
    tokio::spawn(tasks::keep(Kind::Backing, move || {
        let follower = Arc::clone(&follower);
        async move { follower.lock().await.follow().await }
    }));
    let watched = Arc::clone(&backing);
    let watching = move || Arc::clone(&watched).watch_masters();
    tokio::spawn(tasks::keep(Kind::Backing, watching));
    Ok((backing, terms))
}

fn dialer(config: &Config) -> Arc<Dialer> {
    Arc::new(Dialer::new(config.tls.upstream_ca.clone()))
}

impl NamedBy {
    /// Uses the upstream of another configuration, as far as that can be while it is in use, and certificates that
    /// may have been renewed.
    pub(super) fn put_in_force(
        &self,
        backing: &Backing,
        (before, now): (&Upstream, &Config),
        tls: Option<TlsConnector>,
    ) {
        if !before.may_become(&now.upstream) {
            return;
        }
        match (&now.upstream, self) {
            (Upstream::Single(to), _) => {
                let only_login = only_login_differs(before, to);
                let moves = !only_login && *before != now.upstream;
                if moves {
                    backing.suspend();
                }
                backing.set_tls(tls);
                if moves {
                    backing.switch(to.clone());
                } else if only_login {
                    backing.log_in(to.user.as_ref(), to.password.as_ref());
                }
            }
            (Upstream::Sentinel(set), NamedBy::Sentinels(terms)) => {
                backing.set_tls(tls);
                terms.send_replace((set.clone(), dialer(now)));
            }
            (Upstream::Cluster(seeds), NamedBy::Nodes(terms)) => {
                backing.set_tls(tls);
                terms.send_replace((seeds.clone(), dialer(now)));
            }
            _ => {}
        }
    }
}

/// Whether an upstream is the same server, with another login.
fn only_login_differs(before: &Upstream, now: &Endpoint) -> bool {
    let Upstream::Single(before) = before else {
        return false;
    };
    let with_login = Endpoint {
        user: now.user.clone(),
        password: now.password.clone(),
        ..before.clone()
    };
    before != now && with_login == *now
}

/// What Respite is for clients that insist on a cluster.
pub(super) fn announced(config: &Config) -> Option<Arc<Announced>> {
    let announce = config.cluster.announce.as_ref()?;
    let tls = config.tls.server.is_some();
    Some(Arc::new(Announced::new(announce, tls)))
}

/// Empties the cache when a script has exchanged databases.
pub(super) fn swap_watch(config: &Config, backing: &Arc<Backing>, cache: &Arc<Cache>) -> SwapWatch {
    let logins = match config.access.users_of {
        UsersOf::Respite => Logins::Own,
        UsersOf::Backing => Logins::Users,
    };
    let (backing, cache) = (Arc::clone(backing), Arc::clone(cache));
    SwapWatch::start(backing, logins, move || {
        cache.flush();
    })
}

/// Follows what the backing says of itself; returns when it was heard for the first time, or when
/// that takes longer than `limit`.
pub(super) async fn learn_from_backing(shared: &Arc<Shared>, limit: Duration) {
    let mut states = shared.backing.watch();
    if tokio::time::timeout(limit, states.changed()).await.is_ok() {
        let state = states.borrow_and_update().clone();
        shared.learn(&state);
    }
    let shared = Arc::clone(shared);
    tokio::spawn(tasks::keep(Kind::Backing, move || {
        let (shared, mut states) = (Arc::clone(&shared), states.clone());
        async move {
            while states.changed().await.is_ok() {
                let state = states.borrow_and_update().clone();
                shared.learn(&state);
            }
        }
    }));
}
