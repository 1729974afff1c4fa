//! Commands of Respite's own on a cluster: each at the node that has its key.
//!
//! A command that a node did not take, or that could not be sent, goes to whoever has the slot then. One that
//! may have been executed is sent again only if it says that it may be.

use std::time::{Duration, Instant};

use redis::{Cmd, Value};
use tokio::time::sleep;

use super::{ControlError, ControlLink};
use crate::slot::{slot_of, tag_of};
use crate::upstream::cluster::Whither;
use crate::upstream::error::{Sent, UpstreamError};
use crate::upstream::topology::{HOME, NodeId};

/// The wait before a command is sent again.
const AGAIN: Duration = Duration::from_millis(50);

/// A key that nobody writes, in the slot of another one.
///
/// A script may use keys that are not there yet, or that it does not declare. While its slot moves, a node would
/// refuse it such a key in its middle, when it has written others already. With a declared key that is never
/// there the node refuses the whole script as long as the slot moves, with `TRYAGAIN`: see `getNodeByQuery` in
/// Redis' cluster.c.
pub(super) fn absent(key: &str) -> String {
    let tag = String::from_utf8_lossy(tag_of(key.as_bytes())).into_owned();
    format!("respite:{{{tag}}}:absent")
}

impl ControlLink {
    /// The node that has a key, if somebody has it.
    #[must_use]
    pub fn node_of(&self, key: &str) -> Option<NodeId> {
        match self.backing.is_cluster() {
            true => self.backing.topology().owner(slot_of(key.as_bytes())),
            false => Some(HOME),
        }
    }

    /// Waits until another node has a key than this one.
    pub async fn leaves(&self, key: &str, node: NodeId) {
        let mut topologies = self.backing.watch_topology();
        loop {
            if self.node_of(key).is_some_and(|now| now != node) {
                return;
            }
            if topologies.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Executes a command at whoever has the slot of its key.
    pub(super) async fn placed(
        &self,
        key: &str,
        command: &Cmd,
        repeatable: bool,
    ) -> Result<Value, ControlError> {
        let slot = slot_of(key.as_bytes());
        let failover = self.patience().failover;
        let mut end = Instant::now() + failover;
        let mut asking = None;
        let mut moved = false;
        loop {
            let owner = self.backing.topology().owner(slot);
            let node = asking.or(owner);
            let replied = match node {
                Some(node) => self.once(node, asking.take().is_some(), command).await,
                None => Err(ControlError::Upstream(UpstreamError::NoMaster, Sent::No)),
            };
            let failed = match replied {
                Ok(value) => {
                    self.note_served(node);
                    return Ok(value);
                }
                Err(failed) => failed,
            };
            let Some(to) = whither(&failed, repeatable) else {
                return Err(failed);
            };
            if let ControlError::Server(said) = &failed {
                self.backing.note_redirect(said.as_bytes());
            }
            let mut wait = AGAIN;
            match to {
                Whither::Moved(slot, address) => {
                    self.backing.moved(slot, &address);
                    // Two nodes may each name the other for a while.
                    if !std::mem::replace(&mut moved, true) {
                        wait = Duration::ZERO;
                    }
                }
                Whither::Ask(_, address) => {
                    asking = self.backing.node_at(&address);
                    if asking.is_some() {
                        wait = Duration::ZERO;
                    }
                }
                Whither::Again => self.backing.doubt(),
            }
            if let ControlError::Upstream(..) = &failed {
                end = end.min(self.note_away(node) + failover);
            }
            if Instant::now() + wait >= end {
                return Err(in_vain(failed));
            }
            sleep(wait).await;
        }
    }

    /// Since when a node could not be reached.
    fn note_away(&self, node: Option<NodeId>) -> Instant {
        let node = node.unwrap_or(HOME);
        *self.away.entry(node).or_insert_with(Instant::now)
    }

    fn note_served(&self, node: Option<NodeId>) {
        if let Some(node) = node
            && !self.away.is_empty()
        {
            self.away.remove(&node);
        }
    }
}

/// What is told of a command that nobody took for so long.
fn in_vain(failed: ControlError) -> ControlError {
    match &failed {
        ControlError::Server(text) if !text.starts_with("CLUSTERDOWN") => {
            ControlError::Upstream(UpstreamError::Untaken(text.clone()), Sent::No)
        }
        _ => failed,
    }
}

/// Where a command goes that ended so; none when it may have been executed and must not be again, or would not be by
/// anybody.
fn whither(failed: &ControlError, repeatable: bool) -> Option<Whither> {
    let text = match failed {
        ControlError::Upstream(error, Sent::No) if !error.is_refusal() => {
            return Some(Whither::Again);
        }
        ControlError::Upstream(UpstreamError::Lost(_), Sent::Yes) if repeatable => {
            return Some(Whither::Again);
        }
        ControlError::Upstream(..) => return None,
        ControlError::Server(text) => text,
    };
    match text.split(' ').next()? {
        "TRYAGAIN" | "CLUSTERDOWN" | "LOADING" | "MASTERDOWN" => Some(Whither::Again),
        _ => Whither::named(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    #[test]
    fn what_may_have_been_executed_goes_nowhere() {
        let server = |text: &str| ControlError::Server(text.to_owned());
        let lost = |sent| ControlError::Upstream(UpstreamError::closed(), sent);
        for failed in [
            lost(Sent::Yes),
            server("ERR Error running script: @user_script: CLUSTERDOWN"),
            server("BUSY Redis is busy"),
            server("OOM command not allowed"),
        ] {
            assert!(whither(&failed, false).is_none(), "{failed}");
        }
        for failed in [
            lost(Sent::No),
            server("TRYAGAIN Multiple keys"),
            server("LOADING x"),
            server("MOVED 1 :7"),
        ] {
            assert!(
                matches!(whither(&failed, false), Some(Whither::Again)),
                "{failed}"
            );
        }
        let moved = whither(&server("MOVED 5 ::1:7000"), false);
        assert!(
            matches!(moved, Some(Whither::Moved(5, Address::Tcp { host, port: 7000 })) if host == "::1")
        );
        let ask = whither(&server("ASK 5 10.0.0.1:7"), false);
        assert!(matches!(ask, Some(Whither::Ask(..))));
    }

    #[test]
    fn what_changes_nothing_is_asked_for_again() {
        let lost = ControlError::Upstream(UpstreamError::closed(), Sent::Yes);
        assert!(matches!(whither(&lost, true), Some(Whither::Again)));
        // Whoever does not answer in time is not asked for longer.
        let late = ControlError::Upstream(UpstreamError::ReplyTimeout, Sent::Yes);
        assert!(whither(&late, true).is_none());
    }

    #[test]
    fn the_absent_key_is_in_the_slot_of_the_key() {
        for key in ["respite:b:{a}:m", "respite:d::groups", "respite:f:shards"] {
            let absent = absent(key);
            assert_eq!(
                slot_of(absent.as_bytes()),
                slot_of(key.as_bytes()),
                "{absent}"
            );
            assert!(absent.starts_with("respite:"));
        }
    }
}
