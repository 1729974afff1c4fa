//! What a connection is good for: those with the same key can stand in for each other.

use super::topology::NodeId;
use crate::resp::Proto;

/// To which node, in which database, in which version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkKey {
    /// The node.
    pub node: NodeId,
    /// The selected database.
    pub db: u32,
    /// The protocol version in force.
    pub proto: Proto,
}

impl LinkKey {
    /// The key for these three.
    #[must_use]
    pub fn new(node: NodeId, db: u32, proto: Proto) -> Self {
        LinkKey { node, db, proto }
    }
}
