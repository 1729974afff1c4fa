//! Bodies of requests on their way to an instance, and the watch over bodies that stream.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::instance::clock_ms;

/// What goes wrong with a body.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body, whole or streaming.
pub(super) enum Carried<S> {
    /// There is none, or it is all here.
    Kept(Option<Bytes>),
    /// It passes through.
    Stream(Box<S>),
}

/// The body of a request to an instance.
pub(super) type RequestBody = Carried<Watched>;

/// How far a body has come that passes through.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// When the last of it came, by [`clock_ms`].
    last: AtomicU64,
    done: AtomicBool,
}

/// A body that fails when its sender pauses for too long.
pub(super) struct Watched {
    incoming: Incoming,
    limit: Duration,
    clock: Option<Pin<Box<Sleep>>>,
    waiting: bool,
    progress: Option<Arc<Progress>>,
}

/// The sender of a body paused for too long.
#[derive(Debug, thiserror::Error)]
#[error("the body paused for longer than gateway.timeout")]
pub(super) struct Paused;

impl Progress {
    pub(super) fn new() -> Arc<Self> {
        let progress = Progress::default();
        progress.note();
        Arc::new(progress)
    }

    pub(super) fn note(&self) {
        self.last.store(clock_ms(), Ordering::Relaxed);
    }

    /// Whether the whole body was passed on.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Waits until nothing has come for so long.
    pub(super) async fn paused(&self, limit: Duration) {
        loop {
            let idle = clock_ms().saturating_sub(self.last.load(Ordering::Relaxed));
            let idle = Duration::from_millis(idle);
            if idle >= limit {
                return;
            }
            tokio::time::sleep(limit - idle).await;
        }
    }
}

impl Watched {
    pub(super) fn new(incoming: Incoming, limit: Duration) -> Self {
        Watched {
            incoming,
            limit,
            clock: None,
            waiting: false,
            progress: None,
        }
    }

    /// Notes there how far it has come.
    pub(super) fn noting(mut self, progress: &Arc<Progress>) -> Self {
        self.progress = Some(Arc::clone(progress));
        self
    }

    fn note(&self, done: bool) {
        if let Some(progress) = &self.progress {
            progress.note();
            progress.done.fetch_or(done, Ordering::Release);
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.waiting = false;
                self.note(frame.is_none() || self.incoming.is_end_stream());
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let end = Instant::now() + self.limit;
                let waited = std::mem::replace(&mut self.waiting, true);
                let clock = self
                    .clock
                    .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(end)));
                if !waited {
                    clock.as_mut().reset(end);
                }
                ready!(clock.as_mut().poll(cx));
                Poll::Ready(Some(Err(Paused.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl<S> Body for Carried<S>
where
    S: Body<Data = Bytes, Error = BodyError> + Unpin,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Carried::Kept(bytes) => Poll::Ready(bytes.take().map(|all| Ok(Frame::data(all)))),
            Carried::Stream(body) => Pin::new(body.as_mut()).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Carried::Kept(bytes) => bytes.is_none(),
            Carried::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Carried::Kept(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Carried::Stream(body) => body.size_hint(),
        }
    }
}
