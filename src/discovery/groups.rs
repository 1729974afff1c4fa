//! The list of groups, apart from the groups themselves: in a cluster it is on a node of its own,
//! so no script can keep it in step with them.
//!
//! A group is entered after something was put into it, and again until that is known to have worked. One
//! that turns out to be empty is taken off, unless it was entered again meanwhile.

use std::sync::Arc;

use redis::{FromRedisValue, Value};

use super::error::DiscoveryError;
use super::keys::GROUPS;
use super::names::{LISTED_GROUPS, NAME_BYTES};
use super::scripts::Scripts;
use crate::upstream::ControlLink;

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

    /// The groups that were entered, each with its entry.
    pub(super) async fn entered(&self) -> Result<Vec<(String, String)>, DiscoveryError> {
        let most = [LISTED_GROUPS.to_string(), NAME_BYTES.to_string()];
        let script = &self.scripts.groups;
        read(self.link.script(script, &[GROUPS], &most).await?)
    }

    /// Takes a group off that has nothing in it, unless it was entered again meanwhile.
    pub(super) async fn take_off(
        &self,
        group: String,
        entry: String,
    ) -> Result<(), DiscoveryError> {
        let script = &self.scripts.unlist_group;
        self.link.script(script, &[GROUPS], &[group, entry]).await?;
        Ok(())
    }
}

fn read(reply: Value) -> Result<Vec<(String, String)>, DiscoveryError> {
    Vec::from_redis_value(reply).map_err(|_| DiscoveryError::Damaged("the list of groups"))
}
