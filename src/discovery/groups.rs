//! The list of groups, apart from the groups themselves: in a cluster it is on a node of its own,
//! so no script can keep it in step with them.
//!
//! A group is entered after something was put into it, and again until that is known to have worked. One
//! that turns out to be empty is taken off, unless it was entered again meanwhile.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::{FromRedisValue, Value};

use super::error::DiscoveryError;
use super::keys::GROUPS;
use super::scripts::Scripts;
use super::store::Store;
use crate::upstream::ControlLink;

/// How many groups are asked at the same time whether they have anything in them.
const AT_ONCE: usize = 64;

/// The list in the backing.
#[derive(Debug)]
pub(super) struct Groups {
    link: Arc<ControlLink>,
    scripts: Arc<Scripts>,
}

impl Groups {
    pub(super) fn new(link: Arc<ControlLink>, scripts: Arc<Scripts>) -> Self {
        Groups { link, scripts }
    }

    pub(super) async fn enter(&self, group: &str) -> Result<(), DiscoveryError> {
        let script = &self.scripts.list_group;
        self.link.script(script, &[GROUPS], &[group]).await?;
        Ok(())
    }

    /// The groups with something in them, sorted.
    pub(super) async fn existing(&self, store: &Store) -> Result<Vec<String>, DiscoveryError> {
        let mut all = redis::cmd("ZRANGE");
        all.arg(GROUPS).arg(0).arg(-1).arg("WITHSCORES");
        let listed = read(self.link.command(&all).await?)?;
        let asked = stream::iter(listed)
            .map(|(group, entry)| async move {
                if store.tick(&group).await?.exists {
                    return Ok(Some(group));
                }
                let args = [group, entry];
                let off = self
                    .link
                    .script(&self.scripts.unlist_group, &[GROUPS], &args);
                off.await?;
                Ok::<_, DiscoveryError>(None)
            })
            .buffer_unordered(AT_ONCE);
        let mut existing: Vec<String> = asked
            .try_filter_map(async |group| Ok(group))
            .try_collect()
            .await?;
        existing.sort_unstable();
        Ok(existing)
    }
}

fn read(reply: Value) -> Result<Vec<(String, String)>, DiscoveryError> {
    Vec::from_redis_value(reply).map_err(|_| DiscoveryError::Damaged("the list of groups"))
}
