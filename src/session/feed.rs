//! The connection that the subscriptions of a worker share: opened when somebody subscribes, and kept.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use tracing::debug;

use super::worker::Worker;
use crate::resp::Proto;
use crate::upstream::{
    Conn, ConnectOptions, Failure, FrameReader, HOME, LinkKey, Sent, Turn, UpstreamError, WriteBuf,
};

/// What the backing's `CLIENT LIST` calls it.
const NAME: &str = "respite-subscriber";

impl Worker {
    /// Looks after it for as long as the worker lives.
    pub(super) async fn feed(self: Rc<Self>) {
        if self.subscriptions.is_begun() {
            // It was broken off by a panic: nobody knows what was lost with it.
            self.lose_feed(
                &UpstreamError::Lost("its task has panicked".into()),
                Sent::Yes,
            );
        }
        loop {
            poll_fn(|cx| {
                self.subscriptions.set_task(cx);
                match self.subscriptions.is_wanted() {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                }
            })
            .await;
            let options = ConnectOptions {
                key: LinkKey::new(HOME, self.shared.backing.first_db(), Proto::Resp3),
                name: NAME,
                timeout: self.settings().timeouts.connect,
            };
            match self.shared.backing.connect_patiently(options).await {
                Ok(conn) => {
                    let error = self.follow_feed(conn).await;
                    self.lose_feed(&error, Sent::Yes);
                }
                Err(error) => self.lose_feed(&error, Sent::No),
            }
        }
    }

    fn lose_feed(&self, error: &UpstreamError, sent: Sent) {
        debug!(worker = self.index, "subscriptions: {error}");
        self.subscriptions.lose(&Failure::new(error, sent));
    }

    /// Hands out what comes until the connection is lost.
    async fn follow_feed(&self, mut conn: Conn) -> UpstreamError {
        self.subscriptions.connected();
        let mut out = WriteBuf::default();
        let mut reader = FrameReader::default();
        poll_fn(|cx| {
            self.subscriptions.set_task(cx);
            let limit = self.settings().timeouts.reply;
            if limit.is_some_and(|limit| self.subscriptions.is_overdue(limit, Instant::now())) {
                return Poll::Ready(UpstreamError::ReplyTimeout);
            }
            self.subscriptions.send(&mut out);
            if let Poll::Ready(Err(error)) = out.poll_write(&mut conn.stream, cx) {
                return Poll::Ready(error);
            }
            out.release_written();
            let mut turn = Turn::default();
            let mut scratch = self.scratch.borrow_mut();
            loop {
                let read = match turn.read(&mut conn.stream, &mut scratch, cx) {
                    Ok(Some(fresh)) => {
                        reader.feed(fresh, |frames| self.subscriptions.receive(frames))
                    }
                    Ok(None) => return Poll::Pending,
                    Err(error) => Err(error),
                };
                if let Err(error) = read {
                    return Poll::Ready(error);
                }
            }
        })
        .await
    }
}
