//! What a connection to a node of a cluster keeps of its requests, so that another node can be asked instead.
//!
//! A request is kept until its reply is there, those of a transaction until it has come to its end. When a node does
//! not have their slot (any more), or cannot serve it now, they are sent to the one that does:
//!
//! ```text
//!   Undecided ──▶ Opening ──▶ Open ──▶ a reply turns a request away ──▶ Opening ──▶ …
//!                 the transaction so far is played again, unseen; then what has no reply yet
//! ```
//!
//! Nothing of a transaction is executed before its `EXEC` is, and a node that turns a part of it away, or the `EXEC`,
//! executes nothing of it. It does not decide which node is asked.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::channels::Channels;
use super::expect::{ABORT, Awaited, Transaction};
use super::{Expect, Io, Opening, Pinned};
use crate::resp::ReplyWriter;
use crate::session::replies::Replies;
use crate::upstream::{
    Failure, FrameReader, LinkKey, Place, ReplySink, Ticket, UpstreamError, WriteBuf, is_redirect,
};

/// Bytes that are kept of a transaction. A larger one is not played again.
const MOST_KEPT: usize = 64 * 1024 * 1024;
/// How a node takes its leave of clients that are blocked, and refuses writes, when it has become a replica.
const DEMOTED: [&[u8]; 3] = [
    b"-UNBLOCKED force unblock",
    b"-READONLY ",
    b"-EXECABORT Transaction discarded because of: READONLY ",
];

/// Told to a node that only imports the slot: it serves the next command, and a transaction that this begins to its end.
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// How it ends the wait for more of a stream that has been deleted, or moved to another node.
const GONE: &[u8] = b"-UNBLOCKED the stream key no longer exists";

/// What is kept.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The requests of the transaction at hand that are answered.
    log: Vec<Box<[u8]>>,
    /// The bytes of these and of those that are not answered.
    pub(super) bytes: usize,
    /// The transaction was too large to be kept.
    cut: bool,
    /// The slot of all keys.
    pub(super) slot: Option<u16>,
    /// What it is subscribed to.
    pub(super) channels: Channels,
    /// What is sent once a `MULTI` that is played again has succeeded.
    pub(super) behind: Option<Vec<u8>>,
    /// The node has to be told that it was named (`ASK`): it only imports the slot.
    asking: bool,
    /// The reply that has turned a request away.
    turned_away: Option<Vec<u8>>,
    /// Since when requests are turned away, without one that was answered.
    since: Option<Instant>,
    /// When the request at the front was sent first.
    sent: Option<Instant>,
    /// What a node has ended the wait of the request at the front with because its stream is not there any more: it may
    /// have moved, or is deleted.
    gone: Option<Vec<u8>>,
    /// A command of which nothing is known has left its state here.
    pub(super) void: bool,
}

/// Whether a node that only imports the slot has to be told so for this request, and for what it begins.
fn is_asked_apart(expect: &Expect) -> bool {
    matches!(
        expect,
        Expect::Multi | Expect::Watch(_) | Expect::Replayed { begins: true }
    )
}

/// Sends bytes, or keeps them until the `MULTI` before them has succeeded.
fn put(out: &mut WriteBuf, behind: &mut Option<Vec<u8>>, bytes: &[u8]) {
    match behind {
        Some(behind) => behind.extend_from_slice(bytes),
        None => _ = out.push(bytes),
    }
}

impl Pinned {
    /// The request that is sent next, if it can be kept without copying it.
    pub(crate) fn lend(&mut self, request: Option<Bytes>) {
        self.lent = request;
    }

    /// Notes a request, and sends it once it is known to whom.
    pub(super) fn queue(&mut self, request: &[u8], expect: Expect, ticket: Option<Ticket>) {
        let lent = self.lent.take();
        let kept = self.keep_request(request);
        let Some(mut replay) = self.replay.take() else {
            self.note_sent(expect, ticket, kept);
            match lent {
                Some(shared) => self.out.push_shared(shared),
                None => self.out.push(request),
            };
            return;
        };
        if matches!(self.io, Io::Open(_)) {
            if replay.asking && is_asked_apart(&expect) {
                self.note_sent(Expect::Swallow, None, None);
                put(&mut self.out, &mut replay.behind, ASKING);
            }
            put(&mut self.out, &mut replay.behind, request);
        }
        self.replay = Some(replay);
        self.note_sent(expect, ticket, kept);
    }

    /// A connection of which it is not known yet where it leads to. Until then it takes a transaction up.
    pub(crate) fn undecided(place: Place, key: LinkKey) -> Self {
        let mut pinned = Self::new(Io::Undecided(Some(place)), key);
        pinned.replay = Some(Box::default());
        pinned
    }

