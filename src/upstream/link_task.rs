//! The socket side of a [`Link`]: connects, writes what is queued, reads replies, reconnects.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::{debug, warn};

use super::backing::Backing;
use super::connect::ConnectOptions;
use super::error::UpstreamError;
use super::frame_reader::Turn;
use super::link::{Batching, Inner, Link, LinkLimits, LinkState, Retryable};
use super::link_key::LinkKey;
use super::reached::sleep_unless_reached;
use crate::backoff::Backoff;
use crate::stream::Stream;
use crate::tasks::{self, Kind};

/// A buffer that all tasks of one worker read into; whoever reads uses up what it read before it
/// yields.
pub type Scratch = Rc<RefCell<Vec<u8>>>;

/// Starts a link for what `key` says.
pub fn spawn_link(
    backing: Arc<Backing>,
    key: LinkKey,
    limits: LinkLimits,
    retryable: Rc<Retryable>,
    scratch: Scratch,
) -> Link {
    let link = Link::new(limits, retryable);
    let task = LinkTask {
        link: link.clone(),
        backing,
        key,
        scratch,
    };
    tokio::task::spawn_local(task.run_for_ever());
    link
}

struct LinkTask {
    link: Link,
    backing: Arc<Backing>,
    key: LinkKey,
    scratch: Scratch,
}

impl LinkTask {
    async fn run_for_ever(self) {
        let mut backoff = Backoff::default();
        while tasks::catch(Kind::Link, self.run()).await.is_none() {
            tasks::run(Kind::Link, || self.link.break_off());
            sleep(backoff.next()).await;
        }
    }

    async fn run(&self) {
        self.wanted().await;
        let mut backoff = Backoff::default();
        loop {
            if self.closed() {
                return;
            }
            let timeout = self.link.inner.borrow().connect_timeout();
            let options = ConnectOptions {
                key: self.key,
                name: "respite",
                timeout,
            };
            let mut reached = self.backing.reached(self.key.node);
            match self.backing.connect(options).await {
                Ok(conn) => {
                    let mut stream = conn.stream;
                    let outdated = stream.outdated();
                    self.link
                        .inner
                        .borrow_mut()
                        .connected(self.backing.follows(), &outdated);
                    let since = Instant::now();
                    let error = self.serve(&mut stream, &outdated).await;
                    if self.closed() {
                        return;
                    }
                    // A connection that served for a while was good: start afresh.
                    if since.elapsed() > timeout {
                        backoff.reset();
                    }
                    let in_flight = self.link.in_flight();
                    if matches!(error, UpstreamError::Demoted) {
                        self.backing.doubt();
                        debug!(db = self.key.db, in_flight, "{error}");
                    } else if in_flight > 0 && self.backing.tells_of_loss(self.key.node) {
                        let backing = self.backing.address_of(self.key.node);
                        warn!(backing, db = self.key.db, in_flight, "link lost: {error}");
                    } else {
                        debug!(db = self.key.db, in_flight, "link lost: {error}");
                    }
                    self.link.inner.borrow_mut().lose(&error);
                    if in_flight == 0 && outdated.load(Ordering::Relaxed) {
                        continue;
                    }
                    self.doubt_the_map();
                }
                Err(error) => {
                    self.doubt_the_map();
                    debug!(db = self.key.db, "link not connected: {error}");
                    match !self.key.login.is_own() && error.is_refusal() {
                        true => self.link.inner.borrow_mut().refused_user(error),
                        false => {
                            let mut inner = self.link.inner.borrow_mut();
                            inner.connect_failed(error, Instant::now());
                        }
                    }
                    if sleep_unless_reached(backoff.next(), &mut reached).await {
                        backoff.reset();
                        self.link.inner.borrow_mut().forget_failure();
                    }
                    continue;
                }
            }
            sleep(backoff.next()).await;
        }
    }

    /// The slots of a node that is lost may be another's soon.
    fn doubt_the_map(&self) {
        if self.backing.is_cluster() {
            self.backing.doubt();
        }
    }

    fn closed(&self) -> bool {
        matches!(self.link.inner.borrow().state, LinkState::Closed)
    }

