//! Services and nodes as they are told to others, and as they are written down.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::fields::{FieldReader, FieldWriter};
use super::index::Index;
use super::names::TOTAL_BYTES;

/// How a node says that it is. Only passing nodes are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NodeState {
    /// All is well.
    Passing,
    /// It works, but somebody should look.
    Warning,
    /// It does not work; also a node that has lapsed and is kept.
    Critical,
    /// It works, but wants no new work.
    Draining,
}

/// One node of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The service that it belongs to.
    pub service: String,
    /// Its name, unique in the service.
    pub name: String,
    /// Where it is; none when it joined over a unix socket and named no address.
    pub addr: Option<NodeAddr>,
    /// Its state.
    pub state: NodeState,
    /// What is left of its lease; none for a node that stays until it leaves.
    pub ttl: Option<Duration>,
    /// Whether its lease is good; a node that has lapsed may be kept for a while.
    pub live: bool,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it says of its host.
    pub facts: Vec<(String, Vec<u8>)>,
}

/// Where a node is. Shown as `host:port`, `[host]:port` for IPv6, without the port if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeAddr {
    /// A name or an address.
    pub host: String,
    /// None when the node named no address: then the host is where it joined from.
    pub port: Option<u16>,
}

/// The nodes of a service, or of a whole group, at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeList {
    /// Where the group was.
    pub index: Index,
    /// The group's revision at the last change of what was asked for.
    pub changed: u64,
    /// By service and name; kept nodes among them.
    pub nodes: Vec<Node>,
}

/// What a node says of itself when it joins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NodeDetails {
    pub(super) addr: Option<NodeAddr>,
    pub(super) tags: Vec<String>,
    pub(super) facts: Vec<(String, Vec<u8>)>,
}

/// What is known of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Registration {
    pub(super) endpoint: Vec<u8>,
    pub(super) kind: Option<Vec<u8>>,
    /// The type and the credentials.
    pub(super) auth: Option<(Vec<u8>, Vec<u8>)>,
    pub(super) backend: Option<Vec<u8>>,
    pub(super) description: Option<Vec<u8>>,
    pub(super) meta: Vec<(String, Vec<u8>)>,
}

// === impl NodeState ===

impl NodeState {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Draining => "draining",
        }
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for NodeState {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let all = [Self::Passing, Self::Warning, Self::Critical, Self::Draining];
        let found = all.iter().find(|s| s.name().eq_ignore_ascii_case(text));
        found.copied().ok_or(())
    }
}

