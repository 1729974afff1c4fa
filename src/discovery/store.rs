//! The operations, each one script at the backing, with typed arguments and results.
//!
//! Keeps nothing itself.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use redis::Value;
use tracing::debug;

use super::error::DiscoveryError;
use super::groups::Groups;
use super::index::Index;
use super::keys;
use super::model::{Node, NodeList, NodeState};
use super::names::{GROUP_NODES, SERVICE_NODES, SERVICES};
use super::presence::Presence;
use super::scripts::Scripts;
use crate::random;
use crate::upstream::{ControlError, ControlLink, ControlScript, NodeId};

/// How often an operation is begun again because this Respite had not been there. One that was
/// frozen needs two.
const ATTEMPTS: usize = 4;

/// How many groups are asked at the same time whether they have anything in them.
const GROUPS_AT_ONCE: usize = 64;

/// The operations on the groups.
#[derive(Debug)]
pub(super) struct Store {
    link: Arc<ControlLink>,
    scripts: Arc<Scripts>,
    presence: Arc<Presence>,
    groups: Groups,
}

/// What joining or registering ended with.
#[derive(Debug)]
pub(super) struct Entered {
    pub(super) index: Index,
    pub(super) created: bool,
}

/// A node that joins.
#[derive(Debug)]
pub(super) struct Joining<'a> {
    pub(super) group: &'a str,
    pub(super) service: &'a str,
    pub(super) node: &'a str,
    pub(super) lease: &'a str,
    pub(super) ttl: Option<Duration>,
    pub(super) keep: Duration,
    pub(super) only_new: bool,
    pub(super) payload: &'a [u8],
}

/// Where a group is, and what comes next.
#[derive(Debug)]
pub(super) struct Tick {
    pub(super) index: Index,
    /// Until the next node lapses or is forgotten, if one will.
    pub(super) wait: Option<Duration>,
    /// Whether there is anything in the group.
    pub(super) exists: bool,
}

/// What a script replied, value by value.
struct Replied(std::vec::IntoIter<Value>);

impl Store {
    pub(super) fn new(link: Arc<ControlLink>) -> Arc<Self> {
        let scripts = Arc::new(Scripts::new());
        let presence = Presence::new(Arc::clone(&link), Arc::clone(&scripts));
        Arc::new(Store {
            groups: Groups::new(Arc::clone(&link), Arc::clone(&scripts)),
            link,
            scripts,
            presence: Arc::new(presence),
        })
    }

    pub(super) fn link(&self) -> &Arc<ControlLink> {
        &self.link
    }

    /// The node that has a group, if somebody has it.
    pub(super) fn node_of(&self, group: &str) -> Option<NodeId> {
        self.link.node_of(&keys::events(group))
    }

    pub(super) fn presence(&self) -> &Arc<Presence> {
        &self.presence
    }

    pub(super) async fn register(
        &self,
        group: &str,
        service: &str,
        registration: &[u8],
    ) -> Result<Entered, DiscoveryError> {
        let most = SERVICES.to_string();
        let args = [service.as_bytes(), registration, most.as_bytes()];
        let replied = self.run(&self.scripts.register, group, &args).await?;
        self.entered(group, replied).await
    }

    pub(super) async fn join(&self, joining: &Joining<'_>) -> Result<Entered, DiscoveryError> {
        let ttl = millis(joining.ttl.unwrap_or_default());
        let keep = millis(joining.keep);
        let (of_service, of_group) = (SERVICE_NODES.to_string(), GROUP_NODES.to_string());
        let args = [
            joining.service.as_bytes(),
            joining.node.as_bytes(),
            joining.lease.as_bytes(),
            ttl.as_bytes(),
            keep.as_bytes(),
            if joining.only_new { b"NX" } else { b"" },
            joining.payload,
            of_service.as_bytes(),
            of_group.as_bytes(),
        ];
        let run = self.run(&self.scripts.join, joining.group, &args);
        self.entered(joining.group, run.await?).await
    }

    /// Renews a lease; returns its TTL, if it has one.
    pub(super) async fn heartbeat(
        &self,
        group: &str,
        service: &str,
        node: &str,
        lease: &[u8],
        state: Option<NodeState>,
    ) -> Result<Option<Duration>, DiscoveryError> {
        let state = state.map_or("", NodeState::name);
        let args = [service.as_bytes(), node.as_bytes(), lease, state.as_bytes()];
        let mut replied = self.run(&self.scripts.heartbeat, group, &args).await?;
        let ttl = replied.int()?;
        if replied.int()? == 1 {
            let revision = replied.revision()?;
            self.enter_into_list(group, revision).await;
        }
        Ok(u64::try_from(ttl).ok().map(Duration::from_millis))
    }

