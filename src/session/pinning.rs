//! When a session gets a connection of its own, what goes over it, and when it goes back.

use std::sync::Arc;
use std::task::Context;

use super::cached::QueuedKeys;
use super::dispatch::{Flow, Request, backing_answers};
use super::pinned::{Expect, Opening, Pinned, Queued};
use super::replies::Then;
use super::run::Session;
use super::shared::{Settings, WorkerStats};
use crate::access::Denied;
use crate::command::{Handling, Local, Pin, arity_error, arity_ok, has_block_option};
use crate::resp::{ArgVec, Args, Proto, ReplyWriter, write_command};
use crate::upstream::{ConnectOptions, PooledConn};

/// A command that no Redis has: sent in place of one that is not allowed in a transaction, so that
/// the backing refuses to execute the transaction.
const SPOILER: &[u8] = b"*1\r\n$19\r\nRESPITE.NOT-ALLOWED\r\n";
const NOT_IN_TRANSACTION: &[u8] = b"-ERR Command not allowed inside a transaction\r\n";
const TRANSACTION_LOST: &str = "UPSTREAM the transaction was lost with its connection to the backing; nothing of it was executed";

impl Session {
    /// A command that leaves state in a connection, while the session has none of its own.
    pub(super) fn pin(
        &mut self,
        pin: Pin,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        match pin {
            Pin::Replication | Pin::Debugger => self.refuse(request),
            _ if !request.arity_ok() => self.forward(request.raw, Then::Pass, cx),
            Pin::Cluster | Pin::Exec | Pin::Discard => self.forward(request.raw, Then::Pass, cx),
            Pin::Unwatch => {
                self.state.watch_lost = false;
                self.forward(request.raw, Then::Pass, cx)
            }
            Pin::BlockIfOption if !has_block_option(request.args) => {
                self.forward(request.raw, Then::Pass, cx)
            }
            _ => match self.take_connection(settings) {
                Ok(true) => self.send_pinned(pin, request, cx),
                Ok(false) => Flow::Wait,
                Err(text) => self.answer_error(text),
            },
        }
    }

    fn refuse(&mut self, request: Request<'_>) -> Flow {
        let name = String::from_utf8_lossy(&request.args[0]).to_lowercase();
        self.answer_error(format!("ERR '{name}' is not available through Respite"))
    }

    /// Gives the session a connection of its own. False when replies are still outstanding on
    /// the shared link: they have to come first.
    pub(super) fn take_connection(&mut self, settings: &Settings) -> Result<bool, String> {
        if self.replies.outstanding() > 0 {
            return Ok(false);
        }
        let (proto, db) = (self.state.proto, self.state.db);
        let stats = self.worker.stats();
        let limit = settings.limits.pinned;
        let Some(place) = self.worker.pool.place(limit) else {
            return Err(format!(
                "ERR no connection of its own for this client: {limit} are in use (limits.pinned)"
            ));
        };
        let pinned = match self.worker.pool.take(place, proto, db) {
            Ok(pooled) => Pinned::open(pooled, proto, db),
            Err(place) => {
                WorkerStats::add(&stats.pins_opened, 1);
                let backing = Arc::clone(&self.worker.shared.backing);
                let timeout = settings.timeouts.connect;
                let opening: Opening = Box::pin(async move {
                    let options = ConnectOptions {
                        proto,
                        db,
                        name: "respite-pinned",
                        timeout,
                    };
                    Ok(PooledConn::new(
                        backing.connect_patiently(options).await?,
                        place,
                    ))
                });
                Pinned::opening(opening, proto, db)
            }
        };
        WorkerStats::add(&stats.pins, 1);
        self.pinned = Some(Box::new(pinned));
        self.link = None;
        self.fill = None;
        self.queued = QueuedKeys::default();
        self.replies.watch_clock(true);
        Ok(true)
    }

