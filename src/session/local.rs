//! The connection commands that the session answers itself, `CLIENT`, `COMMAND`, `HELLO` and
//! `INFO` apart.

use std::task::{Context, Poll};

use super::client::Session;
use super::dispatch::Flow;
use super::login_turn::LoginTurn;
use super::pinned::Expect;
use super::pinning::database;
use super::replies::Then;
use super::request::Request;
use super::settings::Settings;
use super::state::{ConnState, ReplyMode};
use super::worker::Worker;
use super::{backing_login, client_command, cluster_command, hello};
use crate::command::{Local, arity_error, arity_ok};
use crate::resp::{Args, Proto};

/// Answers a command that needs nothing of the backing.
pub(super) fn answer(
    local: Local,
    state: &mut ConnState,
    worker: &Worker,
    args: Args<'_>,
    out: &mut Vec<u8>,
) {
    match local {
        Local::Hello => hello::answer(state, worker, args, out),
        Local::Auth => hello::auth(state, worker, args, out),
        Local::Cluster => cluster_command::answer(worker, state.proto, args, out),
        _ => client_command::answer(state, worker, args, out),
    }
}

impl Session {
    pub(super) fn local(
        &mut self,
        local: Local,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Request { args, row, .. } = request;
        if let Some(row) = row.filter(|row| !arity_ok(row, args.len())) {
            return self.answer_error(arity_error(row));
        }
        match local {
            Local::Ping
                if (self.backing_may_be_ailing() || self.state.unjudged)
                    && self.pinned.is_none()
                    && args.len() <= 2 =>
            {
                self.forward_to(true, request.raw, Then::Pass, cx)
            }
            Local::Ping => {
                match args.get(1) {
                    _ if args.len() > 2 => {
                        return self
                            .answer_error("ERR wrong number of arguments for 'ping' command");
                    }
                    Some(message) => self.answer(|reply| reply.bulk(message)),
                    None => self.answer(|reply| reply.simple("PONG")),
                }
                Flow::Done
            }
            Local::Echo if self.state.unjudged && self.pinned.is_none() => {
                self.forward_to(true, request.raw, Then::Pass, cx)
            }
            Local::Echo => {
                self.answer(|reply| reply.bulk(&args[1]));
                Flow::Done
            }
            Local::Select => self.select(request, settings, cx),
            Local::Quit => {
                self.answer(|reply| reply.ok());
                self.front.closing = true;
                Flow::Done
            }
            Local::Reset => self.reset(settings),
            Local::Hello if settings.hello.is_none() && self.replies.closes_on_loss() => {
                // The backing has not been reached yet.
                self.replies.end();
                self.front.closing = true;
                Flow::Done
            }
            Local::Hello | Local::Auth => {
                let polled = match self.is_judged_by_backing(settings) {
                    true => self.poll_judged(local, args, settings, cx),
                    false => hello::poll_turn(&mut self.state, local, args, settings, cx),
                };
                match polled {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(text)) => return self.answer_error(text),
                    Poll::Pending => return Flow::Wait,
                }
                let mut out = Vec::new();
                let logins = self.state.logins;
                answer(local, &mut self.state, &self.worker, args, &mut out);
                self.state.login_turn = LoginTurn::None;
                if self.state.logins != logins
                    && let Some((_, password)) = hello::attempt(local, args, settings)
                {
                    self.become_user(password);
                }
                if local == Local::Hello {
                    self.follow_proto();
                }
                self.answer(|reply| reply.raw(&out));
                Flow::Done
            }
            Local::Client => self.client(request, settings, cx),
            Local::Command => self.command(request, settings, cx),
            Local::Info => self.info(request, cx),
            Local::Cluster => self.cluster(request, settings, cx),
            Local::Node => self.ask_node(request, settings),
        }
    }

    /// Whether the backing has judged a login. What the client has asked before it comes first: it is another user's.
    fn poll_judged(
        &mut self,
        local: Local,
        args: Args<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), &'static str>> {
        let users = self.worker.shared.users().cloned();
        let (Some((user, password)), Some(users)) = (hello::attempt(local, args, settings), users)
        else {
            return Poll::Ready(Ok(()));
        };
        let mut own = self.pinned.as_deref().into_iter().chain(&self.parked);
        let owed = self.replies.outstanding() + self.replies.later() + self.replies.held();
        if owed > 0 || !own.all(|pinned| pinned.is_quiet()) {
            return Poll::Pending;
        }
        let named = [user, password];
        // The error for a password alone is another.
        let words = match (local, args.len()) {
            (Local::Auth, 2) => &named[1..],
            _ => &named[..],
        };
        backing_login::poll_judged(&mut self.state, &users, (user, words), settings, cx)
    }

    /// Whether the backing may have something else to say than `PONG`.
    fn backing_may_be_ailing(&self) -> bool {
        self.changes_info || self.worker.shared.backing.is_ailing() || self.worker.links.is_silent()
    }

    /// Brings the connections to the protocol version of the client.
    fn follow_proto(&mut self) {
        let proto = self.state.proto;
        if let Some(pinned) = self
            .pinned
            .as_mut()
            .filter(|pinned| pinned.proto() != proto)
        {
            pinned.set_proto(proto);
        }
        let parked = self.parked.iter_mut();
        parked
            .filter(|pinned| pinned.proto() != proto)
            .for_each(|pinned| pinned.set_proto(proto));
    }

    fn select(&mut self, request: Request<'_>, settings: &Settings, cx: &mut Context<'_>) -> Flow {
        let Some(db) = database(request.args) else {
            // Not a number: the backing has the words for it, and changes nothing.
            return self.forward(request.raw, Then::Pass, cx);
        };
        if self.worker.has_database(db) && !self.state.unjudged {
            if self.state.db != db {
                self.state.set_db(db);
            }
            self.answer(|reply| reply.ok());
            return Flow::Done;
        }
        // Only the backing knows whether it has this database.
        match self.take_connection(settings) {
            Ok(true) => self.send(request.raw, Expect::Select(db), cx),
            Ok(false) => Flow::Wait,
            Err(text) => self.answer_error(text),
        }
    }

    fn reset(&mut self, settings: &Settings) -> Flow {
        // While connections are set aside, what is outstanding is on the shared links.
        let streams = self.pinned.as_ref().is_some_and(|pinned| pinned.is_quiet());
        if self.replies.outstanding() > 0 && !streams {
            return Flow::Wait;
        }
        self.pinned = None;
        self.parked.clear();
        self.subscribed = None;
        self.forget_pinned();
        self.ways.leave();
        self.coherence.leave_fill();
        self.state.broken = None;
        self.monitoring = None;
        self.state.watch_lost = false;
        *self.families.as_caller.caller.shard.lock() = None;
        // As in Redis, a skip that is meant for this command stays.
        if self.state.reply != ReplyMode::SkipNext {
            self.state.reply = ReplyMode::On;
        }
        self.state.set_proto(Proto::Resp2);
        self.state.set_db(self.worker.shared.backing.first_db());
        self.state.set_user(None);
        self.follow_account();
        self.state.entry.update(|facts| {
            facts.name.clear();
            facts.no_evict = false;
            facts.monitor = false;
        });
        debug_assert!(settings.generation >= self.generation);
        self.answer(|reply| reply.simple("RESET"));
        Flow::Done
    }
}
