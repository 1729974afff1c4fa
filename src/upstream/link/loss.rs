//! What becomes of the requests of a lost connection.

use std::rc::Rc;
use std::time::Instant;

use super::{Inner, LinkState, Pending, What};
use crate::resp::{Parsed, ReplyScanner, RequestLimits, RequestParser};
use crate::upstream::error::{Sent, UpstreamError};

/// What was parsed once needs no limits.
const TRUSTED: RequestLimits = RequestLimits {
    bulk_bytes: usize::MAX,
    request_bytes: usize::MAX,
    authenticated: true,
};

impl Inner {
    /// The connection is gone: reads that were not answered and requests that did not leave are
    /// queued for the next one; the rest fails, each in its turn.
    pub(in crate::upstream) fn lose(&mut self, error: &UpstreamError) {
        let lost = std::mem::take(&mut self.out);
        let mut pending = std::mem::take(&mut self.pending);
        if let Some(front) = pending.front_mut().filter(|front| front.scanned > 0) {
            let whole = self.scanned - self.scanner.begun();
            front.deliver_part(&self.held[..whole], 0, &mut self.begun);
        }
        self.forget_received();
        self.in_flight = 0;
        self.state = LinkState::Connecting {
            since: Instant::now(),
            error: None,
        };
        let mut begun = std::mem::take(&mut self.begun);
        for old in pending {
            match &old.what {
                What::Failed(text) => {
                    let failed = What::Failed(text.clone());
                    self.queue(old.sink, old.replies, old.at, failed);
                }
                What::Requests { start, end, .. } => {
                    if std::mem::take(&mut begun) {
                        old.sink.abort();
                    }
                    let bytes = lost.bytes(*start, (end - start) as usize);
                    let written = lost.written().saturating_sub(*start) as usize;
                    self.requeue(&old, bytes, written, error);
                }
            }
        }
        self.settle_failed();
    }

    fn forget_received(&mut self) {
        self.held = Vec::new();
        self.scanned = 0;
        self.scanner = ReplyScanner::default();
    }

    /// Queues the unanswered requests of `old` once more: those that may be sent again as
    /// requests, the others as failures. Of their `bytes`, the first `written` have left.
    fn requeue(&mut self, old: &Pending, bytes: &[u8], written: usize, error: &UpstreamError) {
        let again = matches!(old.what, What::Requests { again: true, .. });
        let retryable = Rc::clone(&self.retryable);
        let mut parser = RequestParser::default();
        let mut skip = old.delivered;
        let mut pos = 0;
        while let Ok(Parsed::Request { len }) = parser.parse(&bytes[pos..], &TRUSTED) {
            let request = &bytes[pos..pos + len];
            pos += len;
            // A batch may have left in part; each request in it has its own fate.
            let sent = if pos <= written { Sent::Yes } else { Sent::No };
            let may = sent == Sent::No || (!again && retryable(parser.args(request)));
            if skip > 0 {
                skip -= 1;
                continue;
            }
            let what = if may {
                let start = self.out.push(request);
                let end = self.out.end();
                What::Requests {
                    start,
                    end,
                    again: again || sent == Sent::Yes,
                }
            } else {
                What::Failed(error.client_text(sent))
            };
            self.queue(Rc::clone(&old.sink), 1, old.at, what);
        }
    }
}