    /// Sends a command of the pinning kind on the session's own connection.
    fn send_pinned(&mut self, pin: Pin, request: Request<'_>, cx: &mut Context<'_>) -> Flow {
        let names = request.args.len() - 1;
        let expect = match pin {
            _ if !request.arity_ok() => Expect::Plain,
            Pin::Multi => Expect::Multi,
            Pin::Exec => Expect::Exec,
            Pin::Discard => Expect::Discard,
            Pin::Watch => Expect::Watch,
            Pin::Unwatch => Expect::Unwatch,
            Pin::Block => Expect::Blocking,
            Pin::BlockIfOption if has_block_option(request.args) => Expect::Blocking,
            Pin::Subscribe(_) if names > 0 => Expect::Subscribe { left: names },
            Pin::Unsubscribe(kind) => {
                let left = Some(names).filter(|names| *names > 0);
                Expect::Unsubscribe { kind, left }
            }
            Pin::Monitor => Expect::Monitor,
            Pin::Wait => {
                // WAIT counts the writes of its own connection: a command makes it catch up with
                // what this client wrote elsewhere.
                self.with_pinned(|pinned| pinned.swallow(&[b"PING"]));
                Expect::Blocking
            }
            Pin::Replication | Pin::Debugger => return self.refuse(request),
            _ => Expect::Plain,
        };
        self.send(request.raw, expect, cx)
    }

    fn with_pinned(&mut self, act: impl FnOnce(&mut Pinned)) {
        if let Some(pinned) = &mut self.pinned {
            act(pinned);
        }
    }

    pub(super) fn send(&mut self, raw: &[u8], expect: Expect, _cx: &mut Context<'_>) -> Flow {
        self.send_for(raw, expect, Then::Pass)
    }

    /// Sends a request on the session's own connection; its reply goes where `then` says.
    pub(super) fn send_for(&mut self, raw: &[u8], expect: Expect, then: Then) -> Flow {
        let cover = std::mem::take(&mut self.cover);
        // Confirmations of subscriptions are shown even to a client that wants no replies.
        let shown = matches!(
            expect,
            Expect::Subscribe { .. } | Expect::Unsubscribe { .. }
        );
        let then = match then {
            _ if self.is_silent() && !shown => Then::Drop,
            Then::Pass if cover.fence && !shown => self.hold(),
            then => then,
        };
        match &expect {
            Expect::Select(db) | Expect::Queued(Queued::Select(db)) => self.note_selected(*db),
            Expect::Discard => self.queued = QueuedKeys::default(),
            // Before the backing can show that it waits.
            Expect::Blocking => self.state.entry.update(|facts| facts.blocked = true),
            _ => {}
        }
        if let Some(pinned) = &mut self.pinned {
            pinned.send(raw, expect, then, cover.guard, &self.replies);
        }
        Flow::Done
    }

    /// Any command, while the session has a connection of its own.
    pub(super) fn route_pinned(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Some(pinned) = &self.pinned else {
            return Flow::Wait;
        };
        if pinned.in_multi() {
            return self.route_multi(request, settings, cx);
        }
        let handling = request.handling();
        let own = matches!(handling, Handling::Local(_) | Handling::Family(_));
        let shared = matches!(
            handling,
            Handling::Forward | Handling::Local(Local::Ping | Local::Echo)
        );
        let subscribing = matches!(
            handling,
            Handling::Pin(Pin::Subscribe(_) | Pin::Unsubscribe(_))
        );
        let resp2 = self.state.proto == Proto::Resp2;
        if resp2 && pinned.subscription_pending() && !shared && !subscribing {
            // Whether the client is a subscriber decides what it may do.
            return Flow::Wait;
        }
        let restricted = resp2 && pinned.is_subscriber();
        match handling {
            Handling::Local(local @ (Local::Quit | Local::Reset)) => {
                self.local(local, request, settings, cx)
            }
            _ if restricted && own => self.refuse_subscriber(request, cx),
            _ if shared || (restricted && !subscribing) => {
                self.send(request.raw, Expect::Plain, cx)
            }
            // What is answered here comes after what the backing has been asked.
            Handling::Local(local) if local != Local::Select && !pinned.is_quiet() => Flow::Wait,
            Handling::Family(_) if !pinned.is_quiet() => Flow::Wait,
            Handling::Local(Local::Select) => match database(request.args) {
                Some(db) => self.send(request.raw, Expect::Select(db), cx),
                None => self.send(request.raw, Expect::Plain, cx),
            },
            Handling::Local(local) => self.local(local, request, settings, cx),
            Handling::Pin(Pin::Exec | Pin::Discard) if self.state.watch_lost => {
                self.send(request.raw, Expect::Plain, cx)
            }
            Handling::Pin(pin) => {
                if pin == Pin::Unwatch {
                    self.state.watch_lost = false;
                }
                self.send_pinned(pin, request, cx)
            }
            Handling::Family(family) => self.family(family, request),
            Handling::Forward => self.send(request.raw, Expect::Plain, cx),
        }
    }