    pub(super) async fn leave(
        &self,
        group: &str,
        service: &str,
        node: &str,
        lease: Option<&[u8]>,
    ) -> Result<bool, DiscoveryError> {
        let args = [
            service.as_bytes(),
            node.as_bytes(),
            lease.unwrap_or_default(),
        ];
        let mut replied = self.run(&self.scripts.leave, group, &args).await?;
        Ok(replied.int()? == 1)
    }

    /// The registration as it was written, if there is one.
    pub(super) async fn get(
        &self,
        group: &str,
        service: &str,
    ) -> Result<(Index, Option<Vec<u8>>), DiscoveryError> {
        let args = [service.as_bytes()];
        let mut replied = self.run(&self.scripts.get, group, &args).await?;
        Ok((replied.index()?, replied.bytes().ok()))
    }

    /// The nodes of a service, or of all services of the group.
    pub(super) async fn nodes(
        &self,
        group: &str,
        service: Option<&str>,
    ) -> Result<NodeList, DiscoveryError> {
        let args: [&[u8]; 2] = match service {
            Some(service) => [service.as_bytes(), b""],
            None => [b"", b"*"],
        };
        let mut replied = self.run(&self.scripts.nodes, group, &args).await?;
        let index = replied.index()?;
        let changed = replied.revision()?;
        let mut nodes = Vec::with_capacity(replied.0.len() / 4);
        while replied.0.len() > 0 {
            let (member, record) = (replied.bytes()?, replied.bytes()?);
            let (left, live) = (replied.int()?, replied.int()? == 1);
            let node = Node::read(&member, &record, left, live);
            nodes.push(node.ok_or(DiscoveryError::Damaged("a node"))?);
        }
        Ok(NodeList {
            index,
            changed,
            nodes,
        })
    }

    pub(super) async fn resolve(
        &self,
        group: &str,
        service: &str,
    ) -> Result<Option<Node>, DiscoveryError> {
        let args = [service.as_bytes()];
        let mut replied = self.run(&self.scripts.resolve, group, &args).await?;
        if replied.0.len() == 0 {
            return Ok(None);
        }
        let (member, record, left) = (replied.bytes()?, replied.bytes()?, replied.int()?);
        let node = Node::read(&member, &record, left, true);
        node.ok_or(DiscoveryError::Damaged("a node")).map(Some)
    }

    /// The services that are registered or have nodes, sorted.
    pub(super) async fn services(&self, group: &str) -> Result<Vec<String>, DiscoveryError> {
        let mut replied = self.run(&self.scripts.services, group, &[]).await?;
        let mut services = Vec::with_capacity(replied.0.len());
        while replied.0.len() > 0 {
            services.push(replied.text()?);
        }
        services.sort_unstable();
        Ok(services)
    }

    /// The groups with something in them, sorted.
    pub(super) async fn groups(&self) -> Result<Vec<String>, DiscoveryError> {
        let asked = stream::iter(self.groups.entered().await?)
            .map(|(group, entry)| async move {
                if self.tick(&group).await?.exists {
                    return Ok(Some(group));
                }
                self.groups.take_off(group, entry).await?;
                Ok::<_, DiscoveryError>(None)
            })
            .buffer_unordered(GROUPS_AT_ONCE);
        let mut existing: Vec<String> = asked
            .try_filter_map(async |group| Ok(group))
            .try_collect()
            .await?;
        existing.sort_unstable();
        Ok(existing)
    }

    pub(super) async fn deregister(
        &self,
        group: &str,
        service: &str,
    ) -> Result<bool, DiscoveryError> {
        let args = [service.as_bytes()];
        let mut replied = self.run(&self.scripts.deregister, group, &args).await?;
        Ok(replied.int()? == 1)
    }

    /// Empties a group; returns how many services it had.
    pub(super) async fn drop_group(&self, group: &str) -> Result<i64, DiscoveryError> {
        let mut replied = self.run(&self.scripts.drop, group, &[]).await?;
        replied.int()
    }