// === impl NodeAddr ===

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v6 = self.host.contains(':');
        let (open, close) = if v6 { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

// === impl Node ===

impl Node {
    /// Reads a node from what the scripts reply; `left` is negative for a node without a TTL.
    pub(super) fn read(member: &[u8], record: &[u8], left: i64, live: bool) -> Option<Self> {
        let mut names = member.splitn(2, |byte| *byte == 1);
        let mut name = || String::from_utf8(names.next()?.to_vec()).ok();
        let (service, name) = (name()?, name()?);
        let mut words = record.splitn(5, |byte| *byte == b' ');
        let state: NodeState = std::str::from_utf8(words.nth(3)?).ok()?.parse().ok()?;
        let details = NodeDetails::read(words.next()?)?;
        Some(Node {
            service,
            name,
            addr: details.addr,
            state: if live { state } else { NodeState::Critical },
            ttl: u64::try_from(left).ok().map(Duration::from_millis),
            live,
            tags: details.tags,
            facts: details.facts,
        })
    }
}

// === impl NodeDetails ===

impl NodeDetails {
    pub(super) fn write(&self) -> Result<Vec<u8>, String> {
        let mut writer = FieldWriter::default();
        let (host, port) = match &self.addr {
            Some(addr) => (addr.host.as_str(), addr.port.unwrap_or_default()),
            None => ("", 0),
        };
        writer.field(host);
        writer.count(usize::from(port));
        writer.count(self.tags.len());
        for tag in &self.tags {
            writer.field(tag);
        }
        writer.pairs(&self.facts);
        bounded(writer)
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = FieldReader::new(bytes);
        let host = reader.text()?;
        let port = u16::try_from(reader.count()?).ok()?;
        let tags = reader.count()?;
        let tags: Option<Vec<String>> = (0..tags).map(|_| reader.text()).collect();
        Some(NodeDetails {
            addr: (!host.is_empty()).then(|| NodeAddr {
                host,
                port: (port != 0).then_some(port),
            }),
            tags: tags?,
            facts: reader.pairs()?,
        })
    }
}

// === impl Registration ===

impl Registration {
    pub(super) fn write(&self) -> Result<Vec<u8>, String> {
        let mut writer = FieldWriter::default();
        let mut optional = |field: Option<&Vec<u8>>| {
            writer.count(usize::from(field.is_some()));
            writer.field(field.map_or(&[][..], Vec::as_slice));
        };
        optional(Some(&self.endpoint));
        optional(self.kind.as_ref());
        optional(self.auth.as_ref().map(|(kind, _)| kind));
        optional(self.auth.as_ref().map(|(_, credentials)| credentials));
        optional(self.backend.as_ref());
        optional(self.description.as_ref());
        writer.pairs(&self.meta);
        bounded(writer)
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut reader = FieldReader::new(bytes);
        let mut optional = || -> Option<Option<Vec<u8>>> {
            let there = reader.count()? != 0;
            let field = reader.field()?.to_vec();
            Some(there.then_some(field))
        };
        Some(Registration {
            endpoint: optional()??,
            kind: optional()?,
            auth: optional()?.zip(optional()?),
            backend: optional()?,
            description: optional()?,
            meta: reader.pairs()?,
        })
    }
}

fn bounded(writer: FieldWriter) -> Result<Vec<u8>, String> {
    let bytes = writer.finish();
    if bytes.len() > TOTAL_BYTES {
        return Err(format!(
            "ERR all fields together are longer than {TOTAL_BYTES} bytes"
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_from_its_record() {
        let details = NodeDetails {
            addr: Some(NodeAddr {
                host: "::1".to_owned(),
                port: Some(80),
            }),
            tags: vec!["a b".to_owned()],
            facts: vec![("os".to_owned(), b"li nux\0".to_vec())],
        };
        let payload = details.write().expect("small");
        assert_eq!(NodeDetails::read(&payload).as_ref(), Some(&details));
        let record = [b"abc 1000 0 draining ".as_slice(), &payload].concat();
        let node = Node::read(b"web\x01n1", &record, 500, true).expect("a node");
        assert_eq!((node.service.as_str(), node.name.as_str()), ("web", "n1"));
        assert_eq!(node.state, NodeState::Draining);
        assert_eq!(node.ttl, Some(Duration::from_millis(500)));
        assert_eq!(
            node.addr.map(|a| a.to_string()).as_deref(),
            Some("[::1]:80")
        );
        let lapsed = Node::read(b"web\x01n1", &record, 0, false).expect("a node");
        assert_eq!(lapsed.state, NodeState::Critical);
        assert_eq!(Node::read(b"web", &record, 0, true), None);
        assert_eq!(Node::read(b"web\x01n1", b"abc 1", 0, true), None);
    }

    #[test]
    fn a_registration_comes_back() {
        let empty = Registration {
            endpoint: b"http://x".to_vec(),
            ..Registration::default()
        };
        let full = Registration {
            kind: Some(Vec::new()),
            auth: Some((b"basic".to_vec(), b"u:p".to_vec())),
            backend: Some(b"b".to_vec()),
            description: Some(b"d".to_vec()),
            meta: vec![("k".to_owned(), b"v".to_vec())],
            ..empty.clone()
        };
        for registration in [empty, full] {
            let bytes = registration.write().expect("small");
            assert_eq!(Registration::read(&bytes), Some(registration));
        }
    }

    #[test]
    fn too_much_is_refused() {
        let facts = (0..20).map(|n| (n.to_string(), vec![b'x'; 4096])).collect();
        let details = NodeDetails {
            facts,
            ..NodeDetails::default()
        };
        assert!(details.write().is_err());
    }

    #[test]
    fn an_address_without_a_port_is_its_host() {
        let addr = |host: &str| NodeAddr {
            host: host.to_owned(),
            port: None,
        };
        assert_eq!(addr("10.0.0.1").to_string(), "10.0.0.1");
        assert_eq!(addr("fe80::1").to_string(), "[fe80::1]");
    }
}
