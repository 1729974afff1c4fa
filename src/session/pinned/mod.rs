//! A session's own connection to the backing, for as long as it keeps state there.
//!
//! Requests are sent as they come; each leaves an [`Expect`] that says what its reply changes.
//! What the connection says unasked (messages, invalidations, `MONITOR` lines) goes to the client
//! between replies. When no state is left and every reply is in, the connection can go back to
//! the pool.

mod apply;
mod channels;
mod exec;
mod expect;
mod loss;
mod memory;
mod pubsub;
mod replay;
mod state;

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use self::exec::LocalAnswer;
pub(crate) use self::expect::{ABORT, Expect, Queued, Tracking};
use self::expect::{Awaited, Transaction};
use self::replay::Replay;
use super::replies::{Replies, Then};
use super::shared::Shared;
use crate::cache::Guard;
use crate::resp::Proto;
use crate::upstream::{
    Conn, FrameReader, Frames, LinkKey, Place, PooledConn, ReplySink, Ticket, Turn, UpstreamError,
    WriteBuf,
};

/// A plain reply that is longer than this is passed on in pieces.
const HOLD_BYTES: usize = 64 * 1024;
/// Unsent requests beyond which the client's next one waits.
const UNSENT_BYTES: usize = 1024 * 1024;

/// A connection whose messages the client waits for, and on which nothing has come for so long, is asked whether the
/// backing is still there: it may be half-open.
const QUIET: Duration = Duration::from_secs(5);

/// A connection that is being opened.
pub(crate) type Opening = Pin<Box<dyn Future<Output = Result<PooledConn, UpstreamError>>>>;

enum Io {
    /// Which node it leads to is not known yet.
    Undecided(Option<Place>),
    Opening(Opening),
    Open(Box<PooledConn>),
}

/// A pinned connection and the state that it carries.
pub(crate) struct Pinned {
    io: Io,
    /// What it is good for, after the replies so far.
    key: LinkKey,
    out: WriteBuf,
    reader: FrameReader,
    /// What was sent, with the tickets for replies that the client is owed.
    expected: VecDeque<Awaited>,
    /// Part of the front's reply has been passed on.
    begun: bool,
    /// Between `MULTI` and `EXEC`, by what was sent.
    sent_multi: bool,
    /// Something queued since then may write.
    queued_writes: bool,
    /// The backing has refused a `MULTI`.
    refused_multi: bool,
    transaction: Option<Transaction>,
    /// Keys that are watched.
    watching: u32,
    subscriptions: [u32; 3],
    tracking: Option<Tracking>,
    no_touch: bool,
    /// Others redirect invalidations to it.
    kept: bool,
    /// State that cannot be followed: kept until the session ends.
    sticky: bool,
    since: Instant,
    /// The backing has said something unasked.
    unasked: bool,
    /// What was sent last may be meant for the command behind it (`CLIENT CACHING`).
    is_of_next: bool,
    /// What is kept so that another node of a cluster can be asked instead; none where there is one node.
    replay: Option<Box<Replay>>,
    /// What was sent last is to be answered before anything else is sent (`session/several.rs`).
    alone: bool,
    /// The request that is sent next, as bytes that can be shared.
    lent: Option<Bytes>,
}

/// What a pinned connection leaves behind when it is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leftover {
    Nothing,
    /// The client believes that it is in a transaction.
    Transaction,
    /// It may believe so, since it does not wait for the reply of its `MULTI`.
    RefusedMulti,
    /// The client believes that its keys are watched.
    Watch,
    /// Messages would be missed: only a new connection of the client's makes it whole.
    Stream,
}

/// What the connection needs of its session to apply a reply.
pub(crate) struct Answers<'a> {
    pub(crate) replies: &'a Replies,
    /// Answers a command of the session's own inside `EXEC`.
    pub(crate) local: &'a mut LocalAnswer<'a>,
    /// Those who are shown what was executed.
    pub(crate) shared: &'a Shared,
    /// How many channels of slots the client is subscribed to on other connections.
    pub(crate) elsewhere: u32,
}

// === impl Pinned ===

impl Pinned {
    /// Pins an idle connection, which is brought to the protocol version and database of `key` first.
    pub(crate) fn open(pooled: PooledConn, key: LinkKey) -> Self {
        let now = pooled.conn.key;
        let mut pinned = Self::new(Io::Open(Box::new(pooled)), now);
        if now.proto != key.proto {
            pinned.set_proto(key.proto);
        }
        if now.db != key.db {
            pinned.swallow(&[b"SELECT", key.db.to_string().as_bytes()]);
            pinned.key.db = key.db;
        }
        pinned
    }

    /// Pins a connection that is being opened for `key`.
    pub(crate) fn opening(opening: Opening, key: LinkKey) -> Self {
        Self::new(Io::Opening(opening), key)
    }

