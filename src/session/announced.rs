//! Respite as a cluster of one node: what it says of itself. Does not know what is behind it.

use sha2::{Digest, Sha256};

use crate::config::Announce;
use crate::resp::ReplyWriter;

/// The last of all slots.
const LAST_SLOT: i64 = 16_383;
/// A node's port for other nodes is so much above that for clients. There are no other nodes.
const BUS_PORT: u16 = 10_000;
const HELP: &[&str] = &[
    "CLUSTER <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "COUNTKEYSINSLOT <slot>",
    "    Return the number of keys in <slot>.",
    "GETKEYSINSLOT <slot> <count>",
    "    Return key names stored by current node in a slot.",
    "INFO",
    "    Return information about the cluster.",
    "KEYSLOT <key>",
    "    Return the hash slot for <key>.",
    "LINKS",
    "    Return information about all network links between this node and its peers.",
    "MYID",
    "    Return the node id.",
    "MYSHARDID",
    "    Return the node's shard id.",
    "NODES",
    "    Return cluster configuration seen by node. Output format:",
    "    <id> <ip:port> <flags> <master> <pings> <pongs> <epoch> <link> <slot> ...",
    "REPLICAS <node-id>",
    "    Return <node-id> replicas.",
    "SHARDS",
    "    Return information about slot range mappings and the nodes associated with them.",
    "SLOTS",
    "    Return information about slots range mappings. Each range is made of:",
    "    start, end, master and replicas IP addresses, ports and ids",
    "HELP",
    "    Prints this help.",
];

/// The one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announced {
    host: String,
    port: u16,
    /// Clients connect with TLS.
    tls: bool,
    /// As long as it is found at the same place it is the same node.
    id: String,
    shard_id: String,
}

impl Announced {
    /// A node that clients find there, with TLS or without.
    #[must_use]
    pub fn new(announce: &Announce, tls: bool) -> Self {
        let digest = |what: &str| {
            let digest = Sha256::digest(format!("{what} {announce}"));
            let hex = digest.iter().map(|byte| format!("{byte:02x}"));
            let mut hex: String = hex.collect();
            // As long as that of a Redis.
            hex.truncate(40);
            hex
        };
        Announced {
            host: announce.host.clone(),
            port: announce.port,
            tls,
            id: digest("node"),
            shard_id: digest("shard"),
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn shard_id(&self) -> &str {
        &self.shard_id
    }

    /// `CLUSTER SLOTS`
    pub(super) fn slots(&self, reply: &mut ReplyWriter<'_>) {
        reply.array(1);
        reply.array(3);
        reply.integer(0);
        reply.integer(LAST_SLOT);
        reply.array(4);
        reply.bulk(&self.host);
        reply.integer(i64::from(self.port));
        reply.bulk(&self.id);
        reply.array(0);
    }

    /// `CLUSTER SHARDS`
    pub(super) fn shards(&self, reply: &mut ReplyWriter<'_>) {
        reply.array(1);
        reply.map(2);
        reply.bulk("slots");
        reply.array(2);
        reply.integer(0);
        reply.integer(LAST_SLOT);
        reply.bulk("nodes");
        reply.array(1);
        reply.map(7);
        reply.bulk("id");
        reply.bulk(&self.id);
        reply.bulk(if self.tls { "tls-port" } else { "port" });
        reply.integer(i64::from(self.port));
        for (name, text) in [
            ("ip", self.host.as_str()),
            ("endpoint", &self.host),
            ("role", "master"),
        ] {
            reply.bulk(name);
            reply.bulk(text);
        }
        reply.bulk("replication-offset");
        reply.integer(0);
        reply.bulk("health");
        reply.bulk("online");
    }

    /// `CLUSTER NODES`
    pub(super) fn nodes(&self, reply: &mut ReplyWriter<'_>) {
        let Announced { host, port, id, .. } = self;
        let bus = port.checked_add(BUS_PORT).unwrap_or(0);
        let line =
            format!("{id} {host}:{port}@{bus} myself,master - 0 0 1 connected 0-{LAST_SLOT}\n");
        reply.verbatim("txt", line.as_bytes());
    }

    /// `CLUSTER INFO`; whether what is behind can be used.
    pub(super) fn info(is_usable: bool, reply: &mut ReplyWriter<'_>) {
        let state = if is_usable { "ok" } else { "fail" };
        let slots = LAST_SLOT + 1;
        let text = format!(
            "cluster_state:{state}\r\ncluster_slots_assigned:{slots}\r\ncluster_slots_ok:{slots}\r\n\
             cluster_slots_pfail:0\r\ncluster_slots_fail:0\r\ncluster_known_nodes:1\r\ncluster_size:1\r\n\
             cluster_current_epoch:1\r\ncluster_my_epoch:1\r\ncluster_stats_messages_sent:0\r\n\
             cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n"
        );
        reply.verbatim("txt", text.as_bytes());
    }

    /// `CLUSTER HELP`
    pub(super) fn help(reply: &mut ReplyWriter<'_>) {
        reply.array(HELP.len());
        HELP.iter().for_each(|line| reply.simple(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::Proto;

    #[test]
    fn a_node_is_the_same_as_long_as_it_is_at_the_same_place() {
        let at = |text: &str| Announced::new(&text.parse().expect("an address"), false);
        assert_eq!(at("a:1").id(), at("a:1").id());
        assert_eq!(at("a:1").id().len(), 40);
        assert_ne!(at("a:1").id(), at("a:2").id());
        assert_ne!(at("a:1").id(), at("a:1").shard_id());
        let mut out = Vec::new();
        at("a:60000").nodes(&mut ReplyWriter::new(&mut out, Proto::Resp2));
        let text = String::from_utf8(out).expect("text");
        assert!(text.contains(" a:60000@0 myself,master "), "{text}");
    }
}
