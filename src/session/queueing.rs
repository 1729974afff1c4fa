//! What is queued between `MULTI` and `EXEC`, and who may have it executed.

use std::sync::Arc;
use std::task::{Context, Poll};

use super::client::Session;
use super::dispatch::Flow;
use super::paused::may_replicate;
use super::pinned::{ABORT, Expect, Pinned, Queued};
use super::pinning::database;
use super::queue::Queue;
use super::request::Request;
use super::settings::Settings;
use super::{client_command, cluster_command, hello};
use crate::access::Denied;
use crate::command::{Handling, Local, Pin};
use crate::resp::{ArgVec, Args, Proto, ReplyWriter, write_command};

/// A command that no Redis has: sent in place of one that is not allowed in a transaction, so that
/// the backing refuses to execute the transaction.
pub(super) const SPOILER: &[u8] = b"*1\r\n$19\r\nRESPITE.NOT-ALLOWED\r\n";
const NOT_IN_TRANSACTION: &[u8] = b"-ERR Command not allowed inside a transaction\r\n";
const TOO_LARGE_TO_QUEUE: &[u8] =
    b"-ERR the names and ids in this transaction have more than 1 MiB in all\r\n";
/// Redis' words in the reply of `EXEC`, and why.
const NO_LONGER: &str = "NOPERM ACLs rules changed between the moment the transaction was \
    accumulated and the EXEC call. This command is no longer allowed for the following reason: ";
/// The access rules are new, and what was queued is not known any more command by command.
const NEW_RULES: &[u8] = b"-EXECABORT Transaction discarded because of: the access rules have \
    changed since MULTI\r\n";

impl Session {
    /// A `MULTI` is sent.
    pub(super) fn begin_queueing(&mut self) {
        self.queueing.queue = Queue {
            access: Some(Arc::clone(&self.worker.settings().access)),
            ..Queue::default()
        };
    }

    /// Whether what follows has to wait for the reply of a `MULTI`, since it would be executed at
    /// once if that was refused, or of an `EXEC` that may make the client another user.
    pub(super) fn awaits_transaction(&mut self) -> bool {
        let Some(pinned) = &self.pinned else {
            self.queueing.awaits_login = false;
            return false;
        };
        self.queueing.awaits_login &= !pinned.is_quiet();
        self.queueing.awaits_login || pinned.awaits_multi()
    }

    /// Any command between `MULTI` and `EXEC`.
    pub(super) fn route_multi(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Request { args, raw, .. } = request;
        let queued = |what| Expect::Queued(what);
        if !request.arity_ok() {
            // The backing refuses it, and the transaction with it.
            return self.send(raw, queued(Queued::Plain), cx);
        }
        let handling = request.handling();
        if let Some(denied) = self.denied_at_exec(request, settings) {
            let user = self.queueing.queue.user;
            self.note_denied(&denied, request, user);
            return self.queue_denied(&denied, cx);
        }
        if may_replicate(request, settings) {
            self.with_pinned(Pinned::note_queued_write);
        }
        match handling {
            Handling::Local(local @ (Local::Quit | Local::Reset)) => {
                self.local(local, request, settings, cx)
            }
            Handling::Local(Local::Select) => {
                let what = database(args).map_or(Queued::Plain, Queued::Select);
                self.send(raw, queued(what), cx)
            }
            Handling::Local(Local::Client) => self.queue_client(request, settings, cx),
            Handling::Local(Local::Node) => self.refuse_queueing(cx),
            Handling::Local(Local::Cluster) => self.queue_cluster(request, settings, cx),
            Handling::Local(local) if backing_answers(local) => {
                self.send(raw, queued(Queued::Plain), cx)
            }
            // The connection at hand is its user's to the end of the transaction.
            Handling::Local(local)
                if settings.access.is_of_backing() && hello::attempts(local, args, settings) =>
            {
                self.refuse_queueing(cx)
            }
            Handling::Local(local) => {
                self.queueing.queue.logs_in |= matches!(local, Local::Auth | Local::Hello);
                match hello::poll_hash(&mut self.state, local, args, settings, cx) {
                    Poll::Ready(Ok(())) => {}
                    Poll::Ready(Err(text)) => return self.queue_answer(text, cx),
                    Poll::Pending => return Flow::Wait,
                }
                match hello::logs_in(local, args, &mut self.state, settings) {
                    Ok(None) => {}
                    Ok(user) => self.queueing.queue.user = user,
                    Err(text) => return self.queue_answer(text, cx),
                }
                self.queue_local(local, args, cx)
            }
            Handling::Family(_) | Handling::Pin(Pin::Replication | Pin::Debugger) => {
                self.refuse_queueing(cx)
            }
            Handling::Pin(Pin::Exec) => self.send_exec(request, settings, cx),
            Handling::Pin(Pin::Discard) => {
                self.state.watch_lost = false;
                self.send(raw, Expect::Discard, cx)
            }
            Handling::Pin(Pin::Multi | Pin::Watch) => self.send(raw, Expect::Plain, cx),
            Handling::Pin(Pin::Subscribe(_) | Pin::Unsubscribe(_) | Pin::Monitor) => {
                self.send(raw, queued(Queued::Subscription), cx)
            }
            // It may be a `SELECT` under another name.
            Handling::Forward if request.leaf().is_none() => {
                self.send(raw, queued(Queued::Subscription), cx)
            }
            Handling::Forward | Handling::Pin(_) => self.send(raw, queued(Queued::Plain), cx),
        }
    }