    fn new(io: Io, key: LinkKey) -> Self {
        Pinned {
            io,
            key,
            out: WriteBuf::default(),
            reader: FrameReader::default(),
            expected: VecDeque::new(),
            begun: false,
            sent_multi: false,
            queued_writes: false,
            refused_multi: false,
            transaction: None,
            watching: 0,
            subscriptions: [0; 3],
            tracking: None,
            no_touch: false,
            kept: false,
            sticky: false,
            since: Instant::now(),
            unasked: false,
            is_of_next: false,
            replay: None,
            alone: false,
            lent: None,
        }
    }

    /// Queues one request; its reply does what `expect` says and becomes of what `then` says.
    pub(crate) fn send(
        &mut self,
        request: &[u8],
        expect: Expect,
        then: Then,
        guard: Option<Guard>,
        to: &Replies,
    ) {
        match &expect {
            Expect::Multi => {
                self.sent_multi = true;
                self.queued_writes = false;
            }
            Expect::Exec(..) | Expect::Discard => self.sent_multi = false,
            _ => {}
        }
        self.is_of_next = matches!(expect, Expect::ShowsId);
        let blocks = matches!(expect, Expect::Blocking(_));
        let ticket = to.expect_pinned(request, blocks, then, guard);
        if matches!(self.io, Io::Undecided(_)) {
            self.lent = None;
            return self.answer_undecided(request, expect, ticket, to);
        }
        self.queue(request, expect, Some(ticket));
    }

    /// Queues a command of our own, which must succeed.
    pub(crate) fn swallow(&mut self, command: &[&[u8]]) {
        self.note_sent(Expect::Swallow, None, None);
        self.out.command(command);
    }

    /// Queues a request of our own whose reply does not matter.
    pub(crate) fn send_unseen(&mut self, request: &[u8]) {
        self.queue(request, Expect::Ignore, None);
    }

    /// Asks the backing for a sign of life if the client waits for what it says unasked and nothing has come for a while.
    pub(crate) fn ask_if_quiet(&mut self, now: Instant) {
        let listens = self.is_subscriber() || self.tracking.is_some() || self.kept;
        let may_ask = self.is_quiet() && !self.sent_multi && !self.is_of_next;
        let may_ask = may_ask && matches!(self.io, Io::Open(_));
        if listens && may_ask && now.saturating_duration_since(self.since) >= QUIET {
            self.ping();
        }
    }

    /// Sends a `PING` whose reply does not matter: its user may not be allowed to.
    pub(crate) fn ping(&mut self) {
        self.send_unseen(b"*1\r\n$4\r\nPING\r\n");
    }

    /// Whether the backing has said something unasked since this was asked last.
    pub(crate) fn take_unasked(&mut self) -> bool {
        std::mem::take(&mut self.unasked)
    }

    fn note_sent(&mut self, expect: Expect, ticket: Option<Ticket>, request: Option<Box<[u8]>>) {
        if self.expected.is_empty() {
            self.since = Instant::now();
        }
        self.expected.push_back(Awaited {
            expect,
            ticket,
            request,
        });
    }

    /// Brings the connection to another protocol version.
    pub(crate) fn set_proto(&mut self, proto: Proto) {
        self.swallow(&[b"HELLO", proto.number().to_string().as_bytes()]);
        self.key.proto = proto;
    }

    /// Gives the connection back, when it was opened at all.
    pub(crate) fn into_pooled(self) -> Option<PooledConn> {
        match self.io {
            Io::Open(_) if self.replay.as_ref().is_some_and(|replay| replay.void) => None,
            Io::Open(mut pooled) => {
                let conn: &mut Conn = &mut pooled.conn;
                conn.key = self.key;
                Some(*pooled)
            }
            Io::Opening(_) | Io::Undecided(_) => None,
        }
    }

