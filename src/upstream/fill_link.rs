//! A connection that fetches values for the cache and hears what changes.
//!
//! It speaks RESP3 with `CLIENT TRACKING ON` in its default mode: the backing sends a push for each
//! key that was read here, once, when it changes. One task applies replies and pushes in the order
//! of the wire, so a value that was replaced while it was on its way is never kept. The order
//! within Redis is described in its "Client-side caching" reference.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Interval, MissedTickBehavior, sleep};
use tracing::debug;

use super::backing::Backing;
use super::backoff::Backoff;
use super::connect::{Conn, ConnectOptions, read_reply};
use super::error::UpstreamError;
use super::link_task::Scratch;
use crate::resp::{Proto, ReplyScanner, Value, parse_reply, write_command};
use crate::stream::Stream;

const READS_PER_TURN: usize = 8;
/// Fetches that may be under way on one link.
const MOST_FETCHES: usize = 65_536;
/// A link whose oldest request is unanswered for longer than this is given up.
const HUNG_AFTER: Duration = Duration::from_secs(5);

/// Who is told what a fill link hears. Called while the link works on its queue: must not call
/// back into the link.
pub trait FillEvents {
    /// The command that asks for tracking, if it is wanted.
    fn tracking(&self) -> Option<&'static [&'static [u8]]>;
    /// How often to prove that the link is alive.
    fn heartbeat(&self) -> Duration;
    /// The link is connected; `refused` is what the backing said to `CLIENT TRACKING`.
    fn connected(&self, refused: Option<&str>) -> u64;
    /// A request sent at `sent` was answered.
    fn answered(&self, sent: Instant);
    /// A fetch was answered.
    fn filled(&self, fetch: Fetch, pttl: i64, reply: &[u8], sent: Instant, epoch: u64);
    /// A key has changed.
    fn invalidated(&self, key: &[u8]);
    /// Everything has changed.
    fn flushed(&self);
    /// The connection is gone; comes before `failed` of what was under way on it.
    fn lost(&self);
    /// A fetch will not be answered.
    fn failed(&self, fetch: Fetch);
}

/// A key to be fetched.
#[derive(Debug)]
pub struct Fetch {
    /// The key.
    pub key: Box<[u8]>,
    /// What the cache knows the fetch by.
    pub token: u64,
}

/// Something to be dropped when every push that was caused before now has been applied.
pub type Fence = Arc<dyn Send + Sync>;

enum Asked {
    Pttl,
    Get(Fetch),
    Ping(Option<Fence>),
}

/// A handle to one fill link.
#[derive(Clone)]
pub struct FillLink {
    inner: Rc<RefCell<Inner>>,
}

struct Inner {
    up: bool,
    closed: bool,
    out: Vec<u8>,
    written: usize,
    asked: VecDeque<(Asked, Instant)>,
    last_sent: Instant,
    pttl: i64,
    epoch: u64,
    held: Vec<u8>,
    scanned: usize,
    scanner: ReplyScanner,
    task: Option<Waker>,
    events: Rc<dyn FillEvents>,
}

/// Starts a fill link for one database.
pub fn spawn_fill_link(
    backing: Arc<Backing>,
    db: u32,
    connect_timeout: Duration,
    events: Rc<dyn FillEvents>,
    scratch: Scratch,
) -> FillLink {
    let link = FillLink {
        inner: Rc::new(RefCell::new(Inner {
            up: false,
            closed: false,
            out: Vec::new(),
            written: 0,
            asked: VecDeque::new(),
            last_sent: Instant::now(),
            pttl: -1,
            epoch: 0,
            held: Vec::new(),
            scanned: 0,
            scanner: ReplyScanner::default(),
            task: None,
            events,
        })),
    };
    tokio::task::spawn_local(run(link.clone(), backing, db, connect_timeout, scratch));
    link
}

// === impl FillLink ===

impl FillLink {
    /// Whether it can fetch now.
    pub fn can_fetch(&self) -> bool {
        let inner = self.inner.borrow();
        // A link that answers late would only keep readers waiting.
        let late = || {
            let oldest = inner.asked.front();
            oldest.is_some_and(|(_, sent)| sent.elapsed() > 4 * inner.events.heartbeat())
        };
        inner.up && inner.asked.len() < MOST_FETCHES && !late()
    }

