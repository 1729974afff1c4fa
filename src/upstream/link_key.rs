//! What a connection is good for: those with the same key can stand in for each other.

use super::topology::NodeId;
use crate::resp::Proto;

/// To which node, as whom, in which database, in which version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkKey {
    /// The node.
    pub node: NodeId,
    /// The selected database.
    pub db: u32,
    /// The protocol version in force.
    pub proto: Proto,
    /// Who is logged in. A connection is never used for another login than its own.
    pub login: LoginId,
}

/// A login at the backing: Respite's own, or that of a user of the backing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct LoginId(pub(super) u32);

impl LoginId {
    /// What the URL of the upstream says.
    pub const OWN: Self = LoginId(0);

    /// Whether it is Respite's own.
    #[must_use]
    #[inline]
    pub fn is_own(self) -> bool {
        self == Self::OWN
    }
}

impl LinkKey {
    /// The key for these three, with Respite's own login.
    #[must_use]
    pub fn new(node: NodeId, db: u32, proto: Proto) -> Self {
        LinkKey {
            node,
            db,
            proto,
            login: LoginId::OWN,
        }
    }

    /// The same with another login.
    #[must_use]
    pub fn as_user(self, login: LoginId) -> Self {
        LinkKey { login, ..self }
    }
}