    /// Moves bytes in both directions. True when something moved.
    pub(crate) fn poll(
        &mut self,
        scratch: &mut [u8],
        answers: &mut Answers<'_>,
        cx: &mut Context<'_>,
    ) -> Result<bool, UpstreamError> {
        if let Io::Opening(opening) = &mut self.io {
            match opening.as_mut().poll(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(result) => self.io = Io::Open(Box::new(result?)),
            }
            self.play();
            self.since = Instant::now();
            // Nothing leaves before the session has noted the connection's id at the backing.
            return Ok(true);
        }
        let clogged = self.is_clogged();
        let written = self.poll_write(cx);
        let read = self.poll_read(scratch, answers, cx)?;
        written?;
        Ok(read || (clogged && !self.is_clogged()))
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), UpstreamError> {
        let Io::Open(pooled) = &mut self.io else {
            return Ok(());
        };
        let written = self.out.poll_write(&mut pooled.conn.stream, cx);
        self.out.release_written();
        match written {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }

    fn poll_read(
        &mut self,
        scratch: &mut [u8],
        answers: &mut Answers<'_>,
        cx: &mut Context<'_>,
    ) -> Result<bool, UpstreamError> {
        let mut moved = false;
        let mut turn = Turn::default();
        if answers.replies.is_backlogged() {
            // It is the client that is waited for.
            self.since = Instant::now();
        }
        while !answers.replies.is_backlogged()
            && !self.is_turned_away()
            && let Io::Open(pooled) = &mut self.io
            && let Some(fresh) = turn.read(&mut pooled.conn.stream, scratch, cx)?
        {
            moved = true;
            self.since = Instant::now();
            let mut reader = std::mem::take(&mut self.reader);
            let received = reader.feed(fresh, |frames| self.receive(frames, answers));
            self.reader = reader;
            received?;
        }
        Ok(moved)
    }

    /// Applies the whole frames.
    fn receive(
        &mut self,
        frames: &mut Frames<'_>,
        answers: &mut Answers<'_>,
    ) -> Result<(), UpstreamError> {
        while !frames.is_scanned() {
            if frames.scan()? {
                let frame = frames.take();
                if self.replay.is_some() && self.turns_away(frame) {
                    // What else comes on this connection is for nobody any more.
                    break;
                }
                self.frame(frame, answers)?;
                self.begun = false;
                continue;
            }
            if frames.seen().len() > HOLD_BYTES
                && let Some(ticket) = self.streams_to(frames.seen())
            {
                answers.replies.deliver(ticket, frames.take(), 0);
                self.begun = true;
            }
            break;
        }
        Ok(())
    }

    /// Where the unfinished frame may go as it comes: it is sure to be a reply that nothing depends on.
    fn streams_to(&self, data: &[u8]) -> Option<Ticket> {
        let Awaited { expect, ticket, .. } = self.expected.front()?;
        let plain = match expect {
            Expect::Plain | Expect::Blocking(_) => true,
            Expect::Exec(lines, _) => lines.is_empty() && self.executes_only_plain(),
            _ => false,
        };
        let asked = match self.key.proto {
            Proto::Resp3 => data.first() != Some(&b'>'),
            Proto::Resp2 => !self.is_subscriber(),
        };
        ticket.filter(|_| self.begun || (plain && asked))
    }

    /// Whether the server says that it is no master any more: what the client has there is as good as lost.
    fn is_demoted(&self, frame: &[u8]) -> bool {
        const AT_EXEC: &[u8] = b"-EXECABORT Transaction discarded because of: READONLY ";
        (frame.starts_with(b"-READONLY ") || frame.starts_with(AT_EXEC))
            && matches!(&self.io, Io::Open(pooled) if pooled.conn.follows)
    }

    /// Whether nothing in the reply of `EXEC` has to be changed or noted.
    fn executes_only_plain(&self) -> bool {
        self.transaction
            .as_ref()
            .is_none_or(|transaction| transaction.special.is_empty())
    }

    fn frame(&mut self, frame: &[u8], answers: &mut Answers<'_>) -> Result<(), UpstreamError> {
        if !self.begun {
            if self.is_demoted(frame) {
                return Err(UpstreamError::Demoted);
            }
            let switching = self
                .expected
                .iter()
                .any(|awaited| matches!(awaited.expect, Expect::Swallow));
            if frame.first() == Some(&b'>') && self.key.proto == Proto::Resp2 && !switching {
                return Err(UpstreamError::Protocol(
                    "a push to a RESP2 connection".into(),
                ));
            }
            if self.is_out_of_band(frame) {
                self.unasked = true;
                answers.replies.out_of_band(frame);
                return Ok(());
            }
            if self.confirm(frame, answers) {
                return Ok(());
            }
        }
        let Some(Awaited {
            expect,
            ticket,
            request,
        }) = self.expected.pop_front()
        else {
            if self.sticky {
                // SUBSCRIBE with several names in a transaction says more than EXEC announces.
                answers.replies.out_of_band(frame);
                return Ok(());
            }
            return Err(UpstreamError::Protocol(
                "a reply that nobody asked for".into(),
            ));
        };
        let Some(ticket) = ticket else {
            if matches!(expect, Expect::Swallow) && frame.first() == Some(&b'-') {
                let text = String::from_utf8_lossy(frame).trim_end().to_owned();
                return Err(UpstreamError::Protocol(format!(
                    "a pinned connection: {text}"
                )));
            }
            return self.note_replayed(&expect, frame, request);
        };
        let instead = self.reply_to_front(frame);
        self.apply(expect, ticket, instead.as_deref().unwrap_or(frame), answers);
        self.note_answered(request);
        Ok(())
    }
}