    /// Leads it, and all that is kept, to the node that `open` opens a connection to. The place for the connection
    /// is passed on.
    pub(crate) fn lead(
        &mut self,
        slot: Option<u16>,
        asking: bool,
        open: impl FnOnce(Option<Place>) -> Opening,
    ) {
        let place = match std::mem::replace(&mut self.io, Io::Undecided(None)) {
            Io::Open(pooled) => Some(pooled.into_place()),
            Io::Undecided(place) => place,
            Io::Opening(_) => None,
        };
        self.io = Io::Opening(open(place));
        self.out = WriteBuf::default();
        self.reader = FrameReader::default();
        self.begun = false;
        if let Some(replay) = &mut self.replay {
            replay.slot = slot.or(replay.slot);
            replay.asking = asking;
            replay.behind = None;
            replay.turned_away = None;
        }
    }

    /// Whether it is not known yet where it leads to.
    pub(crate) fn is_undecided(&self) -> bool {
        matches!(self.io, Io::Undecided(_))
    }

    /// The slot of its keys, if it has any.
    pub(crate) fn slot(&self) -> Option<u16> {
        self.replay.as_ref().and_then(|replay| replay.slot)
    }

    /// Whether another node can be asked instead.
    pub(crate) fn can_be_led(&self) -> bool {
        self.replay.as_ref().is_some_and(|replay| !replay.cut)
    }

    /// Whether nothing of a transaction can have been executed although all of it has come: its `EXEC` waits here.
    pub(crate) fn holds_exec(&self) -> bool {
        let behind = |replay: &Replay| replay.behind.is_some();
        !self.sent_multi && self.transaction.is_some() && self.replay.as_deref().is_some_and(behind)
    }

    /// Whether so much is kept that it should not wait for a node any longer.
    pub(crate) fn is_kept_in_full(&self) -> bool {
        self.kept_bytes() > MOST_KEPT
    }

    /// What a node has turned a request away with.
    pub(crate) fn take_turned_away(&mut self) -> Option<Vec<u8>> {
        self.replay.as_mut()?.turned_away.take()
    }

    /// For how long requests have been turned away, this time included; none the first time.
    pub(crate) fn turned_away_for(&mut self) -> Option<Duration> {
        let replay = self.replay.as_mut()?;
        let before = replay.since.map(|since| since.elapsed());
        replay.since.get_or_insert_with(Instant::now);
        before
    }

    /// Whether keys are watched.
    pub(crate) fn is_watching(&self) -> bool {
        self.watching > 0
    }

    /// Answers all that is expected with an error of which a client has to be told: nothing was executed.
    pub(crate) fn give_up(&mut self, text: &str, replies: &Replies) {
        let failure = Failure {
            text: text.to_owned(),
            refusal: true,
            logged_out: false,
        };
        for ticket in self.expected.drain(..).filter_map(|awaited| awaited.ticket) {
            replies.lost(ticket, &failure, 1);
        }
    }

    /// What is watched is lost with its connection. True when an `EXEC` that has come already stands for nothing: it
    /// says that something has changed.
    pub(crate) fn lose_watch(&mut self) -> bool {
        self.watching = 0;
        let executes = |awaited: &&mut Awaited| matches!(awaited.expect, Expect::Exec(..));
        let Some(exec) = self.expected.iter_mut().find(executes) else {
            return false;
        };
        let mut nothing = Vec::new();
        ReplyWriter::new(&mut nothing, self.key.proto).null_array();
        exec.expect = Expect::Aborted(nothing);
        if let (Some(replay), Some(request)) = (&mut self.replay, &mut exec.request) {
            replay.bytes = replay.bytes - request.len() + ABORT.len();
            *request = ABORT.into();
        }
        true
    }

