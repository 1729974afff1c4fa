//! What the configuration and the backing say, as one value that is replaced as a whole.

use std::sync::Arc;

use super::announced::Announced;
use crate::access::{AccessList, Denials, Logins, Verifier};
use crate::command::Table;
use crate::config::{Limits, OnLoss, SlowlogSettings, Timeouts};
use crate::upstream::ServerHello;

/// Everything that sessions look at and that may be replaced while they run, as one value.
#[derive(Clone)]
pub struct Settings {
    /// Grows with each replacement.
    pub generation: u64,
    /// `[limits]`.
    pub limits: Limits,
    /// `[timeouts]`.
    pub timeouts: Timeouts,
    /// `upstream_on_loss`.
    pub on_loss: OnLoss,
    /// `[slowlog]`.
    pub slowlog: SlowlogSettings,
    /// `[cluster] split_writes`.
    pub split_writes: bool,
    /// `[access]`.
    pub access: Arc<AccessList>,
    /// Logins that failed.
    pub logins: Arc<Logins>,
    /// What was refused.
    pub denials: Arc<Denials>,
    /// Works out slow hashes of passwords.
    pub verifier: Arc<Verifier>,
    /// Whether the backing is the embedded Redis, whose privacy clients may not end.
    pub embedded: bool,
    /// `[access] protected_mode`.
    pub protected_mode: bool,
    /// The commands of the backing and our own.
    pub table: Arc<Table>,
    /// What Respite says of itself as a cluster of one node, if it is one.
    pub announced: Option<Arc<Announced>>,
    /// What the backing says of itself; absent until it was reached once.
    pub hello: Option<Arc<ServerHello>>,
}