    /// Fetches a key.
    pub fn fetch(&self, fetch: Fetch) {
        let mut inner = self.inner.borrow_mut();
        if !inner.up {
            let events = Rc::clone(&inner.events);
            drop(inner);
            return events.failed(fetch);
        }
        let now = Instant::now();
        // PTTL first: when the value comes, what is left of its life is known.
        write_command(&mut inner.out, &[b"PTTL", &fetch.key]);
        write_command(&mut inner.out, &[b"GET", &fetch.key]);
        inner.asked.push_back((Asked::Pttl, now));
        inner.asked.push_back((Asked::Get(fetch), now));
        inner.wake(now);
    }

    /// Drops `fence` when all that the backing has sent up to now is applied, or the connection
    /// is lost and with it what it had brought.
    pub fn fence(&self, fence: Fence) {
        let mut inner = self.inner.borrow_mut();
        if inner.up {
            inner.ping(Some(fence));
        }
    }

    /// Gives the link up.
    pub fn close(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.closed = true;
        if let Some(task) = inner.task.take() {
            task.wake();
        }
    }
}

// === impl Inner ===

impl Inner {
    fn wake(&mut self, now: Instant) {
        self.last_sent = now;
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    fn ping(&mut self, fence: Option<Fence>) {
        let now = Instant::now();
        write_command(&mut self.out, &[b"PING"]);
        self.asked.push_back((Asked::Ping(fence), now));
        self.wake(now);
    }

    fn is_hung(&self, now: Instant) -> bool {
        self.asked
            .front()
            .is_some_and(|(_, sent)| now.duration_since(*sent) > HUNG_AFTER)
    }

    fn receive(&mut self, fresh: &[u8]) -> Result<(), UpstreamError> {
        if self.held.is_empty() {
            let done = self.apply(fresh)?;
            self.held.extend_from_slice(&fresh[done..]);
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(fresh);
        let done = self.apply(&held)?;
        held.drain(..done);
        if !held.is_empty() {
            self.held = held;
        }
        Ok(())
    }

    /// Applies the whole frames in `data`; returns how much of it is done with.
    fn apply(&mut self, data: &[u8]) -> Result<usize, UpstreamError> {
        let broken = |error: crate::resp::ReplyError| UpstreamError::Protocol(error.to_string());
        let (mut start, mut pos) = (0, self.scanned);
        while pos < data.len() {
            let scanned = self.scanner.scan(&data[pos..]).map_err(broken)?;
            pos += scanned.consumed;
            if !scanned.complete {
                break;
            }
            self.frame(&data[start..pos])?;
            start = pos;
        }
        self.scanned = pos - start;
        Ok(start)
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), UpstreamError> {
        if frame.first() == Some(&b'>') {
            return self.push(frame);
        }
        let Some((asked, sent)) = self.asked.pop_front() else {
            return Err(UpstreamError::Protocol(
                "a reply that nobody asked for".into(),
            ));
        };
        self.events.answered(sent);
        match asked {
            Asked::Pttl => self.pttl = integer(frame).unwrap_or(i64::MIN),
            Asked::Get(fetch) => self
                .events
                .filled(fetch, self.pttl, frame, sent, self.epoch),
            Asked::Ping(fence) => drop(fence),
        }
        Ok(())
    }

    fn push(&mut self, frame: &[u8]) -> Result<(), UpstreamError> {
        let parsed = parse_reply(frame).map_err(|e| UpstreamError::Protocol(e.to_string()))?;
        let Some((Value::Push(parts), _)) = parsed else {
            return Ok(());
        };
        if parts.first().and_then(Value::as_bytes) != Some(b"invalidate") {
            return Ok(());
        }
        match parts.get(1) {
            Some(Value::Array(keys)) => {
                keys.iter()
                    .filter_map(Value::as_bytes)
                    .for_each(|key| self.events.invalidated(key));
            }
            _ => self.events.flushed(),
        }
        Ok(())
    }

    /// The connection is gone: what it brought is void before anything else happens.
    fn lose(&mut self) {
        self.up = false;
        self.out = Vec::new();
        self.written = 0;
        self.held = Vec::new();
        self.scanned = 0;
        self.scanner = ReplyScanner::default();
        self.events.lost();
        for (asked, _) in std::mem::take(&mut self.asked) {
            if let Asked::Get(fetch) = asked {
                self.events.failed(fetch);
            }
        }
    }
}

fn integer(frame: &[u8]) -> Option<i64> {
    let digits = frame.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

async fn run(
    link: FillLink,
    backing: Arc<Backing>,
    db: u32,
    connect_timeout: Duration,
    scratch: Scratch,
) {
    let mut backoff = Backoff::default();
    let events = Rc::clone(&link.inner.borrow().events);
    loop {
        let options = ConnectOptions {
            proto: Proto::Resp3,
            db,
            name: "respite-fill",
            timeout: connect_timeout,
        };
        let opened = match backing.connect(options).await {
            Ok(conn) => track(conn, events.tracking()).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok((mut conn, refused)) => {
                let epoch = events.connected(refused.as_deref());
                {
                    let mut inner = link.inner.borrow_mut();
                    inner.up = true;
                    inner.epoch = epoch;
                    inner.ping(None);
                }
                let since = Instant::now();
                let error = serve(&link, &mut conn.stream, events.heartbeat(), &scratch).await;
                debug!(db, "fill link lost: {error}");
                link.inner.borrow_mut().lose();
                if since.elapsed() > connect_timeout {
                    backoff.reset();
                }
            }
            Err(error) => debug!(db, "fill link not connected: {error}"),
        }
        if link.inner.borrow().closed {
            return;
        }
        sleep(backoff.next()).await;
    }
}

/// Asks for tracking; returns what the backing said when it refused.
async fn track(
    mut conn: Conn,
    command: Option<&[&[u8]]>,
) -> Result<(Conn, Option<String>), UpstreamError> {
    let Some(command) = command else {
        return Ok((conn, None));
    };
    let mut request = Vec::new();
    write_command(&mut request, command);
    conn.stream
        .write_all(&request)
        .await
        .map_err(|e| UpstreamError::lost(&e))?;
    conn.stream
        .flush()
        .await
        .map_err(|e| UpstreamError::lost(&e))?;
    let mut buf = Vec::new();
    let reply = tokio::time::timeout(HUNG_AFTER, read_reply(&mut conn.stream, &mut buf)).await;
    let reply = reply.map_err(|_| UpstreamError::ReplyTimeout)??;
    let refused = (reply != b"+OK\r\n").then(|| String::from_utf8_lossy(&reply).trim().to_owned());
    Ok((conn, refused))
}

async fn serve(
    link: &FillLink,
    stream: &mut Stream,
    heartbeat: Duration,
    scratch: &Scratch,
) -> UpstreamError {
    let mut clock = tokio::time::interval(heartbeat);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    poll_fn(
        |cx| match poll(link, stream, &mut clock, heartbeat, scratch, cx) {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(error),
        },
    )
    .await
}

fn poll(
    link: &FillLink,
    stream: &mut Stream,
    clock: &mut Interval,
    heartbeat: Duration,
    scratch: &Scratch,
    cx: &mut Context<'_>,
) -> Result<(), UpstreamError> {
    let mut inner = link.inner.borrow_mut();
    let inner = &mut *inner;
    if !inner
        .task
        .as_ref()
        .is_some_and(|task| task.will_wake(cx.waker()))
    {
        inner.task = Some(cx.waker().clone());
    }
    if inner.closed {
        return Err(UpstreamError::NotReady);
    }
    while clock.poll_tick(cx).is_ready() {
        let now = Instant::now();
        if inner.is_hung(now) {
            return Err(UpstreamError::ReplyTimeout);
        }
        if now.duration_since(inner.last_sent) >= heartbeat / 2 {
            inner.ping(None);
        }
    }
    let mut scratch = scratch.borrow_mut();
    for turn in 0.. {
        if turn == READS_PER_TURN {
            cx.waker().wake_by_ref();
            break;
        }
        let mut buf = ReadBuf::new(&mut scratch);
        match Pin::new(&mut *stream).poll_read(cx, &mut buf) {
            Poll::Pending => break,
            Poll::Ready(Err(error)) => return Err(UpstreamError::lost(&error)),
            Poll::Ready(Ok(())) if buf.filled().is_empty() => return Err(UpstreamError::closed()),
            Poll::Ready(Ok(())) => inner.receive(buf.filled())?,
        }
    }
    while inner.written < inner.out.len() {
        match Pin::new(&mut *stream).poll_write(cx, &inner.out[inner.written..]) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(0)) => return Err(UpstreamError::closed()),
            Poll::Ready(Ok(n)) => inner.written += n,
            Poll::Ready(Err(error)) => return Err(UpstreamError::lost(&error)),
        }
    }
    inner.out.clear();
    inner.written = 0;
    match Pin::new(stream).poll_flush(cx) {
        Poll::Ready(Err(error)) => Err(UpstreamError::lost(&error)),
        _ => Ok(()),
    }
}
