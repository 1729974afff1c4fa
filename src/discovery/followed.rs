//! Following one service for ever, whatever happens to the backing.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::error::DiscoveryError;
use super::model::NodeList;
use super::service::Discovery;
use super::watch::Subscription;
use crate::backoff::Backoff;

/// How long nothing changes until the nodes are asked for anyway: so it shows whether they can be.
const LOOK: Duration = Duration::from_secs(2);
/// The waits before they are asked for again after that failed.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_LONGEST: Duration = Duration::from_secs(1);

/// A service that is followed.
#[derive(Debug)]
pub struct Followed {
    discovery: Arc<Discovery>,
    group: String,
    service: String,
    subscription: Option<Subscription>,
    backoff: Backoff,
    /// The last list could not be told; how long to wait before the next.
    wait: Option<Duration>,
}

impl Followed {
    /// Follows a service, known or not. Nothing is asked before the first [`next`](Self::next).
    pub fn new(discovery: Arc<Discovery>, group: &str, service: &str) -> Self {
        Followed {
            discovery,
            group: group.to_owned(),
            service: service.to_owned(),
            subscription: None,
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            wait: None,
        }
    }

    /// The nodes at once, then whenever they change and every few seconds anyway; or why they cannot be
    /// told, which is said again and again, less and less often.
    ///
    /// # Errors
    /// When the backing cannot be asked, or too many groups are followed already.
    pub async fn next(&mut self) -> Result<NodeList, DiscoveryError> {
        let failed = self.wait.take();
        if let Some(wait) = failed {
            sleep(wait).await;
        }
        let list = self.list(failed.is_some()).await;
        match &list {
            Ok(_) => self.backoff.reset(),
            Err(_) => self.wait = Some(self.backoff.next()),
        }
        list
    }

    async fn list(&mut self, failed: bool) -> Result<NodeList, DiscoveryError> {
        let subscription = match &mut self.subscription {
            Some(subscription) => subscription,
            none => none.insert(self.discovery.subscribe(&self.group, &self.service)?),
        };
        if failed {
            return subscription.refresh().await;
        }
        match timeout(LOOK, subscription.next()).await {
            Ok(list) => list,
            Err(_) => subscription.refresh().await,
        }
    }
}
