//! A client that asks about a cluster: answered here, or passed on; what is about keys is asked at the backing.

use std::sync::Arc;
use std::task::Context;

use super::client::Session;
use super::cluster_command::{Question, answer, asks_for_keys, is_answered, question};
use super::dispatch::Flow;
use super::replies::Then;
use super::request::Request;
use super::settings::Settings;
use crate::command::arity_error;
use crate::resp::{Proto, ReplyWriter};
use crate::upstream::{Backing, Place, SlotKeys, UpstreamError};

impl Session {
    pub(super) fn cluster(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        if !is_answered(settings, &self.worker.shared.backing) {
            return self.ask(request.raw, Then::Pass, cx);
        }
        let Request { args, .. } = request;
        if let Some(row) = request.leaf().filter(|_| !request.arity_ok()) {
            return self.answer_error(arity_error(row));
        }
        if settings.announced.is_some() && asks_for_keys(args) {
            return match question(args) {
                Ok((slot, question)) => self.ask_for_keys(slot, question, settings),
                Err(text) => self.answer_error(text),
            };
        }
        let mut out = Vec::new();
        answer(&self.worker, self.state.proto, args, &mut out);
        self.answer(|reply| reply.raw(&out));
        Flow::Done
    }

    /// Asks on a connection of its own, behind what the client has asked for before.
    fn ask_for_keys(&mut self, slot: u16, question: Question, settings: &Settings) -> Flow {
        if self.replies.outstanding() + self.replies.later() + self.replies.held() > 0 {
            return Flow::Wait;
        }
        let limit = settings.limits.pinned;
        let Some(place) = self.worker.pool.place(limit) else {
            let text = format!("ERR no connection to ask on: {limit} are in use (limits.pinned)");
            return self.answer_error(text);
        };
        let keys = SlotKeys {
            slot,
            db: self.state.db,
            most: match question {
                Question::Count => 0,
                Question::Names(most) => most,
            },
            connect: settings.timeouts.connect,
        };
        let backing = Arc::clone(&self.worker.shared.backing);
        let proto = self.state.proto;
        self.occupy(Box::pin(look(backing, keys, question, proto, place)));
        Flow::Done
    }
}

/// The reply to a question. `_place` is the connection's, while it is asked.
async fn look(
    backing: Arc<Backing>,
    keys: SlotKeys,
    question: Question,
    proto: Proto,
    _place: Place,
) -> Vec<u8> {
    let mut out = Vec::new();
    let mut reply = ReplyWriter::new(&mut out, proto);
    let failed = |error: UpstreamError| format!("UPSTREAM {error}");
    match question {
        Question::Count => match keys.count(&backing).await {
            Ok(count) => reply.integer(i64::try_from(count).unwrap_or(i64::MAX)),
            Err(error) => reply.error(failed(error)),
        },
        Question::Names(_) => match keys.names(&backing).await {
            Ok(names) => {
                reply.array(names.len());
                names.iter().for_each(|name| reply.bulk(name));
            }
            Err(error) => reply.error(failed(error)),
        },
    }
    out
}
