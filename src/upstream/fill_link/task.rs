//! The socket side of a fill link: connects, writes what is queued, reads, reconnects.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use tokio::time::{Interval, MissedTickBehavior, sleep};
use tracing::debug;

use super::fetch::has_field_lives;
use super::setup::set_up;
use super::{FillLink, Inner};
use crate::backoff::Backoff;
use crate::stream::Stream;
use crate::tasks::{self, Kind};
use crate::upstream::backing::Backing;
use crate::upstream::connect::{Conn, ConnectOptions};
use crate::upstream::error::UpstreamError;
use crate::upstream::frame_reader::Turn;
use crate::upstream::link_key::LinkKey;
use crate::upstream::link_task::Scratch;
use crate::upstream::reached::sleep_unless_reached;

/// Runs until the link is given up. After a panic nothing that it brought is served.
pub(super) async fn run_for_ever(
    link: FillLink,
    backing: Arc<Backing>,
    key: LinkKey,
    scratch: Scratch,
) {
    let mut backoff = Backoff::default();
    let lose = || link.inner.borrow_mut().lose();
    while tasks::catch(Kind::Fill, run(&link, &backing, key, &scratch))
        .await
        .is_none()
    {
        tasks::run(Kind::Fill, lose);
        sleep(backoff.next()).await;
    }
}

/// Connects again and again, until the link is given up.
async fn run(link: &FillLink, backing: &Arc<Backing>, key: LinkKey, scratch: &Scratch) {
    let mut backoff = Backoff::default();
    while !link.inner.borrow().closed {
        let connect_timeout = backing.connect_timeout();
        let mut reached = backing.reached(key.node);
        let options = ConnectOptions {
            key,
            name: "respite-fill",
            timeout: connect_timeout,
        };
        match backing.connect(options).await {
            Ok(mut conn) => {
                let since = Instant::now();
                let error = serve(link, &mut conn, scratch).await;
                debug!(db = key.db, "fill link lost: {error}");
                if matches!(error, UpstreamError::Demoted) {
                    backing.doubt();
                }
                if since.elapsed() > connect_timeout {
                    backoff.reset();
                }
            }
            Err(error) => {
                debug!(db = key.db, "fill link not connected: {error}");
                if sleep_unless_reached(backoff.next(), &mut reached).await {
                    backoff.reset();
                }
                continue;
            }
        }
        if !link.inner.borrow().closed {
            sleep(backoff.next()).await;
        }
    }
}

/// Uses a connection until it is lost.
async fn serve(link: &FillLink, conn: &mut Conn, scratch: &Scratch) -> UpstreamError {
    let events = Rc::clone(&link.inner.borrow().events);
    let command = events.tracking();
    let setup = match set_up(conn, command).await {
        Ok(setup) => setup,
        Err(error) => return error,
    };
    if link.inner.borrow().closed {
        return UpstreamError::NotReady;
    }
    {
        let mut inner = link.inner.borrow_mut();
        inner.follows = conn.follows;
        inner.has_field_lives = has_field_lives(&conn.hello);
        inner.connected(&setup.tracking, setup.table);
    }
    let heartbeat = events.heartbeat();
    let mut clock = tokio::time::interval(heartbeat);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let outdated = conn.stream.outdated();
    let stream = &mut conn.stream;
    let error = poll_fn(|cx| {
        let polled = poll(link, (stream, &outdated), &mut clock, scratch, cx);
        polled.map_or_else(Poll::Ready, |()| Poll::Pending)
    })
    .await;
    link.inner.borrow_mut().lose();
    error
}

fn poll(
    link: &FillLink,
    (stream, outdated): (&mut Stream, &AtomicBool),
    clock: &mut Interval,
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
    // What has come already is heard before the clock is looked at.
    inner.poll_read(stream, scratch, cx)?;
    while clock.poll_tick(cx).is_ready() {
        if inner.is_outdated(clock.period()) || outdated.load(Ordering::Relaxed) {
            return Err(UpstreamError::NotReady);
        }
        inner.tick(Instant::now(), clock.period())?;
    }
    inner.poll_write(stream, cx)
}

impl Inner {
    /// Whether the settings want another link than this one.
    fn is_outdated(&self, heartbeat: Duration) -> bool {
        self.asked_to_track != self.events.tracking().is_some()
            || heartbeat != self.events.heartbeat()
    }

    fn poll_read(
        &mut self,
        stream: &mut Stream,
        scratch: &Scratch,
        cx: &mut Context<'_>,
    ) -> Result<(), UpstreamError> {
        let mut scratch = scratch.borrow_mut();
        let mut turn = Turn::default();
        while let Some(fresh) = turn.read(stream, &mut scratch, cx)? {
            self.heard_before = std::mem::replace(&mut self.last_heard, Instant::now());
            tasks::point("fill link receives");
            self.receive(fresh)?;
        }
        Ok(())
    }

    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
    ) -> Result<(), UpstreamError> {
        let written = self.out.poll_write(stream, cx);
        self.out.release_written();
        match written {
            Poll::Ready(written) => written,
            Poll::Pending => Ok(()),
        }
    }
}
