//! Connections that keep state for a client while it uses another one, or the shared links: behind a cluster a client
//! that watches keys of one node, or is subscribed at one, may ask the others meanwhile.
//!
//! One is taken up again when the client waits for nothing, so its commands keep their order.

use std::task::Context;

use tracing::debug;

use super::client::Session;
use super::pinned::{Leftover, Pinned};
use crate::upstream::UpstreamError;

impl Session {
    /// Sets the present connection aside if all that it keeps is state. It is not free.
    pub(super) fn park(&mut self) {
        let quiet = |pinned: &&mut Box<Pinned>| pinned.is_quiet() && !pinned.in_multi();
        if self.pinned.as_mut().filter(quiet).is_some() {
            self.parked.extend(self.pinned.take().map(|pinned| *pinned));
        }
    }

    /// Takes up the first connection that is meant. None: there is no such; false: the client waits for something.
    pub(super) fn take_up(&mut self, is_meant: impl Fn(&Pinned) -> bool) -> Option<bool> {
        let at = self.parked.iter().position(is_meant)?;
        if self.replies.outstanding() > 0 || self.replies.later() > 0 {
            return Some(false);
        }
        debug_assert!(self.pinned.is_none(), "one is used at a time");
        self.pinned = Some(Box::new(self.parked.swap_remove(at)));
        Some(true)
    }

    /// Whether keys are watched on a connection that is set aside.
    pub(super) fn is_watching(&self) -> bool {
        self.parked.iter().any(Pinned::is_watching)
    }

    /// The client does not want to watch any more.
    pub(super) fn drop_watch(&mut self) {
        self.parked.retain(|pinned| !pinned.is_watching());
    }

    /// Moves bytes of those that are set aside. True when something moved.
    #[cold]
    pub(super) fn poll_parked(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        let limit = self.worker.settings().timeouts.reply;
        for mut pinned in std::mem::take(&mut self.parked) {
            let polled = match pinned.is_overdue(limit) {
                true => Err(UpstreamError::ReplyTimeout),
                false => self.poll_one(&mut pinned, cx),
            };
            match polled {
                Ok(more) => {
                    moved |= more | self.worker.follow_channels(&mut pinned);
                    self.parked.push(pinned);
                }
                Err(error)
                    if pinned.can_be_resubscribed()
                        && self.worker.resubscribe(&mut pinned, &error) =>
                {
                    moved = true;
                    self.parked.push(pinned);
                }
                Err(error) => {
                    moved = true;
                    self.lose_parked(&pinned, &error);
                }
            }
        }
        moved
    }

    fn lose_parked(&mut self, pinned: &Pinned, error: &UpstreamError) {
        debug!(
            client = self.state.entry.id,
            "connection with a client's state lost: {error}"
        );
        match pinned.leftover() {
            Leftover::Stream => self.replies.end(),
            Leftover::Watch => self.state.watch_lost = true,
            Leftover::Nothing | Leftover::Transaction | Leftover::RefusedMulti => {}
        }
    }
}
