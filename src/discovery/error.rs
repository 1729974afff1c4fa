//! What an operation can end with instead of a result, and what a client is told.

use crate::upstream::ControlError;

/// Why an operation was not carried out.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DiscoveryError {
    /// The lease has lapsed, or there is no such node.
    #[error("NOLEASE the node is not there or its lease has lapsed: join again")]
    NoLease,
    /// The node belongs to another lease.
    #[error("LEASEMISMATCH the node has joined again with another lease")]
    LeaseMismatch,
    /// `NX`, and a live node has the name.
    #[error("EXISTS a live node has this name")]
    Exists,
    /// The index is of another life of the group, or ahead of it.
    #[error("INDEXRESET the index is not of this group's present history: read it again")]
    IndexReset,
    /// Something is larger than it may be; the text says what.
    #[error("{0}")]
    Refused(String),
    /// A bound is reached.
    #[error("ERR too many {0}")]
    Full(&'static str),
    /// The backing is older than what Respite needs.
    #[error("ERR service discovery needs scripts and streams: Redis 6.0 or Valkey 7.2, or newer")]
    TooOld,
    /// The backing answers too late for leases to be judged.
    #[error("TRYAGAIN the backing takes longer than two seconds for a command")]
    Slow,
    /// The backing could not be asked, or refused.
    #[error("{}", .0.client_text())]
    Backing(ControlError),
    /// The backing holds what no Respite has written.
    #[error("ERR the keys respite:d: of the backing are damaged: {0}")]
    Damaged(&'static str),
}

impl DiscoveryError {
    /// The error reply for a client, without the `-`.
    #[must_use]
    pub fn client_text(&self) -> String {
        self.to_string()
    }
}

impl From<ControlError> for DiscoveryError {
    fn from(error: ControlError) -> Self {
        if let ControlError::Server(text) = &error {
            let text = text.to_ascii_lowercase();
            if text.contains("unknown command") || text.contains("unknown redis command") {
                return DiscoveryError::TooOld;
            }
        }
        DiscoveryError::Backing(error)
    }
}