    /// Waits for the first request.
    async fn wanted(&self) {
        poll_fn(|cx| {
            let mut inner = self.link.inner.borrow_mut();
            inner.set_task(cx);
            if inner.wanted() || matches!(inner.state, LinkState::Closed) {
                return Poll::Ready(());
            }
            Poll::Pending
        })
        .await;
        self.link.inner.borrow_mut().start_connecting();
    }

    /// Moves bytes until the connection is lost or given up.
    async fn serve(&self, stream: &mut Stream, outdated: &AtomicBool) -> UpstreamError {
        poll_fn(|cx| {
            let mut inner = self.link.inner.borrow_mut();
            inner.set_task(cx);
            if matches!(inner.state, LinkState::Closed) {
                return Poll::Ready(UpstreamError::NotReady);
            }
            if inner.reply_overdue {
                return Poll::Ready(UpstreamError::ReplyTimeout);
            }
            let held = inner.holds_back();
            let mut written = inner.poll_write(held, stream, cx);
            // Replies that are already here count, even when writing failed.
            if let Err(error) = self.poll_read_in(&mut inner, stream, cx) {
                return Poll::Ready(error);
            }
            if held && !inner.holds_back() {
                written = inner.poll_write(false, stream, cx);
            }
            match written {
                Poll::Ready(Err(error)) => Poll::Ready(error),
                // Nothing is owed: whatever comes next is sent with the new login.
                _ if inner.is_quiet() && outdated.load(Ordering::Relaxed) => {
                    Poll::Ready(UpstreamError::NotReady)
                }
                Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    fn poll_read_in(
        &self,
        inner: &mut Inner,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Result<(), UpstreamError> {
        let mut scratch = self.scratch.borrow_mut();
        let mut turn = Turn::default();
        while let Some(fresh) = turn.read(stream, &mut scratch, cx)? {
            tasks::point("link receives");
            inner.receive(fresh)?;
        }
        Ok(())
    }
}

// === impl Inner ===

impl Inner {
    /// Whether what is to be written waits for replies.
    fn holds_back(&self) -> bool {
        self.out.has_unwritten()
            && self
                .batching
                .holds(self.in_flight, self.out.unwritten_bytes())
    }

    fn poll_write(
        &mut self,
        held: bool,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        if self.is_demoted_now() {
            return Poll::Pending;
        }
        if held {
            return Poll::Ready(Ok(()));
        }
        let writes = self.out.has_unwritten();
        let written = self.out.poll_write(stream, cx);
        if let (true, Poll::Ready(Ok(()))) = (writes, &written) {
            self.batching.written(Instant::now());
        }
        written
    }

    fn set_task(&mut self, cx: &Context<'_>) {
        if !self
            .task
            .as_ref()
            .is_some_and(|task| task.will_wake(cx.waker()))
        {
            self.task = Some(cx.waker().clone());
        }
    }

    fn connect_timeout(&self) -> Duration {
        self.limits.connect
    }

    fn start_connecting(&mut self) {
        if matches!(self.state, LinkState::Idle) {
            self.state = LinkState::Connecting {
                since: Instant::now(),
                error: None,
            };
        }
    }

    fn connected(&mut self, follows: bool, outdated: &Arc<AtomicBool>) {
        self.follows = follows;
        self.outdated = Arc::clone(outdated);
        if !matches!(self.state, LinkState::Closed) {
            self.state = LinkState::Up;
            self.reply_overdue = false;
            self.batching = Batching::default();
            self.restart_clocks(Instant::now());
        }
    }

    /// Others reach the backing again: commands wait for the next try.
    fn forget_failure(&mut self) {
        if let LinkState::Connecting { since, error } = &mut self.state {
            *since = Instant::now();
            *error = None;
        }
    }

    fn connect_failed(&mut self, failure: UpstreamError, now: Instant) {
        if let LinkState::Connecting { error, .. } = &mut self.state {
            *error = Some(failure);
        }
        self.expire(now);
    }

    /// The backing does not let the user in that the link is for: nobody waits for that to change.
    fn refused_user(&mut self, failure: UpstreamError) {
        self.fail_all(&failure);
        self.connect_failed(failure, Instant::now());
    }
}
