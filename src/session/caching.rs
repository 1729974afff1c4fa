//! A worker begins to use the cache, and ends it, while it serves.
//!
//! Without the cache plain commands go without guards. When it is put to use, every key is protected until what was
//! sent without one is answered: nothing is kept or served that such a command, or a write that it saw, may have
//! overtaken. Commands that may wait for long (those of pinned connections) have guards whether the cache is used or
//! not, so none of them is waited for.

use std::rc::Rc;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::sleep;

use super::redirects::AGAIN;
use super::worker::Worker;
use crate::tasks::{self, Kind};
use crate::upstream::{Failure, Fence, ReplySink, Ticket};

impl Worker {
    /// Reads are served from the cache, and plain commands guarded for it, from now on. `guard` is kept until all
    /// that was sent before is answered.
    pub(super) fn begin_caching(self: &Rc<Self>, guard: Fence) {
        self.caching.set(true);
        let worker = Rc::clone(self);
        tokio::task::spawn_local(tasks::named(Kind::Worker, async move {
            worker.answered().await;
            drop(guard);
        }));
    }

    /// Nothing is served from the cache from now on.
    pub(super) fn end_caching(&self) {
        self.caching.set(false);
        self.fills.close();
    }

    /// Waits until everything is answered that was sent before.
    async fn answered(&self) {
        loop {
            let before = self.redirects.taken();
            let idle = self.redirects.is_idle();
            let (sender, mut none_left) = unbounded_channel::<()>();
            for link in self.links.open.borrow().values() {
                if link.in_flight() > 0 {
                    let behind = Rc::new(Behind(sender.clone()));
                    link.push(b"*1\r\n$4\r\nPING\r\n", 1, behind, Ticket(0));
                }
            }
            drop(sender);
            while none_left.recv().await.is_some() {}
            // What a node of a cluster did not take may be behind another link's.
            if idle && self.redirects.taken() == before {
                return;
            }
            sleep(AGAIN).await;
        }
    }
}

/// Is dropped when everything in front of it on its link is answered.
struct Behind(#[expect(dead_code, reason = "its end is the message")] UnboundedSender<()>);

impl ReplySink for Behind {
    fn deliver(&self, _ticket: Ticket, _bytes: &[u8], _replies: u32) {}

    fn abort(&self) {}

    fn lost(&self, _ticket: Ticket, _failure: &Failure, _replies: u32) {}

    fn ends_with_loss(&self) -> bool {
        false
    }

    fn is_for_node(&self) -> bool {
        true
    }
}
