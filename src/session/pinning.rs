//! When a session gets a connection of its own, what goes over it, and when it goes back.

use std::sync::Arc;
use std::task::Context;

use super::client::Session;
use super::client_line::version;
use super::dispatch::Flow;
use super::pinned::{Expect, Opening, Pinned, Queued};
use super::registry::Kept;
use super::replies::Then;
use super::request::Request;
use super::settings::Settings;
use super::shared::WorkerStats;
use super::state::Broken;
use crate::cache::{Mutant, is_active};
use crate::command::{Handling, Local, Pin, arity_error, arity_ok, block_time, has_block_option};
use crate::resp::{Args, Proto};
use crate::upstream::{ConnectOptions, HOME, PooledConn};

/// From this version on only what is sent to replicas makes `WAIT` catch up.
const WRITE_SINCE: (u32, u32) = (7, 2);
/// What the backing's `CLIENT LIST` calls such connections.
pub(super) const PINNED_NAME: &str = "respite-pinned";
/// The least of that: nobody is subscribed, nothing is changed.
const CATCH_UP: &[u8] = b"*3\r\n$7\r\nPUBLISH\r\n$12\r\nrespite:wait\r\n$0\r\n\r\n";

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
            Pin::Monitor => self.begin_monitoring(request, settings),
            _ if !request.arity_ok() => self.forward(request.raw, Then::Pass, cx),
            Pin::Exec | Pin::Discard => self.forward(request.raw, Then::Pass, cx),
            Pin::Unwatch => {
                self.state.watch_lost = false;
                self.forward(request.raw, Then::Pass, cx)
            }
            Pin::BlockIfOption if !has_block_option(request.args) => {
                self.forward(request.raw, Then::Pass, cx)
            }
            Pin::Script => self.call_script(request, cx),
            _ => match self.take_connection(settings) {
                Ok(true) => self.send_pinned(pin, request, cx),
                Ok(false) => Flow::Wait,
                Err(text) => {
                    self.note_refused(pin);
                    self.answer_error(text)
                }
            },
        }
    }

    /// Sends a large request on a connection of its own; where there is no place for one, as a
    /// script: those who wait on that link have asked for slow things themselves.
    pub(super) fn forward_alone(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        match self.send_apart(request, Expect::Plain, settings, cx) {
            Ok(flow) => flow,
            Err(_) => self.call_script(request, cx),
        }
    }

    /// Sends a command of which nothing is known (a `MULTI` that was renamed, say) on a connection of the client's own.
    /// Unless the backing does not know it either, the connection stays the client's: whatever state the command
    /// has left there is for nobody else.
    pub(super) fn forward_unknown(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        match self.send_apart(request, Expect::Unknown, settings, cx) {
            Ok(flow) => flow,
            Err(text) => self.answer_error(text),
        }
    }

    /// Whether the reply has a push in front, which is nobody's on a shared link: `DEBUG PROTOCOL PUSH` has.
    pub(super) fn asks_for_push(&self, request: Request<'_>) -> bool {
        let args = request.args;
        args.len() == 3
            && self.state.proto == Proto::Resp3
            && args[0].eq_ignore_ascii_case(b"DEBUG")
            && args[1].eq_ignore_ascii_case(b"PROTOCOL")
            && args[2].eq_ignore_ascii_case(b"PUSH")
    }

    fn send_apart(
        &mut self,
        request: Request<'_>,
        expect: Expect,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Result<Flow, String> {
        Ok(match self.take_connection(settings)? {
            true => self.send(request.raw, expect, cx),
            false => Flow::Wait,
        })
    }

    /// Sends a script, on a link that only those wait for who call scripts themselves.
    fn call_script(&mut self, request: Request<'_>, cx: &Context<'_>) -> Flow {
        self.ways.scripts = true;
        match self.worker.directions.is_divided() {
            true => self.call_script_at(self.ways.to, request, cx),
            false => self.forward(request.raw, Then::Pass, cx),
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
        let key = self.link_key(self.ways.to);
        let stats = self.worker.stats();
        let limit = settings.limits.pinned;
        let Some(place) = self.worker.pool.place(limit) else {
            return Err(format!(
                "ERR no connection of its own for this client: {limit} are in use (limits.pinned)"
            ));
        };
        if self.worker.directions.is_divided() {
            let pinned = self.reach(place, key);
            self.own(pinned);
            return Ok(true);
        }
        let pinned = match self.worker.pool.take(place, key) {
            Ok(pooled) => Pinned::open(pooled, key),
            Err(place) => {
                WorkerStats::add(&stats.pins_opened, 1);
                let backing = Arc::clone(&self.worker.shared.backing);
                let timeout = settings.timeouts.connect;
                let opening: Opening = Box::pin(async move {
                    let options = ConnectOptions {
                        key,
                        name: PINNED_NAME,
                        timeout,
                    };
                    Ok(PooledConn::new(
                        backing.connect_patiently(options).await?,
                        place,
                    ))
                });
                Pinned::opening(opening, key)
            }
        };
        self.own(pinned);
        Ok(true)
    }

    /// The client has this connection to itself.
    pub(super) fn own(&mut self, pinned: Pinned) {
        WorkerStats::add(&self.worker.stats().pins, 1);
        self.pinned = Some(Box::new(pinned));
        self.ways.leave();
        self.coherence.leave_fill();
        if !self.is_watching() {
            self.coherence.forget_queued();
        }
        self.replies.watch_clock(true);
    }

    /// Sends a command of the pinning kind on the session's own connection.
    pub(super) fn send_pinned(
        &mut self,
        pin: Pin,
        request: Request<'_>,
        cx: &mut Context<'_>,
    ) -> Flow {
        let names = request.args.len() - 1;
        let expect = match pin {
            _ if !request.arity_ok() => Expect::Plain,
            Pin::Multi => Expect::Multi,
            Pin::Exec => Expect::Exec(Vec::new(), Vec::new()),
            Pin::Discard => Expect::Discard,
            Pin::Watch => {
                if !is_active(Mutant::WatchedNotGuarded) {
                    self.coherence.note_queued(request, self.state.db);
                }
                Expect::Watch(u32::try_from(names).unwrap_or(u32::MAX))
            }
            Pin::Unwatch => Expect::Unwatch,
            Pin::Block => blocking(request),
            Pin::BlockIfOption if has_block_option(request.args) => blocking(request),
            Pin::Subscribe(_) if names > 0 => Expect::Subscribe { left: names },
            Pin::Unsubscribe(kind) => {
                let left = Some(names).filter(|names| *names > 0);
                Expect::Unsubscribe { kind, left }
            }
            Pin::Wait => {
                // WAIT counts the writes of its own connection: a command makes it catch up with
                // what this client wrote elsewhere.
                let settings = self.worker.settings();
                let writes = version(settings.hello.as_deref()).is_none_or(|v| v >= WRITE_SINCE);
                self.with_pinned(|pinned| {
                    match pinned.login().is_own() {
                        true => pinned.swallow(&[b"PING"]),
                        false => pinned.ping(),
                    }
                    if writes {
                        pinned.send_unseen(CATCH_UP);
                    }
                });
                blocking(request)
            }
            Pin::Replication | Pin::Debugger => return self.refuse(request),
            _ => Expect::Plain,
        };
        self.send(request.raw, expect, cx)
    }

    pub(super) fn with_pinned(&mut self, act: impl FnOnce(&mut Pinned)) {
        if let Some(pinned) = &mut self.pinned {
            act(pinned);
        }
    }

    pub(super) fn send(&mut self, raw: &[u8], expect: Expect, _cx: &mut Context<'_>) -> Flow {
        self.send_for(raw, expect, Then::Pass)
    }

    /// Sends a request on the session's own connection; its reply goes where `then` says.
    pub(super) fn send_for(&mut self, raw: &[u8], expect: Expect, then: Then) -> Flow {
        let cover = std::mem::take(&mut self.coherence.cover);
        // Confirmations of subscriptions are shown even to a client that wants no replies.
        let shown = matches!(
            expect,
            Expect::Subscribe { .. } | Expect::Unsubscribe { .. }
        );
        let then = match shown {
            true => then,
            false => self.fenced(then, cover.fence, self.is_silent()),
        };
        match &expect {
            Expect::Select(db) | Expect::Queued(Queued::Select(db)) => {
                self.coherence.note_selected(*db)
            }
            // Before the backing can show that it waits.
            Expect::Blocking(_) => self.state.entry.update(|facts| {
                facts.blocked = true;
                facts.blocks += 1;
            }),
            Expect::Multi => self.begin_queueing(),
            _ => {}
        }
        if let Some(pinned) = &mut self.pinned {
            pinned.send_alone(self.ways.has_several && !pinned.in_multi());
            pinned.lend(self.front.share(raw));
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
            _ if request.leaf().is_none() => self.send(request.raw, Expect::Unknown, cx),
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
            Handling::Pin(Pin::Monitor) => self.begin_monitoring(request, settings),
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
    pub(super) fn refuse_subscriber(&mut self, request: Request<'_>, cx: &mut Context<'_>) -> Flow {
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
        self.refuse_in_subscription(checked.map_or("", |row| &row.name))
    }

    /// Takes over what the pinned connection has learnt, and gives it back when nothing is left.
    pub(super) fn note_pinned(&mut self) {
        let Some(pinned) = &mut self.pinned else {
            return;
        };
        if pinned.take_refused_multi() {
            self.state.broken = Some(Broken::Refused);
        }
        let db = pinned.db();
        let backing_id = pinned.backing_id().unwrap_or(0);
        let free = pinned.is_free();
        let entry = &self.state.entry;
        entry.set_pinned(pinned.node(), if free { 0 } else { backing_id });
        entry.update(|facts| {
            pinned.show(facts);
            self.parked
                .iter()
                .for_each(|parked| parked.show_more(facts));
        });
        // What is selected in a transaction holds when `EXEC` runs, however long that takes.
        if pinned.is_quiet() && !pinned.in_multi() {
            self.coherence.confirm_selected();
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
        } else if self.worker.directions.is_divided() {
            self.park();
        }
    }

    /// Clears what others see of a pinned connection that is gone.
    pub(super) fn forget_pinned(&mut self) {
        self.state.entry.set_pinned(HOME, 0);
        self.state.entry.set_kept(Kept::NotYet);
        self.state.entry.update(|facts| {
            facts.forget_pinned();
            self.parked
                .iter()
                .for_each(|parked| parked.show_more(facts));
        });
    }
}

/// What the reply of a command is that waits at the backing.
fn blocking(request: Request<'_>) -> Expect {
    let name = request.leaf().map_or("", |row| &*row.name);
    Expect::Blocking(block_time(name, request.args))
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
