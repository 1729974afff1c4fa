//! Connections that switch to WebSocket: bytes both ways from then on.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tracing::debug;

use super::body::Progress;
use super::instance::InFlight;
use super::place::Place;
use crate::tasks::{self, Kind};

/// Passes bytes between a client and an instance until both have ended, or none has passed either way
/// for `idle`. So long the request counts as in flight and the connection as one of the client's.
pub(super) fn pass(
    client: OnUpgrade,
    instance: OnUpgrade,
    served: (InFlight, Place),
    idle: Duration,
) {
    let passing = async move {
        let _served = served;
        let (client, instance) = match tokio::try_join!(client, instance) {
            Ok(both) => both,
            Err(error) => return debug!("gateway: no switch of protocols: {error}"),
        };
        let progress = Progress::new();
        let mut client = Noted::new(client, &progress);
        let mut instance = Noted::new(instance, &progress);
        tokio::select! {
            copied = copy_bidirectional(&mut client, &mut instance) => {
                if let Err(error) = copied {
                    debug!("gateway: a switched connection ended: {error}");
                }
            }
            () = progress.paused(idle) => {
                debug!("gateway: a switched connection was silent for {idle:?}");
            }
        }
    };
    tokio::spawn(tasks::named(Kind::Gateway, passing));
}

/// A connection that notes when bytes pass.
struct Noted {
    stream: TokioIo<Upgraded>,
    progress: Arc<Progress>,
}

impl Noted {
    fn new(stream: Upgraded, progress: &Arc<Progress>) -> Self {
        Noted {
            stream: TokioIo::new(stream),
            progress: Arc::clone(progress),
        }
    }
}

impl AsyncRead for Noted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.progress.note();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Noted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.progress.note();
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
