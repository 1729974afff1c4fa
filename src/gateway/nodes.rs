//! Where the nodes of discovered services come from.

use tokio::sync::watch;

/// Where the instances of discovered services come from.
pub trait Nodes: Send + Sync {
    /// The addresses of a service's live nodes, `HOST:PORT` or a URL, now and whenever they change.
    fn follow(&self, service: &str) -> watch::Receiver<Vec<String>>;
}
