//! What a session answers itself, and the settings that it answers by.

use std::sync::Arc;

use super::client::Session;
use super::dispatch::Flow;
use super::settings::Settings;
use super::state::ReplyMode;
use crate::access::{AccessList, UserId};
use crate::config::OnLoss;
use crate::resp::{ReplyWriter, RequestLimits};

impl Session {
    pub(super) fn request_limits(&self, settings: &Settings) -> RequestLimits {
        RequestLimits {
            bulk_bytes: settings.limits.bulk_bytes,
            request_bytes: settings.limits.request_bytes,
            authenticated: settings.access.is_open()
                || self.state.user.is_some()
                || self.is_let_in(settings),
        }
    }

    /// Whether a client that has not logged in is `default` to the backing, as far as is known.
    #[cold]
    fn is_let_in(&self, settings: &Settings) -> bool {
        let users = self.worker.shared.users();
        settings.access.is_of_backing() && users.is_some_and(|users| users.is_known_open())
    }

    /// Takes over replaced settings. False when they no longer know the client's user.
    pub(super) fn adopt(&mut self) -> bool {
        let settings = self.worker.settings();
        self.generation = settings.generation;
        let closes = settings.on_loss == OnLoss::Close && self.coherence.hits.is_none();
        self.replies.end_with_loss(closes);
        // It may be closed, where the cache is not used any more.
        self.coherence.leave_fill();
        if self.state.user_id() == Some(UserId::TRUSTED) {
            return true;
        }
        let before = std::mem::replace(&mut self.state.access, Arc::clone(&settings.access));
        let same = Arc::ptr_eq(&before, &settings.access);
        if let Some(account) = &self.state.account {
            return !account.is_gone() && (same || self.may_go_on(&before));
        }
        let Some((_, name)) = self.state.user.take() else {
            return same || self.may_go_on(&before);
        };
        let id = settings.access.user_by_name(name.as_bytes());
        self.state.user = id.map(|id| (id, name));
        (id.is_some() || settings.access.is_open()) && (same || self.may_go_on(&before))
    }

    /// Whether the client may have what it has begun to wait for, or is told unasked. The names of what that
    /// is are not kept: so it may unless the rules became narrower.
    fn may_go_on(&self, before: &AccessList) -> bool {
        let facts = self.state.entry.facts();
        let waits = facts.blocked
            || facts.blocked_here
            || facts.tracking
            || facts.monitor
            || facts.watching > 0
            || facts.is_subscriber()
            || self.waits_for_ever();
        !waits || !self.state.access.narrows(before, self.state.user_id())
    }

    /// Whether the command at hand is not to be answered.
    pub(super) fn is_silent(&self) -> bool {
        self.state.reply != ReplyMode::On
    }

    /// Answers the command at hand, unless the client wants no answer.
    pub(super) fn answer(&self, write: impl FnOnce(&mut ReplyWriter<'_>)) {
        if !self.is_silent() {
            self.replies
                .reply(|out| write(&mut ReplyWriter::new(out, self.state.proto)));
        }
    }

    pub(super) fn answer_error(&self, text: impl AsRef<[u8]>) -> Flow {
        self.answer(|reply| reply.error(text));
        Flow::Done
    }
}
