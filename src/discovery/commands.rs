//! `DISCOVERY.*`: carries the commands out and words their replies.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use super::arguments::{Command, NodeFilter, Watch};
use super::error::DiscoveryError;
use super::keys::rule_key;
use super::model::{Node, Registration};
use super::replies;
use super::rows::ROWS;
use super::service::Discovery;
use super::store::Joining;
use super::watch::{Subject, Watched};
use crate::command::{Answer, Call, Family, OwnRow, Rights, help};
use crate::random;
use crate::resp::{Proto, ReplyWriter};

/// Secrets are for those who may change anything.
const NO_SECRETS: &str =
    "NOPERM this user has no permissions to see credentials: WITHSECRETS needs +@admin";

/// The commands of service discovery.
#[derive(Debug)]
pub struct DiscoveryFamily {
    discovery: Arc<Discovery>,
}

impl DiscoveryFamily {
    /// The commands on this discovery.
    #[must_use]
    pub fn new(discovery: Arc<Discovery>) -> Self {
        DiscoveryFamily { discovery }
    }
}

impl Family for DiscoveryFamily {
    fn rows(&self) -> &'static [OwnRow] {
        ROWS
    }

    fn key(&self, call: &Call<'_>) -> Option<String> {
        let command = Command::read(call).ok()?;
        command.group().map(rule_key)
    }

    fn call(&self, call: &Call<'_>, reply: &mut Vec<u8>) -> Answer {
        if call.args[0].eq_ignore_ascii_case(b"DISCOVERY.HELP") {
            help(ROWS, reply);
            return Answer::Given;
        }
        let command = match Command::read(call) {
            Ok(command) => command,
            Err(text) => {
                ReplyWriter::new(reply, call.proto).error(text);
                return Answer::Given;
            }
        };
        if matches!(
            &command,
            Command::Get {
                with_secrets: true,
                ..
            }
        ) && !call.rights.is_admin()
        {
            ReplyWriter::new(reply, call.proto).error(NO_SECRETS);
            return Answer::Given;
        }
        let discovery = Arc::clone(&self.discovery);
        let proto = call.proto;
        let rights = call.rights.clone();
        match command {
            // Thousands may wait at the same time: what waits is no larger than it has to be.
            Command::Watch(watch) => {
                let peer = call.caller.peer.map(|peer| peer.ip().to_canonical());
                Answer::Blocked(Box::pin(watched(discovery, watch, peer, proto)))
            }
            command => Answer::Later(Box::pin(async move {
                discovery.answer(command, &rights, proto).await
            })),
        }
    }

    fn uses_backing(&self) -> bool {
        true
    }
}