    /// `EXEC`, or what has to stand in for it.
    fn send_exec(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let lines = self.lines_of_exec(request);
        let Queue {
            access: judged,
            logs_in,
            ..
        } = std::mem::take(&mut self.queueing.queue);
        self.queueing.awaits_login |= logs_in;
        let same = judged.is_some_and(|judged| Arc::ptr_eq(&judged, &settings.access));
        if std::mem::take(&mut self.state.watch_lost) {
            let mut aborted = Vec::new();
            ReplyWriter::new(&mut aborted, self.state.proto).null_array();
            return self.discard_instead(aborted, cx);
        }
        if !same && !settings.access.is_unrestricted() {
            return self.discard_instead(NEW_RULES.to_vec(), cx);
        }
        self.send(request.raw, Expect::Exec(lines, Vec::new()), cx)
    }

    /// Ends the transaction; the client gets this for its `EXEC`.
    pub(super) fn discard_instead(&mut self, reply: Vec<u8>, cx: &mut Context<'_>) -> Flow {
        self.with_pinned(Pinned::leave_multi);
        self.send(ABORT, Expect::Aborted(reply), cx)
    }

    /// Why the client will not be allowed to run this when `EXEC` comes to it, although it is now:
    /// an `AUTH` in front of it is queued.
    fn denied_at_exec(&self, request: Request<'_>, settings: &Settings) -> Option<Denied> {
        let user = self.queueing.queue.user?;
        let Request { args, row, sub, .. } = request;
        let immediate = matches!(
            request.handling(),
            Handling::Pin(Pin::Exec | Pin::Discard | Pin::Multi | Pin::Watch)
                | Handling::Local(Local::Quit | Local::Reset)
        );
        let judged = settings.access.check(Some(user), row, &args[0], sub, args);
        judged.err().filter(|_| !immediate)
    }

    /// As in Redis, a command that is not allowed any more when `EXEC` comes to it has an error in
    /// its place, and the others are executed.
    fn queue_denied(&mut self, denied: &Denied, cx: &mut Context<'_>) -> Flow {
        let reason = match denied {
            Denied::Command(_) => "no permission to execute the command or subcommand",
            Denied::Key(_) => "no permission to touch the specified keys",
            Denied::Channel(_) => "no permission to access one of the channels used as arguments",
            _ => "no permission",
        };
        self.queue_answer(format!("{NO_LONGER}{reason}"), cx)
    }