    /// A command of ours, of a RESP2 client that has subscriptions: the backing refuses it too.
    fn refuse_subscriber(&mut self, request: Request<'_>, cx: &mut Context<'_>) -> Flow {
        let args = request.args;
        let checked = request.leaf();
        if let Some(row) = checked.filter(|row| !arity_ok(row, args.len())) {
            return self.answer_error(arity_error(row));
        }
        if matches!(
            request.handling(),
            Handling::Local(Local::Ping | Local::Echo)
        ) {
            return self.send(request.raw, Expect::Plain, cx);
        }
        let name = checked.map_or("", |row| &row.name);
        self.answer_error(format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
             RESET are allowed in this context"
        ))
    }

    /// Any command between `MULTI` and `EXEC`.
    fn route_multi(
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
        match request.handling() {
            Handling::Local(local @ (Local::Quit | Local::Reset)) => {
                self.local(local, request, settings, cx)
            }
            Handling::Local(Local::Select) => {
                let what = database(args).map_or(Queued::Plain, Queued::Select);
                self.send(raw, queued(what), cx)
            }
            Handling::Local(Local::Client) => self.queue_client(args, raw, cx),
            Handling::Local(local) if backing_answers(local) => {
                self.send(raw, queued(Queued::Plain), cx)
            }
            Handling::Local(local) => self.queue_local(local, args, cx),
            Handling::Family(_) | Handling::Pin(Pin::Replication | Pin::Debugger) => {
                self.refuse_queueing(cx)
            }
            Handling::Pin(Pin::Exec) if self.state.watch_lost => {
                self.state.watch_lost = false;
                let mut aborted = Vec::new();
                ReplyWriter::new(&mut aborted, self.state.proto).null_array();
                let mut discard = Vec::new();
                write_command(&mut discard, &[b"DISCARD"]);
                self.with_pinned(Pinned::leave_multi);
                self.send(&discard, Expect::Instead(aborted), cx)
            }
            Handling::Pin(Pin::Exec) => self.send(raw, Expect::Exec, cx),
            Handling::Pin(Pin::Discard) => {
                self.state.watch_lost = false;
                self.send(raw, Expect::Discard, cx)
            }
            Handling::Pin(Pin::Multi | Pin::Watch) => self.send(raw, Expect::Plain, cx),
            Handling::Pin(Pin::Subscribe(_) | Pin::Unsubscribe(_) | Pin::Monitor) => {
                self.send(raw, queued(Queued::Subscription), cx)
            }
            Handling::Forward | Handling::Pin(_) => self.send(raw, queued(Queued::Plain), cx),
        }
    }

    /// A command that the session answers itself, when `EXEC` runs. Something harmless stands in
    /// for it at the backing.
    fn queue_local(&mut self, local: Local, args: Args<'_>, cx: &mut Context<'_>) -> Flow {
        let version = match local {
            // The replies behind it come in the new version.
            Local::Hello => super::hello::switches_to(args),
            _ => None,
        };
        let mut stand_in = Vec::new();
        match version {
            Some(proto) => {
                let version = proto.number().to_string();
                write_command(&mut stand_in, &[b"HELLO", version.as_bytes()]);
            }
            None => write_command(&mut stand_in, &[b"PING"]),
        }
        let args: ArgVec = args.to_owned();
        self.send(&stand_in, Expect::Queued(Queued::Local(local, args)), cx)
    }

    /// `CLIENT` in a transaction: what concerns the backing's connection is queued there, the
    /// rest is answered here when `EXEC` runs.
    fn queue_client(&mut self, args: Args<'_>, raw: &[u8], cx: &mut Context<'_>) -> Flow {
        match args
            .get(1)
            .unwrap_or_default()
            .to_ascii_uppercase()
            .as_slice()
        {
            sub if super::client_command::answers(sub) => self.queue_local(Local::Client, args, cx),
            b"REPLY" | b"UNBLOCK" => self.refuse_queueing(cx),
            b"TRACKING" | b"CACHING" | b"NO-TOUCH" => {
                self.send(raw, Expect::Queued(Queued::Subscription), cx)
            }
            _ => self.send(raw, Expect::Queued(Queued::Plain), cx),
        }
    }

    /// Refuses a command that cannot be part of a transaction, and the transaction with it.
    fn refuse_queueing(&mut self, cx: &mut Context<'_>) -> Flow {
        self.send(SPOILER, Expect::Instead(NOT_IN_TRANSACTION.to_vec()), cx)
    }

    /// Answers a command that the client may not run. As in Redis, a wrong number of arguments is
    /// found first, a refused command keeps its transaction from being executed, and a refused
    /// `EXEC` ends it.
    pub(super) fn reject(
        &mut self,
        request: Request<'_>,
        denied: &Denied,
        cx: &mut Context<'_>,
    ) -> Flow {
        let text = match request
            .leaf()
            .filter(|row| !arity_ok(row, request.args.len()))
        {
            Some(row) => arity_error(row),
            None => denied.to_string(),
        };
        let in_multi = self.pinned.as_ref().is_some_and(|pinned| pinned.in_multi());
        if request.handling() != Handling::Pin(Pin::Exec) {
            if in_multi {
                self.with_pinned(|pinned| pinned.send_unseen(SPOILER));
            }
            return self.answer_error(text);
        }
        let text = format!("EXECABORT Transaction discarded because of: {text}");
        if !in_multi {
            return self.answer_error(text);
        }
        let mut discard = Vec::new();
        write_command(&mut discard, &[b"DISCARD"]);
        self.with_pinned(Pinned::leave_multi);
        self.send(
            &discard,
            Expect::Instead(format!("-{text}\r\n").into_bytes()),
            cx,
        )
    }

    /// The client believes that it is in a transaction whose connection is gone.
    pub(super) fn after_lost_transaction(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        match Some(request.handling()) {
            Some(Handling::Local(local @ (Local::Quit | Local::Reset))) => {
                self.local(local, request, settings, cx)
            }
            Some(Handling::Pin(Pin::Discard)) => {
                self.state.transaction_lost = false;
                self.state.watch_lost = false;
                self.answer(|reply| reply.ok());
                Flow::Done
            }
            Some(Handling::Pin(Pin::Exec)) => {
                self.state.transaction_lost = false;
                self.state.watch_lost = false;
                self.answer_error(TRANSACTION_LOST)
            }
            _ => self.answer_error(TRANSACTION_LOST),
        }
    }

    /// Takes over what the pinned connection has learnt, and gives it back when nothing is left.
    pub(super) fn note_pinned(&mut self) {
        let Some(pinned) = &self.pinned else { return };
        let (subscriptions, multi) = pinned.shown();
        let (blocked, monitor) = (pinned.is_blocked(), pinned.is_monitor());
        let (tracking, db) = (pinned.is_tracking(), pinned.db());
        let backing_id = pinned.backing_id().unwrap_or(0);
        let free = pinned.is_free();
        self.state
            .entry
            .set_pinned(if free { 0 } else { backing_id });
        self.state.entry.update(|facts| {
            facts.subscriptions = subscriptions;
            facts.multi = multi;
            facts.blocked = blocked && !free;
            facts.monitor = monitor;
            facts.tracking = tracking;
        });
        // What is selected in a transaction holds when `EXEC` runs, however long that takes.
        if pinned.is_quiet() && !pinned.in_multi() {
            self.selected.clear();
        }
        if self.state.db != db && pinned.is_quiet() {
            self.state.set_db(db);
            self.worker.note_database(db);
        }
        if free {
            let pooled = self.pinned.take().and_then(|pinned| pinned.into_pooled());
            if let Some(pooled) = pooled {
                self.worker
                    .pool
                    .put(pooled, self.worker.settings().limits.pinned);
            }
        }
    }

    /// Clears what others see of a pinned connection that is gone.
    pub(super) fn forget_pinned(&mut self) {
        self.state.entry.set_pinned(0);
        self.state.entry.update(|facts| {
            facts.subscriptions = [0; 3];
            facts.multi = None;
            facts.blocked = false;
            facts.monitor = false;
            facts.tracking = false;
        });
    }
}

/// The database that `SELECT` names, when it is a number.
pub(super) fn database(args: Args<'_>) -> Option<u32> {
    let text = args.get(1).filter(|_| args.len() == 2)?;
    let plain = text == b"0" || (!text.is_empty() && text[0] != b'0');
    if !plain || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