    /// Changes the request at the front before it is sent again, by how long ago it was sent first.
    pub(crate) fn change_front(&mut self, change: impl FnOnce(&[u8], Duration) -> Option<Vec<u8>>) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        let waited = replay.sent.map(|sent| sent.elapsed()).unwrap_or_default();
        if let Some(request) = self.expected.front_mut().and_then(|f| f.request.as_mut())
            && let Some(changed) = change(request, waited)
        {
            replay.bytes = replay.bytes - request.len() + changed.len();
            *request = changed.into();
            replay.sent = Some(Instant::now());
        }
    }

    /// Bytes that are kept of requests.
    pub(super) fn kept_bytes(&self) -> usize {
        self.replay.as_ref().map_or(0, |replay| {
            let behind = replay.behind.as_ref().map_or(0, Vec::len);
            replay.bytes + replay.channels.bytes() + behind
        })
    }

    /// Notes that a request is kept.
    pub(super) fn keep_request(&mut self, request: &[u8]) -> Option<Box<[u8]>> {
        let replay = self.replay.as_mut()?;
        replay.bytes += request.len();
        if self.expected.is_empty() {
            replay.sent = Some(Instant::now());
        }
        Some(request.into())
    }

    /// Answers what may be answered before it is known which node executes it.
    pub(super) fn answer_undecided(
        &mut self,
        request: &[u8],
        expect: Expect,
        ticket: Ticket,
        to: &Replies,
    ) {
        let reply: &[u8] = match expect {
            Expect::Multi => {
                self.transaction = Some(Transaction::default());
                b"+OK\r\n"
            }
            Expect::Queued(what) => {
                if let Some(transaction) = &mut self.transaction {
                    transaction.queue(what);
                }
                b"+QUEUED\r\n"
            }
            Expect::Discard => {
                self.transaction = None;
                b"+OK\r\n"
            }
            expect => return self.queue(request, expect, Some(ticket)),
        };
        let kept = self.keep_request(request);
        self.note_answered(kept);
        to.deliver(ticket, reply, 1);
    }

    /// Whether a reply says that its request has to be sent elsewhere, or again: it was not executed.
    pub(super) fn turns_away(&mut self, frame: &[u8]) -> bool {
        let kept = self.expected.front().is_some_and(|f| f.request.is_some());
        if self.begun || !kept || frame.first() != Some(&b'-') {
            return false;
        }
        let Some(replay) = &mut self.replay else {
            return false;
        };
        let demoted = || DEMOTED.iter().any(|begin| frame.starts_with(begin));
        let gone = replay.gone.is_none() && frame.starts_with(GONE);
        let turned = gone || is_redirect(frame) || demoted();
        if turned {
            replay.turned_away = Some(frame.to_vec());
        }
        if gone {
            replay.gone = Some(frame.to_vec());
        }
        turned
    }

    /// The reply to the request at the front is this: to one whose stream was deleted while it waited, what it was told
    /// then.
    pub(super) fn reply_to_front(&mut self, frame: &[u8]) -> Option<Vec<u8>> {
        let gone = self.replay.as_mut()?.gone.take()?;
        frame.starts_with(b"-NOGROUP ").then_some(gone)
    }

    /// Whether a request was turned away, and nobody has asked yet.
    pub(super) fn is_turned_away(&self) -> bool {
        let replay = self.replay.as_deref();
        replay.is_some_and(|replay| replay.turned_away.is_some())
    }

    /// The connection is open: sends what is kept.
    pub(super) fn play(&mut self) {
        let (Some(mut replay), Io::Open(pooled)) = (self.replay.take(), &self.io) else {
            return;
        };
        let proto = std::mem::replace(&mut self.key, pooled.conn.key).proto;
        let waiting = std::mem::take(&mut self.expected);
        if self.key.proto != proto {
            self.set_proto(proto);
        }
        let mut asking = replay.asking;
        let log = std::mem::take(&mut replay.log).into_iter().enumerate();
        let played = log.map(|(n, request)| Awaited {
            expect: Expect::Replayed { begins: n == 0 },
            ticket: None,
            request: Some(request),
        });
        let mut behind: Option<Vec<u8>> = None;
        for awaited in played.chain(waiting) {
            // What has no request was for the connection before.
            let Some(request) = &awaited.request else {
                continue;
            };
            if asking || (replay.asking && is_asked_apart(&awaited.expect)) {
                self.note_sent(Expect::Swallow, None, None);
                put(&mut self.out, &mut behind, ASKING);
                asking = false;
            }
            put(&mut self.out, &mut behind, request);
            if matches!(awaited.expect, Expect::Replayed { begins: true }) {
                // Without a transaction, what follows would be executed at once.
                behind = Some(Vec::new());
            }
            self.expected.push_back(awaited);
        }
        replay.behind = behind;
        self.replay = Some(replay);
    }

    /// A request has a reply that nobody is shown.
    pub(super) fn note_replayed(
        &mut self,
        expect: &Expect,
        frame: &[u8],
        request: Option<Box<[u8]>>,
    ) -> Result<(), UpstreamError> {
        if matches!(expect, Expect::Resubscribe { .. }) {
            let text = String::from_utf8_lossy(frame).trim_end().to_owned();
            return Err(UpstreamError::Protocol(format!("subscribing got {text}")));
        }
        if matches!(expect, Expect::Replayed { begins: true }) {
            if frame != b"+OK\r\n" {
                let text = String::from_utf8_lossy(frame).trim_end().to_owned();
                return Err(UpstreamError::Protocol(format!("MULTI got {text}")));
            }
            if let Some(behind) = self.replay.as_mut().and_then(|r| r.behind.take()) {
                self.out.push(&behind);
            }
        }
        self.note_kept(request);
        Ok(())
    }

    /// A request has its reply, which was applied.
    pub(super) fn note_answered(&mut self, request: Option<Box<[u8]>>) {
        if let Some(replay) = &mut self.replay {
            replay.since = None;
            replay.sent = Some(Instant::now());
        }
        self.note_kept(request);
    }

    /// Goes on keeping a request that was answered, if it belongs to a transaction.
    fn note_kept(&mut self, request: Option<Box<[u8]>>) {
        let (Some(replay), Some(request)) = (&mut self.replay, request) else {
            return;
        };
        if self.transaction.is_some() && !replay.cut {
            replay.log.push(request);
            if replay.bytes <= MOST_KEPT || matches!(self.io, Io::Undecided(_)) {
                return;
            }
            replay.cut = true;
        } else {
            replay.bytes -= request.len();
            replay.cut &= self.transaction.is_some();
        }
        let dropped = std::mem::take(&mut replay.log);
        replay.bytes -= dropped.iter().map(|request| request.len()).sum::<usize>();
        let subscribed = self.subscriptions.iter().any(|n| *n > 0);
        if self.transaction.is_none() && self.watching == 0 && !subscribed {
            replay.slot = None;
        }
    }
}
