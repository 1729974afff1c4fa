//! A client's business with Respite's own commands: what is under way, and who is told when the client goes.

use std::cell::{Cell, RefCell};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::registry::ClientEntry;
use super::shared::Shared;
use crate::command::Caller;
use crate::upstream::Ticket;

/// A family's command that is under way: the client's next command waits for it.
pub(super) struct Occupied {
    pub(super) done: Rc<Cell<bool>>,
    /// For its reply; none when the client wants no reply.
    pub(super) ticket: Option<Ticket>,
    /// The wait for something to happen; none for a command that is carried out anyway.
    pub(super) blocked: Option<(Wait, AbortHandle)>,
}

/// What a client waits for, here to be dropped at once when it goes.
pub(super) type Wait = Rc<RefCell<Option<LocalPending>>>;

/// As [`crate::command::Pending`], on this thread.
pub(super) type LocalPending = Pin<Box<dyn Future<Output = Vec<u8>>>>;

impl Drop for Occupied {
    fn drop(&mut self) {
        if let Some((wait, task)) = &self.blocked {
            drop(wait.take());
            task.abort();
        }
    }
}

/// What a session knows of its client's business with the families.
pub(super) struct Families {
    /// A command whose reply is to come. Goes before the families hear that the client is gone.
    pub(super) occupied: Option<Occupied>,
    pub(super) as_caller: AsCaller,
}

impl Families {
    pub(super) fn new(entry: &ClientEntry, shared: Arc<Shared>) -> Self {
        Families {
            occupied: None,
            as_caller: AsCaller::new(entry, shared),
        }
    }

    /// Whether the next command has to wait for one of a family.
    #[inline]
    pub(super) fn is_occupied(&mut self, entry: &ClientEntry) -> bool {
        self.occupied.is_some() && !self.was_done(entry)
    }

    fn was_done(&mut self, entry: &ClientEntry) -> bool {
        let done = self.occupied.as_ref().is_some_and(|o| o.done.get());
        if done {
            self.occupied = None;
            entry.update(|facts| facts.blocked_here = false);
        }
        done
    }

    /// Whether the client waits for something to happen.
    pub(super) fn is_blocked(&self) -> bool {
        self.occupied
            .as_ref()
            .is_some_and(|occupied| occupied.blocked.is_some() && !occupied.done.get())
    }
}

/// The client as the families know it; they are told when it goes.
pub(super) struct AsCaller {
    pub(super) caller: Arc<Caller>,
    shared: Arc<Shared>,
    /// The families that it has called.
    pub(super) called: u64,
}

impl AsCaller {
    fn new(entry: &ClientEntry, shared: Arc<Shared>) -> Self {
        let peer = entry.addr().parse().ok();
        AsCaller {
            caller: Arc::new(Caller::new(entry.id, peer)),
            shared,
            called: 0,
        }
    }
}

impl Drop for AsCaller {
    fn drop(&mut self) {
        for (index, family) in self.shared.families.iter().enumerate() {
            if self.called & (1 << index) != 0 {
                family.gone(&self.caller);
            }
        }
    }
}
