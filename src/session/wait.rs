//! `WAIT` behind a cluster: asks the masters that this client has written to, and takes the least.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::client::Session;
use super::dispatch::Flow;
use super::hello::number;
use super::request::Request;
use super::settings::Settings;
use super::written::Written;
use crate::upstream::{HOME, NodeId, replicated};

const NO_AOF: &str = "ERR WAITAOF is not available through Respite behind a cluster: a node counts for its own \
    connection only, and does not tell how far its replicas have come on disk";

impl Session {
    pub(super) fn wait_for_replicas(&mut self, request: Request<'_>, settings: &Settings) -> Flow {
        if request.args.len() > 3 {
            return self.answer_error(NO_AOF);
        }
        let Some(wanted) = number(&request.args[1]) else {
            return self.answer_error("ERR value is not an integer or out of range");
        };
        let time = match number(&request.args[2]) {
            Some(time) => match u64::try_from(time) {
                Ok(time) => time,
                Err(_) => return self.answer_error("ERR timeout is negative"),
            },
            None => return self.answer_error("ERR timeout is not an integer or out of range"),
        };
        if self.replies.outstanding() + self.replies.later() > 0 {
            return Flow::Wait;
        }
        let backing = Arc::clone(&self.worker.shared.backing);
        let nodes = nodes_of(&self.ways.written, &backing.topology());
        let connect = settings.timeouts.connect;
        let end = (time > 0).then(|| Instant::now() + Duration::from_millis(time));
        let wanted = usize::try_from(wanted).unwrap_or(0);
        self.occupy_blocked(Box::pin(async move {
            let mut least = usize::MAX;
            for (node, wrote) in nodes {
                match replicated(&backing, node, wrote, wanted, end, connect).await {
                    Ok(count) => least = least.min(count),
                    Err(error) => return format!("-UPSTREAM {error}\r\n").into_bytes(),
                }
            }
            format!(":{least}\r\n").into_bytes()
        }));
        Flow::Done
    }
}

/// The masters that have what was written, or any if nothing was.
fn nodes_of(written: &Written, topology: &crate::upstream::Topology) -> Vec<(NodeId, bool)> {
    let mut nodes: Vec<_> = match written.slots() {
        None => topology
            .nodes()
            .iter()
            .map(|node| (node.id, true))
            .collect(),
        Some(slots) => {
            let owners = slots.iter().filter_map(|slot| topology.owner(*slot));
            owners.map(|node| (node, true)).collect()
        }
    };
    nodes.sort_unstable();
    nodes.dedup();
    if nodes.is_empty() {
        nodes.push((HOME, false));
    }
    nodes
}
