//! Commands without a key for all masters of a cluster: each is asked, and their replies become one.
//!
//! The client's next command waits for the reply, and the command for the replies of those before it. So nothing
//! of the client's is on its way to any node meanwhile, however often the masters have to be asked.

use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;
use std::task::Context;

use super::ask::error;
use super::counting::{Answers, Question};
use super::fence::catch_up;
use super::join::{join, shortened};
use super::scan::{scan, words};
use crate::command::{Effects, Handling, Joining, Pin, Spread};
use crate::resp::Args;
use crate::session::cached::Cover;
use crate::session::client::Session;
use crate::session::dispatch::Flow;
use crate::session::request::Request;
use crate::session::settings::Settings;
use crate::session::worker::Worker;

/// As many entries as `SLOWLOG GET` gives without a number.
const SLOW_ENTRIES: usize = 10;

impl Session {
    /// Whether a command is for several nodes of the cluster behind.
    #[inline]
    pub(in crate::session) fn spreads(&self, request: Request<'_>) -> bool {
        self.worker.directions.is_divided()
            && request.effects().contains(Effects::SPREADS)
            && self.is_spread(request)
    }

    #[cold]
    fn is_spread(&self, request: Request<'_>) -> bool {
        let Some(row) = request.leaf() else {
            return false;
        };
        match row.spread {
            Spread::BySlot(_) => Self::must_split(row, request),
            other => other.is_for_all() && request.arity_ok(),
        }
    }

    /// Handles a command that is for several nodes; none when it is to be handled as any other.
    #[inline]
    pub(in crate::session) fn spread(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &Context<'_>,
    ) -> Option<Flow> {
        match self.spreads(request) {
            true => self.spread_out(request, settings, cx),
            false => None,
        }
    }

    #[cold]
    fn spread_out(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &Context<'_>,
    ) -> Option<Flow> {
        let row = request.leaf()?;
        let name = row.name.replace('|', " ");
        if row.spread == Spread::Named {
            let upper = name.to_uppercase();
            return Some(self.refuse_with(format!(
                "ERR '{name}' is for one node: RESPITE.NODE <id> {upper} ..."
            )));
        }
        if let Spread::BySlot(joining) = row.spread {
            return self.split(joining, request, settings, cx);
        }
        let owed = self.replies.outstanding() + self.replies.later() + self.replies.held();
        if owed > 0 {
            return Some(Flow::Wait);
        }
        let cover = std::mem::take(&mut self.coherence.cover);
        let worker = Rc::clone(&self.worker);
        let question = self.question(request, settings);
        let pending: crate::session::families::LocalPending = match row.spread {
            Spread::Everywhere(joining) => {
                if &*row.name == "script|flush" {
                    // What is loaded from now on is to stay.
                    worker.shared.scripts.forget();
                }
                let most = most_entries(joining, request.args);
                let names = words(request.args);
                Box::pin(everywhere(worker, question, (joining, names), most, cover))
            }
            Spread::Scan => Box::pin(scan(worker, question, words(request.args), cover)),
            _ => return None,
        };
        self.occupy_with_command(pending, request.raw);
        Some(Flow::Done)
    }

    fn question(&self, request: Request<'_>, settings: &Settings) -> Question {
        let effects = request.effects();
        let unknown = Effects::READS_UNKNOWN.union(Effects::FLUSHES);
        Question {
            request: request.raw.to_vec(),
            db: self.state.db,
            proto: self.state.proto,
            login: self.state.login(),
            of_keys: effects.intersects(unknown),
            apart: (request.handling() == Handling::Pin(Pin::Control)).then(|| words(request.args)),
            repeats: repeats(request),
            most_bytes: settings.limits.client_output_bytes,
        }
    }
}

/// Whether a command that was executed once may be executed again: who is told of the second time is not misled.
fn repeats(request: Request<'_>) -> bool {
    let name = request.leaf().map_or("", |row| &*row.name);
    !matches!(
        name,
        "function|load"
            | "function|restore"
            | "bgsave"
            | "bgrewriteaof"
            | "module|load"
            | "module|loadex"
            | "module|unload"
            | "acl|deluser"
    )
}

/// How many elements of the joined reply are wanted, if it may have more.
fn most_entries(joining: Joining, args: Args<'_>) -> Option<usize> {
    if joining != Joining::Newest {
        return None;
    }
    match args.get(2) {
        None => Some(SLOW_ENTRIES),
        Some(count) => std::str::from_utf8(count).ok()?.parse().ok(),
    }
}

/// Asks all masters.
async fn everywhere(
    worker: Rc<Worker>,
    question: Question,
    (joining, names): (Joining, Vec<Vec<u8>>),
    most: Option<usize>,
    cover: Cover,
) -> Vec<u8> {
    let answers = worker.ask_everywhere(&question).await;
    let Cover { guard, fence } = cover;
    drop(guard);
    let reply = match answers {
        Ok(mut answers) => {
            catch_up(&worker.shared, &answers.nodes, fence).await;
            take_late(&mut answers, joining);
            if joining == Joining::AnyValue {
                let any = RandomState::new().hash_one(0_u8);
                let count = answers.replies.len().max(1) as u64;
                answers
                    .replies
                    .rotate_left(usize::try_from(any % count).unwrap_or(0));
            }
            let reply = join(joining, &answers.replies, question.proto);
            match joining {
                // Of Redis' commands that is `SCRIPT EXISTS`.
                Joining::LogicalAnd => worker.with_remembered(reply, &names),
                _ => reply,
            }
        }
        Err(text) => error(&text, question.proto),
    };
    match most {
        Some(most) => shortened(reply, most),
        None => reply,
    }
}

/// What those said who were asked once more: it belongs to lists of names, each of which is there once.
fn take_late(answers: &mut Answers, joining: Joining) {
    if joining == Joining::Distinct {
        answers.replies.append(&mut answers.late);
    }
}
