//! A session: all that is kept for one client, by what it is for. What it does is in the files that extend it.

use std::rc::Rc;

use super::coherence::Coherence;
use super::families::Families;
use super::front::Front;
use super::monitoring::Monitoring;
use super::pinned::Pinned;
use super::queue::Queueing;
use super::replies::Replies;
use super::route::Ways;
use super::state::ConnState;
use super::subscriptions::Subscribed;
use super::timing::Timing;
use super::worker::Worker;

/// One client's connection.
pub(super) struct Session {
    pub(super) worker: Rc<Worker>,
    pub(super) replies: Rc<Replies>,
    pub(super) state: ConnState,
    /// How its commands get to the backing, as long as it has no connection of its own.
    pub(super) ways: Ways,
    /// Its own connection.
    pub(super) pinned: Option<Box<Pinned>>,
    /// Those to nodes of a cluster that keep state for it, while it uses another one or none.
    pub(super) parked: Vec<Pinned>,
    /// Its place among the subscribers of its worker.
    pub(super) subscribed: Option<Box<Subscribed>>,
    /// What the cache has to know of it.
    pub(super) coherence: Coherence,
    /// Its transactions.
    pub(super) queueing: Queueing,
    /// Its place among those who monitor.
    pub(super) monitoring: Option<Monitoring>,
    /// Respite's own commands.
    pub(super) families: Families,
    /// A command of the client's that changes what `INFO` tells is not answered yet, or was not noted since.
    pub(super) changes_info: bool,
    pub(super) timing: Timing,
    /// It was this client itself that ended its connection with `CLIENT KILL`.
    pub(super) killed_itself: bool,
    /// The settings that the session has seen.
    pub(super) generation: u64,
    /// The client.
    pub(super) front: Front,
}