impl Discovery {
    async fn answer(&self, command: Command, rights: &Rights, proto: Proto) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reply = ReplyWriter::new(&mut out, proto);
        if let Err(error) = self.carry_out(command, rights, &mut reply).await {
            reply.error(error.client_text());
        }
        out
    }

    async fn carry_out(
        &self,
        command: Command,
        rights: &Rights,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), DiscoveryError> {
        let store = &self.store;
        match command {
            Command::Register { of, registration } => {
                let written = registration.write().map_err(DiscoveryError::Refused)?;
                let entered = store.register(&of.group, &of.service, &written).await?;
                replies::registered(reply, &of, entered.index, entered.created);
            }
            Command::Join { .. } => self.join(command, reply).await?,
            Command::Heartbeat {
                of,
                node,
                lease,
                state,
            } => {
                let beat = store.heartbeat(&of.group, &of.service, &node, &lease, state);
                let ttl = beat.await?;
                reply.map(1);
                replies::ttl(reply, ttl);
            }
            Command::Leave { of, node, lease } => {
                let left = store.leave(&of.group, &of.service, &node, lease.as_deref());
                reply.integer(i64::from(left.await?));
            }
            Command::Get { of, with_secrets } => {
                let (index, written) = store.get(&of.group, &of.service).await?;
                match written.map(|written| Registration::read(&written)) {
                    Some(Some(known)) => {
                        replies::registration(reply, &of, index, &known, with_secrets);
                    }
                    Some(None) => return Err(DiscoveryError::Damaged("a registration")),
                    None => reply.null(),
                }
            }
            Command::Nodes { of, filter } => {
                let list = store.nodes(&of.group, Some(&of.service)).await?;
                let chosen: Vec<&Node> = list.nodes.iter().filter(|n| filter.takes(n)).collect();
                replies::nodes(reply, list.index, &chosen);
            }
            Command::Resolve { of } => match store.resolve(&of.group, &of.service).await? {
                Some(node) => replies::node(reply, &node, false),
                None => reply.null(),
            },
            Command::Services { group } => replies::names(reply, &store.services(&group).await?),
            Command::Groups => {
                let mut groups = store.groups().await?;
                groups.retain(|group| rights.may_use(rule_key(group).as_bytes()));
                replies::names(reply, &groups);
            }
            Command::Deregister { of } => {
                let removed = store.deregister(&of.group, &of.service).await?;
                reply.integer(i64::from(removed));
            }
            Command::DropGroup { group } => reply.integer(store.drop_group(&group).await?),
            // Is carried out apart.
            Command::Watch(_) => {}
        }
        Ok(())
    }

    async fn join(
        &self,
        command: Command,
        reply: &mut ReplyWriter<'_>,
    ) -> Result<(), DiscoveryError> {
        let Command::Join {
            of,
            node,
            ttl,
            keep,
            only_new,
            details,
        } = command
        else {
            return Ok(());
        };
        let payload = details.write().map_err(DiscoveryError::Refused)?;
        let lease = random::word();
        let joining = Joining {
            group: &of.group,
            service: &of.service,
            node: &node,
            lease: &lease,
            ttl,
            keep,
            only_new,
            payload: &payload,
        };
        let entered = self.store.join(&joining).await?;
        replies::joined(reply, &lease, ttl, entered.index, entered.created);
        Ok(())
    }
}

/// Waits, and words the reply.
async fn watched(
    discovery: Arc<Discovery>,
    watch: Watch,
    peer: Option<IpAddr>,
    proto: Proto,
) -> Vec<u8> {
    let with_service = watch.service.is_none();
    let waited = wait(discovery, watch, peer).await;
    let mut out = Vec::new();
    let mut reply = ReplyWriter::new(&mut out, proto);
    match waited {
        Ok(watched) => replies::watched(&mut reply, &watched, with_service),
        Err(error) => reply.error(error.client_text()),
    }
    out
}

async fn wait(
    discovery: Arc<Discovery>,
    watch: Watch,
    peer: Option<IpAddr>,
) -> Result<Watched, DiscoveryError> {
    let deadline = watch.timeout.map(|timeout| Instant::now() + timeout);
    let mut subscription = {
        let Watch { group, service, .. } = watch;
        let subject = service.map_or(Subject::Group, |name| Subject::Service(name.into()));
        discovery.watches.subscribe(&group, subject, peer)?
    };
    drop(discovery);
    subscription.wait_until(watch.index, deadline).await
}

impl NodeFilter {
    fn takes(&self, node: &Node) -> bool {
        let kept_too = self.all || self.state.is_some();
        (node.live || kept_too)
            && self.state.is_none_or(|state| node.state == state)
            && self.tag.as_ref().is_none_or(|tag| node.tags.contains(tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Endpoint;
    use crate::upstream::{Backing, ControlLink};
    use std::time::Duration;

    #[tokio::test]
    async fn a_wait_is_small() {
        let endpoint: Endpoint = "redis://localhost".parse().expect("a URL");
        let backing = Backing::new(endpoint, None);
        let second = Duration::from_secs(1);
        let link = ControlLink::new(backing, second, second);
        let discovery = Discovery::start(link, &tokio::runtime::Handle::current());
        let watch = Watch {
            group: "g".to_owned(),
            service: None,
            index: crate::discovery::index::Index::ZERO,
            timeout: None,
        };
        let waiting = watched(discovery, watch, None, Proto::Resp3);
        let bytes = size_of_val(&waiting);
        assert!(bytes <= 1024, "{bytes} bytes");
    }
}
