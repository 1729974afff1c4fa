//! The shared links of a worker, and what may decide between them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::settings::Settings;
use crate::upstream::{Link, LinkKey, LinkLimits, Topology};

/// No reply that came sooner is looked at apart, for the slow log: under load many take as long as that.
const LEAST_SLOW: Duration = Duration::from_millis(1);

/// What a link carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// Everything, in the ordinary case.
    Plain,
    /// The commands of clients that call scripts.
    Script(u8),
    /// Commands that only read, past a plain link that is silent.
    Reads,
    /// The others past it. Apart, because the backing may hold back writes alone (`CLIENT PAUSE`).
    Writes,
}

/// What decides which link a client's next command takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Needs {
    pub(super) key: LinkKey,
    /// The client calls scripts.
    pub(super) scripts: bool,
    /// The command only reads.
    pub(super) reads: bool,
}

/// The links of one worker.
#[derive(Default)]
pub(crate) struct Links {
    pub(super) open: RefCell<HashMap<(LinkKey, Lane), Link>>,
    pub(super) silent: Cell<bool>,
    /// Pushes that nobody asked for.
    pub(super) dropped: Arc<AtomicU64>,
}

impl Links {
    /// No links yet; pushes that nobody asked for are counted in `dropped`.
    pub(super) fn new(dropped: Arc<AtomicU64>) -> Self {
        Links {
            dropped,
            ..Self::default()
        }
    }

    /// Whether the backing leaves a link without an answer: it may be busy.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.get()
    }

    /// Closes the links to nodes that are not there any more, but for those that owe replies.
    pub(super) fn keep(&self, topology: &Topology) {
        self.open.borrow_mut().retain(|(key, _), link| {
            let stays = topology.node(key.node).is_some() || drains(link);
            if !stays {
                link.abandon();
            }
            stays
        });
    }

    /// Puts new bounds in force.
    pub(super) fn set_limits(&self, settings: &Settings, is_cluster: bool) {
        let limits = link_limits(settings, is_cluster);
        let open = self.open.borrow();
        open.values().for_each(|link| link.set_limits(limits));
    }
}

/// Whether a link to a node that has left will have the replies that it owes.
pub(super) fn drains(link: &Link) -> bool {
    link.answers() && link.in_flight() > 0
}

pub(super) fn link_limits(settings: &Settings, is_cluster: bool) -> LinkLimits {
    LinkLimits {
        in_flight: settings.limits.upstream_in_flight,
        connect: settings.timeouts.connect,
        wait: match is_cluster {
            true => settings.timeouts.failover,
            false => settings.timeouts.connect,
        },
        reply: settings.timeouts.reply,
        slow: (settings.slowlog.slower_than / 4).max(LEAST_SLOW),
    }
}
