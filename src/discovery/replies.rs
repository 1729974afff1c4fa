//! The replies of the commands, field by field.

use super::arguments::Name;
use super::index::Index;
use super::model::{Node, Registration};
use super::watch::{Snapshot, Watched};
use crate::resp::{Proto, ReplyWriter};

/// What is shown instead of credentials.
const REDACTED: &str = "***";

fn text(reply: &mut ReplyWriter<'_>, name: &str, value: impl AsRef<[u8]>) {
    reply.bulk(name);
    reply.bulk(value);
}

fn optional(reply: &mut ReplyWriter<'_>, name: &str, value: Option<&Vec<u8>>) {
    reply.bulk(name);
    match value {
        Some(value) => reply.bulk(value),
        None => reply.null(),
    }
}

fn pairs(reply: &mut ReplyWriter<'_>, name: &str, pairs: &[(String, Vec<u8>)]) {
    reply.bulk(name);
    reply.map(pairs.len());
    for (name, value) in pairs {
        text(reply, name, value);
    }
}

fn index(reply: &mut ReplyWriter<'_>, index: Index) {
    text(reply, "index", index.to_string());
}

/// Milliseconds, or a null for what does not end.
pub(super) fn ttl(reply: &mut ReplyWriter<'_>, ttl: Option<std::time::Duration>) {
    reply.bulk("ttl_ms");
    match ttl {
        Some(ttl) => reply.integer(i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX)),
        None => reply.null(),
    }
}

/// `service group index created`.
pub(super) fn registered(reply: &mut ReplyWriter<'_>, of: &Name, at: Index, created: bool) {
    reply.map(4);
    text(reply, "service", &of.service);
    text(reply, "group", &of.group);
    index(reply, at);
    reply.bulk("created");
    reply.boolean(created);
}

/// `lease ttl_ms index created`.
pub(super) fn joined(
    reply: &mut ReplyWriter<'_>,
    lease: &str,
    lasts: Option<std::time::Duration>,
    at: Index,
    created: bool,
) {
    reply.map(4);
    text(reply, "lease", lease);
    ttl(reply, lasts);
    index(reply, at);
    reply.bulk("created");
    reply.boolean(created);
}

/// `service group endpoint type auth backend description meta index`.
pub(super) fn registration(
    reply: &mut ReplyWriter<'_>,
    of: &Name,
    at: Index,
    known: &Registration,
    with_secrets: bool,
) {
    reply.map(9);
    text(reply, "service", &of.service);
    text(reply, "group", &of.group);
    text(reply, "endpoint", &known.endpoint);
    optional(reply, "type", known.kind.as_ref());
    reply.bulk("auth");
    match &known.auth {
        None => reply.null(),
        Some((kind, credentials)) => {
            reply.map(2);
            text(reply, "type", kind);
            let shown = if with_secrets {
                credentials.as_slice()
            } else {
                REDACTED.as_bytes()
            };
            text(reply, "credentials", shown);
        }
    }
    optional(reply, "backend", known.backend.as_ref());
    optional(reply, "description", known.description.as_ref());
    pairs(reply, "meta", &known.meta);
    index(reply, at);
}

/// `index nodes`.
pub(super) fn nodes(reply: &mut ReplyWriter<'_>, at: Index, nodes: &[&Node]) {
    reply.map(2);
    index(reply, at);
    reply.bulk("nodes");
    reply.array(nodes.len());
    for each in nodes {
        node(reply, each, false);
    }
}

/// `node addr state ttl_ms tags facts`, with `service` in front where there may be several.
pub(super) fn node(reply: &mut ReplyWriter<'_>, node: &Node, with_service: bool) {
    reply.map(6 + usize::from(with_service));
    if with_service {
        text(reply, "service", &node.service);
    }
    text(reply, "node", &node.name);
    reply.bulk("addr");
    match &node.addr {
        Some(addr) => reply.bulk(addr.to_string()),
        None => reply.null(),
    }
    text(reply, "state", node.state.name());
    ttl(reply, node.ttl);
    reply.bulk("tags");
    reply.array(node.tags.len());
    for tag in &node.tags {
        reply.bulk(tag);
    }
    pairs(reply, "facts", &node.facts);
}

/// `index changed nodes`; the nodes are encoded once for all who watch.
pub(super) fn watched(reply: &mut ReplyWriter<'_>, watched: &Watched, with_service: bool) {
    let Snapshot { list, encoded, .. } = &*watched.snapshot;
    let proto = reply.proto();
    let nodes = encoded[usize::from(proto == Proto::Resp3)].get_or_init(|| {
        let mut bytes = Vec::new();
        let mut reply = ReplyWriter::new(&mut bytes, proto);
        let live = list.nodes.iter().filter(|node| node.live);
        reply.array(live.clone().count());
        live.for_each(|each| node(&mut reply, each, with_service));
        bytes
    });
    reply.map(3);
    index(reply, list.index);
    reply.bulk("changed");
    reply.boolean(watched.changed);
    reply.bulk("nodes");
    reply.raw(nodes);
}

/// A list of names.
pub(super) fn names(reply: &mut ReplyWriter<'_>, names: &[String]) {
    reply.array(names.len());
    for name in names {
        reply.bulk(name);
    }
}
