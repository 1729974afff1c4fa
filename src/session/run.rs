//! A session's loop: read requests, let them be answered, write the replies.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tracing::{debug, warn};

use super::client::Session;
use super::coherence::Coherence;
use super::families::Families;
use super::front::Front;
use super::held::Held;
use super::input::{Input, READ_AHEAD};
use super::mailbox::{NewClient, Socket};
use super::pinned::{Answers, Leftover, Pinned};
use super::queue::Queueing;
use super::replies::{Cut, Replies};
use super::route::Ways;
use super::state::{Broken, ConnState};
use super::timing::Timing;
use super::worker::Worker;
use crate::clock;
use crate::config::OnLoss;
use crate::resp::ArgVec;
use crate::stream::Stream;
use crate::upstream::UpstreamError;

/// Rounds of reading before other sessions get their turn.
const TURNS: usize = 8;
/// How long a TLS client may take for its handshake.
const TLS_HANDSHAKE: Duration = Duration::from_secs(10);

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum End {
    #[error("closed")]
    Closed,
    #[error("killed")]
    Killed,
    #[error("its user is not configured any more, or may not do what it waits for")]
    UserGone,
    #[error("idle for longer than timeouts.idle")]
    Idle,
    #[error("it does not read what waits for it: limits.client_output_bytes")]
    SlowReader,
    #[error("most is kept for it of all clients: limits.memory")]
    Evicted,
    #[error("speaks HTTP")]
    Http,
    #[error("the connection to the backing was lost in the middle of a reply")]
    BrokenReply,
    #[error("the connection to the backing that carried its commands or its state was lost")]
    BackingLost,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Serves one client until it goes away.
pub(super) async fn serve(worker: Rc<Worker>, client: NewClient, replies: Rc<Replies>) {
    let id = client.entry.id;
    match Session::open(worker, client, replies).await {
        Ok(mut session) => {
            let end = std::future::poll_fn(|cx| session.poll(cx)).await;
            if matches!(end, End::SlowReader | End::Evicted) {
                let (addr, bytes) = (session.state.entry.addr(), session.bytes());
                warn!(client = id, addr, bytes, "client cut off: {end}");
            } else {
                debug!(client = id, "session ended: {end}");
            }
            session.finish(&end).await;
        }
        Err(error) => debug!(client = id, "no session: {error}"),
    }
}

impl Session {
    /// In a place of its own: the task that serves it would have several, one for each step.
    async fn open(
        worker: Rc<Worker>,
        client: NewClient,
        replies: Rc<Replies>,
    ) -> io::Result<Box<Session>> {
        let mut hits = None;
        let mut trusted = false;
        let stream = match (client.socket, client.tls) {
            (Socket::Internal(socket, count, is_trusted), _) => {
                hits = Some(count);
                trusted = is_trusted;
                Stream::Unix(UnixStream::from_std(socket)?)
            }
            (Socket::Tcp(socket), None) => Stream::Tcp(TcpStream::from_std(socket)?),
            (Socket::Tcp(socket), Some(acceptor)) => {
                let socket = TcpStream::from_std(socket)?;
                let handshake = tokio::time::timeout(TLS_HANDSHAKE, acceptor.accept(socket));
                Stream::Tls(Box::new(handshake.await??.into()))
            }
        };
        let settings = worker.settings();
        let first_db = worker.shared.backing.first_db();
        let fd = stream.descriptor();
        client.entry.update(|facts| facts.fd = fd);
        replies.end_with_loss(hits.is_none() && settings.on_loss == OnLoss::Close);
        let held = Held::new(Arc::clone(&client.entry), Arc::clone(&worker.shared));
        let access = Arc::clone(&settings.access);
        let generation = settings.generation;
        Ok(Box::new(Session {
            families: Families::new(&client.entry, Arc::clone(&worker.shared)),
            front: Front::new(stream, held),
            state: ConnState::new(client.entry, first_db, trusted, access),
            ways: Ways::default(),
            pinned: None,
            parked: Vec::new(),
            subscribed: None,
            coherence: Coherence::new(hits),
            queueing: Queueing::default(),
            monitoring: None,
            changes_info: false,
            timing: Timing::default(),
            killed_itself: false,
            generation,
            worker,
            replies,
        }))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let end = self.poll_turns(cx);
        self.front.held.tell(self.bytes());
        self.show_proto();
        end
    }

    /// Bytes that are kept for the client.
    fn bytes(&self) -> usize {
        let own = self.pinned.as_deref().into_iter().chain(&self.parked);
        let pinned: usize = own.map(Pinned::bytes).sum();
        self.front.bytes()
            + self.replies.bytes()
            + self.coherence.bytes(&self.replies)
            + pinned
            + self.subscription_bytes()
            + self.state.entry.name_bytes()
    }

    fn poll_turns(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.replies.set_task(cx);
        if self.worker.generation() != self.generation && !self.adopt() {
            return Poll::Ready(End::UserGone);
        }
        if self.state.entry.has_wishes() {
            self.heed_wishes();
        }
        self.note_changed_info();
        for _ in 0..TURNS {
            if self.state.entry.is_killed() && !self.killed_itself {
                return Poll::Ready(End::Killed);
            }
            self.front.held.tell(self.bytes());
            if self.state.entry.is_evicted() {
                return Poll::Ready(End::Evicted);
            }
            let progress = match self.poll_once(cx) {
                Ok(progress) => progress,
                Err(end) => return Poll::Ready(end),
            };
            if let Some(cut) = self.replies.cut() {
                return Poll::Ready(match cut {
                    Cut::SlowReader => End::SlowReader,
                    Cut::BrokenReply => End::BrokenReply,
                    Cut::Http => End::Http,
                });
            }
            if !progress {
                if self.is_done() {
                    return Poll::Ready(match self.replies.is_ending() {
                        true => End::BackingLost,
                        false => End::Closed,
                    });
                }
                return match self.check_clock() {
                    Some(end) => Poll::Ready(end),
                    None => Poll::Pending,
                };
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_once(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = self.poll_pinned(cx)?;
        progress |= self.take_monitored();
        self.front.closing |= self.replies.is_ending();
        if self.front.closing {
            progress |= self.poll_discard(cx)?;
        } else {
            progress |= self.poll_input(cx)?;
            if self.pinned.is_some() {
                // What was just sent leaves at once.
                progress |= self.poll_pinned(cx)?;
            }
        }
        let (backlogged, full) = (self.replies.is_backlogged(), self.replies.is_full());
        if let Poll::Ready(written) = self.replies.poll_write(&mut self.front.stream, cx) {
            written?;
        }
        if self.replies.has_slow() {
            self.log_slow();
        }
        // Whoever waited for the client to read has its turn now.
        progress |= backlogged && !self.replies.is_backlogged();
        progress |= full && !self.replies.is_full();
        Ok(progress)
    }

    /// Whether nothing is owed to a client that wants, or sends, nothing more.
    fn is_done(&self) -> bool {
        let blocked = self.waits_here();
        if (self.front.eof && (blocked || self.waits_for_ever()))
            || (blocked && self.worker.draining.get())
        {
            return true;
        }
        let draining = self.worker.draining.get() && self.front.input.is_empty();
        ((self.front.eof && !self.front.waiting) || self.front.closing || draining)
            && self.replies.is_settled()
    }

    fn poll_input(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut progress = false;
        if !self.front.input.is_empty() {
            progress |= self.process_input(cx) > 0;
        }
        if !self.front.reads_on(self.read_ahead()) {
            return Ok(progress);
        }
        if self.front.reads_into_own() {
            match self.front.poll_read_on(cx) {
                Poll::Pending => return Ok(progress),
                Poll::Ready(read) => {
                    if read? {
                        self.process_input(cx);
                    }
                }
            }
        } else {
            let worker = Rc::clone(&self.worker);
            let mut scratch = worker.scratch.borrow_mut();
            let n = match self.front.poll_read(&mut scratch, cx) {
                Poll::Pending => return Ok(progress),
                Poll::Ready(read) => read?,
            };
            self.process_fresh(&scratch[..n], cx);
            if n < scratch.len() && self.is_done_for_now() {
                // Most often nothing more is there, which is learnt without another turn.
                match self.front.poll_read(&mut scratch, cx) {
                    Poll::Pending => return Ok(progress),
                    Poll::Ready(read) => {
                        let n = read?;
                        self.process_fresh(&scratch[..n], cx);
                    }
                }
            }
        }
        Ok(true)
    }

    /// Handles what has just come, and keeps the rest.
    fn process_fresh(&mut self, fresh: &[u8], cx: &mut Context<'_>) {
        let used = self.process(fresh, cx);
        self.front.keep(&fresh[used..]);
    }

    /// Whether another turn would do nothing but read.
    fn is_done_for_now(&self) -> bool {
        let (front, own) = (
            &self.front,
            self.pinned.is_some() || !self.parked.is_empty(),
        );
        let is_plain = !own && !front.waiting && front.input.is_empty();
        let listens = self.subscribed.is_some() || self.monitoring.is_some();
        is_plain && !listens && !front.eof && !front.closing && !self.waits_here()
    }

    /// How much input may wait. Behind a blocked command as much as a request may have, as in
    /// Redis: a client that goes away is not noticed before all that it had sent is read.
    fn read_ahead(&self) -> usize {
        if self.waits_for_ever() {
            self.worker.settings().limits.request_bytes.max(READ_AHEAD)
        } else {
            READ_AHEAD
        }
    }

    /// Whether the command at hand waits for something that is not the backing's: an event, or its turn.
    fn waits_here(&self) -> bool {
        self.families.is_blocked() || self.state.login_turn.is_waiting()
    }

    /// Whether its own connection to the backing is blocked.
    pub(super) fn waits_for_ever(&self) -> bool {
        let mut own = self.pinned.as_deref().into_iter().chain(&self.parked);
        own.any(Pinned::waits_for_ever)
    }

    /// Handles what can be handled of the input; returns how many bytes that were.
    fn process_input(&mut self, cx: &mut Context<'_>) -> usize {
        if self.front.input.len() < self.front.parser.needed() {
            return 0;
        }
        let mut input = std::mem::take(&mut self.front.input);
        if input.is_large() {
            return self.process_lent(input, cx);
        }
        let used = self.process(input.rest(), cx);
        if !self.front.closing {
            input.take(used);
            self.front.input = input;
        }
        used
    }

    /// Reads on to notice when the client goes away, while it is still owed something.
    fn poll_discard(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        if self.front.eof || self.replies.is_settled() {
            return Ok(false);
        }
        let mut scratch = self.worker.scratch.borrow_mut();
        match self.front.poll_read(&mut scratch, cx) {
            Poll::Pending => Ok(false),
            Poll::Ready(read) => read.map(|_| true).map_err(End::Io),
        }
    }

    /// Moves bytes of the pinned connection, and lets go of it when it is not needed any more.
    fn poll_pinned(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let parked = !self.parked.is_empty() && self.poll_parked(cx);
        let Some(mut pinned) = self.pinned.take() else {
            return Ok(parked);
        };
        let id = pinned.backing_id().unwrap_or(0);
        self.state.entry.set_pinned(pinned.node(), id);
        let moved = self.poll_one(&mut pinned, cx);
        self.pinned = Some(pinned);
        match moved {
            Ok(moved) => {
                let led = self.lead_on() || self.follow_channels();
                self.note_pinned();
                if self.state.entry.has_wishes() {
                    self.heed_wishes();
                }
                Ok(moved || led || parked)
            }
            Err(error) => {
                if matches!(error, UpstreamError::Demoted) {
                    self.worker.shared.backing.doubt();
                }
                self.lose_pinned(&error)
            }
        }
    }

    /// Moves bytes of one of its connections.
    pub(super) fn poll_one(
        &mut self,
        pinned: &mut Pinned,
        cx: &mut Context<'_>,
    ) -> Result<bool, UpstreamError> {
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch.borrow_mut();
        pinned.ask_if_quiet(clock::now());
        let state = &mut self.state;
        let mut local = |local, args: &ArgVec, out: &mut Vec<u8>| {
            state.in_transaction = true;
            super::local::answer(local, state, &worker, args.as_args(), out);
            state.in_transaction = false;
            state.proto
        };
        let mut answers = Answers {
            replies: &self.replies,
            local: &mut local,
            shared: &worker.shared,
            elsewhere: self.parked.iter().map(Pinned::slot_channels).sum(),
        };
        let moved = pinned.poll(&mut scratch, &mut answers, cx);
        if pinned.take_unasked() {
            // What the backing says unasked is activity, too.
            self.front.busy = Instant::now();
        }
        moved
    }

    fn lose_pinned(&mut self, error: &UpstreamError) -> Result<bool, End> {
        if self.outlives_loss(error) {
            return Ok(true);
        }
        let Some(mut pinned) = self.pinned.take() else {
            return Ok(false);
        };
        debug!(
            client = self.state.entry.id,
            "pinned connection lost: {error}"
        );
        let leftover = pinned.leftover();
        pinned.fail(error, &self.replies);
        if self.state.db != pinned.db() {
            // The client was told so; not taken over yet because more was in flight.
            self.state.set_db(pinned.db());
        }
        match leftover {
            Leftover::Nothing => {}
            Leftover::Stream => self.replies.end(),
            Leftover::RefusedMulti => self.state.broken = Some(Broken::Refused),
            _ if self.closes_with_pinned() => self.replies.end(),
            Leftover::Transaction => self.state.broken = Some(Broken::Lost),
            Leftover::Watch => self.state.watch_lost = true,
        }
        self.forget_pinned();
        Ok(true)
    }

    /// Ends what has taken too long.
    fn check_clock(&mut self) -> Option<End> {
        let settings = self.worker.settings();
        // Who has left something open is not disturbed by another process that takes over.
        let open = self.pinned.is_some() || self.is_subscriber();
        let leaving = self.worker.leaving.get().filter(|_| !open);
        let idle = leaving.or(settings.timeouts.idle);
        let over = self.replies.is_over();
        let own = self.pinned.is_some() || !self.parked.is_empty();
        let waits = own || self.waits_here();
        let leaving = self.worker.leaving.get().is_some();
        self.replies
            .watch_clock(waits || over || leaving || idle.is_some());
        let now = Instant::now();
        if self.replies.has_stalled(now) {
            return Some(End::SlowReader);
        }
        let limit = settings.timeouts.reply;
        let pinned = self.pinned.as_deref();
        if pinned.is_some_and(|pinned| pinned.is_overdue(limit)) {
            match self.lose_pinned(&UpstreamError::ReplyTimeout) {
                Ok(_) => self.replies.wake(),
                Err(end) => return Some(end),
            }
        }
        // Input that waits behind a blocked command hides the end of the stream.
        let waits = self.waits_for_ever() || self.waits_here();
        if waits && !self.front.input.is_empty() && self.front.stream.is_closed_by_peer() {
            return Some(End::Closed);
        }
        // As in Redis: not who is blocked, subscribed or monitors; but who left something open and went.
        if waits || self.is_subscriber() || self.monitoring.is_some() || !self.replies.is_settled()
        {
            self.front.busy = now;
            return None;
        }
        let since = self.front.busy.max(self.state.entry.last_active());
        (now.duration_since(since) > idle?).then_some(End::Idle)
    }

    async fn finish(mut self: Box<Self>, end: &End) {
        // A pinned connection is dropped with its state: the backing forgets it with the socket.
        self.pinned = None;
        self.parked.clear();
        self.subscribed = None;
        self.families.occupied = None;
        self.front.input = Input::default();
        self.replies.close();
        // Who has sent all, and was sent all, is told by the socket's end.
        let is_over = self.front.eof && matches!(self.front.stream, Stream::Tcp(_));
        if !is_over && !matches!(end, End::Io(_)) {
            // The client may be gone already.
            let _ =
                tokio::time::timeout(Duration::from_secs(1), self.front.stream.shutdown()).await;
        }
    }
}