    pub(super) async fn tick(&self, group: &str) -> Result<Tick, DiscoveryError> {
        let mut replied = self.run(&self.scripts.tick, group, &[]).await?;
        let index = replied.index()?;
        let wait = u64::try_from(replied.int()?).ok();
        Ok(Tick {
            index,
            wait: wait.map(Duration::from_millis),
            exists: replied.int()? == 1,
        })
    }

    /// The place of the newest event of a group, if there is one.
    pub(super) async fn newest_event(
        &self,
        group: &str,
    ) -> Result<Option<(u64, u64)>, ControlError> {
        let events = [keys::events(group)];
        let newest = self
            .link
            .script(&self.scripts.tip, &events, &[] as &[&str])
            .await?;
        Ok(match newest {
            Value::BulkString(id) => std::str::from_utf8(&id).ok().and_then(parse_event),
            _ => None,
        })
    }

    /// Runs a script on a group, with what every one of them wants to know in front.
    async fn run(
        &self,
        script: &ControlScript,
        group: &str,
        args: &[&[u8]],
    ) -> Result<Replied, DiscoveryError> {
        let keys = keys::of_group(group);
        let epoch = random::word();
        for _ in 0..ATTEMPTS {
            let seen = self.presence.seen(&keys[0]);
            let mut all: Vec<&[u8]> = vec![&seen.now, &seen.ended, &seen.outages];
            all.push(epoch.as_bytes());
            all.extend(args);
            let value = self.link.script(script, &keys, &all).await?;
            let mut replied = Replied::new(value)?;
            match replied.bytes()?.as_slice() {
                b"OK" => return Ok(replied),
                b"NOLEASE" => return Err(DiscoveryError::NoLease),
                b"LEASEMISMATCH" => return Err(DiscoveryError::LeaseMismatch),
                b"EXISTS" => return Err(DiscoveryError::Exists),
                b"FULL" => return Err(DiscoveryError::Full("services or nodes in the group")),
                b"ABSENT" => self.presence.renew(&seen).await?,
                _ => return Err(DiscoveryError::Damaged("a script's reply")),
            }
        }
        Err(DiscoveryError::Slow)
    }

    async fn entered(&self, group: &str, mut replied: Replied) -> Result<Entered, DiscoveryError> {
        let index = replied.index()?;
        let created = replied.int()? == 1;
        if replied.int()? == 1 {
            self.enter_into_list(group, index.revision()).await;
        }
        Ok(Entered { index, created })
    }

    /// Enters a group into the list of groups. When that fails, the next node that is heard of does it.
    async fn enter_into_list(&self, group: &str, revision: u64) {
        let revision = revision.to_string();
        let listed = async {
            self.groups.enter(group).await?;
            let args = [revision.as_bytes()];
            self.run(&self.scripts.listed, group, &args).await
        };
        if let Err(error) = listed.await {
            debug!(group, "not entered into the list of groups: {error}");
        }
    }
}

/// Reads the id of an event, `revision-n`.
pub(super) fn parse_event(id: &str) -> Option<(u64, u64)> {
    let (revision, n) = id.split_once('-')?;
    Some((revision.parse().ok()?, n.parse().ok()?))
}

/// Whole milliseconds as the scripts read them.
fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

impl Replied {
    fn new(value: Value) -> Result<Self, DiscoveryError> {
        match value {
            Value::Array(values) => Ok(Replied(values.into_iter())),
            _ => Err(DiscoveryError::Damaged("a script's reply")),
        }
    }

    fn bytes(&mut self) -> Result<Vec<u8>, DiscoveryError> {
        match self.0.next() {
            Some(Value::BulkString(bytes)) => Ok(bytes),
            _ => Err(DiscoveryError::Damaged("a script's reply")),
        }
    }

    fn text(&mut self) -> Result<String, DiscoveryError> {
        let text = String::from_utf8(self.bytes()?);
        text.map_err(|_| DiscoveryError::Damaged("a name"))
    }

    fn int(&mut self) -> Result<i64, DiscoveryError> {
        match self.0.next() {
            Some(Value::Int(number)) => Ok(number),
            _ => Err(DiscoveryError::Damaged("a script's reply")),
        }
    }

    fn revision(&mut self) -> Result<u64, DiscoveryError> {
        let text = self.text()?;
        text.parse()
            .map_err(|_| DiscoveryError::Damaged("a revision"))
    }

    fn index(&mut self) -> Result<Index, DiscoveryError> {
        let epoch = self.bytes()?;
        let revision = self.revision()?;
        Index::new(&epoch, revision).ok_or(DiscoveryError::Damaged("an epoch"))
    }
}