    /// Queues an error that is known already.
    pub(super) fn queue_answer(&mut self, error: impl AsRef<[u8]>, cx: &mut Context<'_>) -> Flow {
        let mut answer = Vec::new();
        ReplyWriter::new(&mut answer, self.state.proto).error(error);
        let mut stand_in = Vec::new();
        write_command(&mut stand_in, &[self.harmless()]);
        self.send(&stand_in, Expect::Queued(Queued::Answer(answer)), cx)
    }

    /// A command that changes nothing, and that the connection at hand may be sent: users of the backing may not be
    /// allowed to `PING`.
    fn harmless(&self) -> &'static [u8] {
        match self.state.login().is_own() {
            true => b"PING",
            false => b"HELLO",
        }
    }

    /// A command that the session answers itself, when `EXEC` runs. Something harmless stands in
    /// for it at the backing.
    fn queue_local(&mut self, local: Local, args: Args<'_>, cx: &mut Context<'_>) -> Flow {
        // With what it takes to know where each is.
        let bytes = args.iter().map(|arg| arg.len() + 8).sum();
        let pinned = self.pinned.as_ref();
        match pinned.map(|pinned| pinned.may_queue_local(bytes)) {
            Some(Some(true)) => {}
            Some(Some(false)) => return self.spoil(TOO_LARGE_TO_QUEUE, cx),
            _ => return Flow::Wait,
        }
        let version = match local {
            // The replies behind it come in the new version.
            Local::Hello => hello::switches_to(args),
            _ => None,
        };
        let mut stand_in = Vec::new();
        match version.map(Proto::number) {
            Some(version) => {
                let version = version.to_string();
                write_command(&mut stand_in, &[b"HELLO", version.as_bytes()]);
            }
            None => write_command(&mut stand_in, &[self.harmless()]),
        }
        let args: ArgVec = args.to_owned();
        self.send(&stand_in, Expect::Queued(Queued::Local(local, args)), cx)
    }

    /// `CLIENT` in a transaction: what concerns the backing's connection is queued there, the
    /// rest is answered here when `EXEC` runs. No id that the client names reaches the backing.
    fn queue_client(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Request { args, raw, .. } = request;
        let sub = args.get(1).unwrap_or_default().to_ascii_uppercase();
        if !client_command::exists(&sub, settings) {
            // The backing says so.
            return self.send(raw, Expect::Queued(Queued::Plain), cx);
        }
        match sub.as_slice() {
            sub if client_command::answers(sub) => self.queue_local(Local::Client, args, cx),
            b"TRACKING" => self.queue_tracking(request, settings, cx),
            b"CACHING" | b"NO-TOUCH" => self.send(raw, Expect::Queued(Queued::Subscription), cx),
            b"TRACKINGINFO" | b"GETREDIR" => self.send(raw, Expect::Queued(Queued::ShowsId), cx),
            b"HELP" => self.send(raw, Expect::Queued(Queued::Plain), cx),
            _ if request.sub.is_some() => self.refuse_queueing(cx),
            _ => self.send(raw, Expect::Queued(Queued::Plain), cx),
        }
    }

    /// What a cluster is asked, in a transaction.
    fn queue_cluster(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Request { args, raw, .. } = request;
        if !cluster_command::is_answered(settings, &self.worker.shared.backing) {
            return self.send(raw, Expect::Queued(Queued::Plain), cx);
        }
        if settings.announced.is_some() && cluster_command::asks_for_keys(args) {
            return self.refuse_queueing(cx);
        }
        self.queue_local(Local::Cluster, args, cx)
    }

    /// Refuses a command that cannot be part of a transaction, and the transaction with it.
    pub(super) fn refuse_queueing(&mut self, cx: &mut Context<'_>) -> Flow {
        self.spoil(NOT_IN_TRANSACTION, cx)
    }

    /// Answers with an error, and has the backing refuse the transaction.
    fn spoil(&mut self, error: &[u8], cx: &mut Context<'_>) -> Flow {
        self.send(SPOILER, Expect::Instead(error.to_vec()), cx)
    }
}

/// Whether a local command is one that a `+QUEUED` connection of the backing can answer as well.
fn backing_answers(local: Local) -> bool {
    matches!(
        local,
        Local::Ping | Local::Echo | Local::Command | Local::Info
    )
}
