//! Commands that are refused, and transactions that cannot be executed because of it.

use std::task::Context;

use super::client::Session;
use super::dispatch::Flow;
use super::pinned::Pinned;
use super::queueing::SPOILER;
use super::refusals;
use super::request::Request;
use super::settings::Settings;
use super::state::Broken;
use crate::access::{Denied, DeniedReason, UserId};
use crate::command::{Handling, Local, Pin, arity_error, arity_ok};

const LOST: &str = "UPSTREAM the transaction was lost with its connection to the backing; nothing of it was executed";
/// For what follows a `MULTI` that was refused. Never `QUEUED`: a client that has seen the refusal
/// may believe that it is in no transaction, and that this is a reply to its command.
const REFUSED: &str =
    "EXECABORT not executed: MULTI was refused, and neither EXEC nor DISCARD has followed it yet";
const ABORTED: &str = "EXECABORT Transaction discarded because of previous errors.";

impl Session {
    /// Answers a command that the client may not run. As in Redis, a wrong number of arguments is
    /// found first, a refused command keeps its transaction from being executed, and a refused
    /// `EXEC` ends it.
    pub(super) fn reject(
        &mut self,
        request: Request<'_>,
        denied: &Denied,
        cx: &mut Context<'_>,
    ) -> Flow {
        let checked = request.leaf();
        let text = match checked.filter(|row| !arity_ok(row, request.args.len())) {
            Some(row) => arity_error(row),
            None => {
                let user = self.state.user_id();
                self.note_denied(denied, request, user);
                self.words_of(denied)
            }
        };
        if request.handling() != Handling::Pin(Pin::Exec) {
            return self.refuse_with(text);
        }
        let text = format!("EXECABORT Transaction discarded because of: {text}");
        if !self.is_in_multi() {
            return self.answer_error(text);
        }
        self.discard_instead(format!("-{text}\r\n").into_bytes(), cx)
    }

    /// Notes that a user may not run a command.
    pub(super) fn note_denied(&self, denied: &Denied, request: Request<'_>, user: Option<UserId>) {
        let args = request.args;
        let name = request.leaf().map(|row| row.name.as_bytes());
        let name = name.or(args.get(0)).unwrap_or_default();
        let argument = |at: &Option<usize>| at.and_then(|at| args.get(at)).unwrap_or(name);
        let (reason, object) = match denied {
            // As in Redis: whoever is nobody is no user's concern.
            Denied::NotAuthenticated => return,
            Denied::Command(_) | Denied::Parameter(_) | Denied::Scripts(_) => {
                (DeniedReason::Command, name)
            }
            Denied::Key(at) => (DeniedReason::Key, argument(at)),
            Denied::Channel(at) => (DeniedReason::Channel, argument(at)),
        };
        self.note_refusal(request.raw, (reason, object), user);
    }

    /// Notes that something is refused to a user.
    pub(super) fn note_refusal(
        &self,
        request: &[u8],
        (reason, object): (DeniedReason, &[u8]),
        user: Option<UserId>,
    ) {
        let settings = self.worker.settings();
        let known = match &self.state.account {
            Some(_) => self.state.user.as_ref().map(|(_, name)| name.as_str()),
            None => user.map(|user| settings.access.user_name(user)),
        };
        let user = known.filter(|name| !name.is_empty()).unwrap_or("default");
        let in_multi = self.is_in_multi();
        refusals::note(
            &self.state,
            &settings,
            (in_multi, request),
            (reason, object, user.as_bytes()),
        );
    }

    /// Answers a command that is not executed; the transaction that it would have been part of is
    /// not either.
    pub(super) fn refuse_with(&mut self, text: impl AsRef<[u8]>) -> Flow {
        if self.is_in_multi() {
            self.with_pinned(|pinned| pinned.send_unseen(SPOILER));
        }
        self.answer_error(text)
    }

    /// Whether commands are being queued.
    pub(super) fn is_in_multi(&self) -> bool {
        self.pinned.as_ref().is_some_and(|pinned| pinned.in_multi())
    }

    /// A command could not be sent. The client may have sent what relies on it already.
    pub(super) fn note_refused(&mut self, pin: Pin) {
        match pin {
            Pin::Multi => self.state.broken = Some(Broken::Refused),
            Pin::Watch => self.state.watch_lost = true,
            _ => {}
        }
    }

    /// The client believes, or may believe, that it is in a transaction. None when the command is
    /// to be handled as if it were not.
    pub(super) fn in_broken_transaction(
        &mut self,
        broken: Broken,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Option<Flow> {
        let end = |session: &mut Self| {
            session.state.broken = None;
            session.state.watch_lost = false;
            session.with_pinned(Pinned::unwatch);
            session.drop_watch();
        };
        let lost = broken == Broken::Lost;
        Some(match request.handling() {
            Handling::Local(local @ (Local::Quit | Local::Reset)) => {
                self.local(local, request, settings, cx)
            }
            _ if !request.arity_ok() => self.answer_error(if lost { LOST } else { REFUSED }),
            Handling::Pin(Pin::Discard) => {
                end(self);
                self.answer(|reply| reply.ok());
                Flow::Done
            }
            Handling::Pin(Pin::Exec) => {
                end(self);
                self.answer_error(if lost { LOST } else { ABORTED })
            }
            // The client has seen the refusal and tries again.
            Handling::Pin(Pin::Multi) if !lost => {
                self.state.broken = None;
                return None;
            }
            _ => self.answer_error(if lost { LOST } else { REFUSED }),
        })
    }
}
