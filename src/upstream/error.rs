//! What can go wrong on the Redis side, and what a client is told of it.

use std::io;

/// A failed connection or exchange with the backing.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UpstreamError {
    /// The socket could not be opened.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// Where it was tried.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// The connection was not ready within `timeouts.connect`.
    #[error("no connection to {address} within {millis} ms")]
    ConnectTimeout {
        /// Where it was tried.
        address: String,
        /// The limit that passed, in milliseconds.
        millis: u128,
    },
    /// The backing refused the handshake (credentials, database).
    #[error("{address} refused the connection: {reply}")]
    Refused {
        /// Who refused.
        address: String,
        /// Its error reply.
        reply: String,
    },
    /// The connection ended or broke.
    #[error("the connection to the backing was lost: {0}")]
    Lost(String),
    /// No reply within `timeouts.reply`.
    #[error("no reply from the backing within timeouts.reply")]
    ReplyTimeout,
    /// Nobody has named the master.
    #[error("the master is not known")]
    NoMaster,
    /// The server that was named says that it is a replica.
    #[error("{address} is not a master")]
    NotMaster {
        /// Who says so.
        address: String,
    },
    /// The server that was the master has said `READONLY`.
    #[error("the backing is not a master any more")]
    Demoted,
    /// No node took the command for as long as a failover may take: what the last one said.
    #[error("no node of the cluster has taken it: {0}")]
    Untaken(String),
    /// The user whose connection it was to be is gone.
    #[error("the user is not logged in any more")]
    LoggedOut,
    /// It answers, with an error.
    #[error("it says {0}")]
    Unfit(String),
    /// There is no connection and no newer reason why.
    #[error("no connection to the backing")]
    NotReady,
    /// The backing sent what is not the Redis protocol.
    #[error("the backing broke the protocol: {0}")]
    Protocol(String),
}

/// Whether a command may have been executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// All its bytes were handed to the connection.
    Yes,
    /// It never left in full, so it was not executed.
    No,
}

impl UpstreamError {
    /// The error reply a client gets for a command that this failure ended, without the `-`.
    pub fn client_text(&self, sent: Sent) -> String {
        match sent {
            Sent::Yes => {
                format!("UPSTREAM {self}; the command was sent and may have been executed")
            }
            Sent::No => format!("UPSTREAM {self}; the command was not sent"),
        }
    }

    /// Whether a client is told of it whatever `upstream_on_loss` says: a login that the backing
    /// refuses is no loss, and to try again would not help.
    pub(crate) fn is_refusal(&self) -> bool {
        const CODES: [&str; 4] = ["NOAUTH", "WRONGPASS", "NOPERM", "NOPROTO"];
        match self {
            UpstreamError::Refused { reply, .. } => {
                let code = reply.split(' ').next().unwrap_or_default();
                CODES.contains(&code) || reply.contains("invalid password")
            }
            UpstreamError::LoggedOut => true,
            _ => false,
        }
    }

    /// Whether the backing does not take the name and the password of a user.
    pub(crate) fn refuses_login(&self) -> bool {
        match self {
            UpstreamError::Refused { reply, .. } => {
                reply.starts_with("WRONGPASS ") || reply.starts_with("NOAUTH ")
            }
            UpstreamError::LoggedOut => true,
            _ => false,
        }
    }

    /// A connection that broke.
    pub(crate) fn lost(error: &io::Error) -> Self {
        UpstreamError::Lost(error.to_string())
    }

    /// A connection that the other side ended.
    pub(crate) fn closed() -> Self {
        UpstreamError::Lost("closed by the backing".to_owned())
    }
}
