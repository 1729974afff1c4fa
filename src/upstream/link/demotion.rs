//! What becomes of requests when the master says that it is none any more.
//!
//! A write that was refused with `READONLY` was not executed: it is sent to the next master, and its client never sees
//! the refusal. What was sent behind it is still answered here, since some of it may have been executed; each answer waits
//! for its turn. Then the connection is given up.

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::loss::{LastWrites, is_retryable, unanswered};
use super::{Failure, Inner, Pending, ReplySink, Retryable, Ticket, What};
use crate::resp::ReplyScanner;
use crate::upstream::error::{Sent, UpstreamError};
use crate::upstream::frame_reader::Frames;

/// How such a refusal begins, in a server's own words: a script may return any error.
const REFUSAL: &[u8] = b"-READONLY You can't write against a read only replica.";
/// What is refused for so long is told: there is no master, or a script speaks like a replica.
const LONGEST: Duration = Duration::from_secs(20);

/// The requests of a connection to a server that is no master any more, one by one.
#[derive(Default)]
pub(super) struct Demotion {
    requests: VecDeque<Asked>,
    /// Those at the front to which something has come.
    answered: usize,
    /// The server is a node of a cluster: `MOVED` and `ASK` are refusals, too.
    is_node: bool,
    /// Something was refused: a read behind it may have seen what is older than the client's own write.
    refused: bool,
}

struct Asked {
    sink: Rc<dyn ReplySink>,
    ticket: Ticket,
    at: Instant,
    what: Fate,
}

enum Fate {
    /// To be sent to the next master, if it did not leave for this one or was refused there; `again` if it was sent
    /// twice.
    Request {
        bytes: Vec<u8>,
        sent: Sent,
        again: bool,
    },
    Answered(Vec<u8>),
    Failed(Failure),
}

/// Whether the replies in `data` may have a refusal among them.
pub(super) fn may_be_refused(data: &[u8]) -> bool {
    memchr::memmem::find(data, REFUSAL).is_some()
}

impl Inner {
    /// Looks at the replies of the front, the first `count` of which are in `data`. False when none is a refusal.
    #[cold]
    pub(super) fn is_demoted(&mut self, data: &[u8], count: u32) -> bool {
        let frames = whole(data, count);
        if !frames.iter().any(|frame| frame.starts_with(REFUSAL)) {
            return false;
        }
        let mut demotion = Demotion {
            is_node: self.redirect.is_some(),
            ..Demotion::default()
        };
        let written = self.out.written();
        for pending in std::mem::take(&mut self.pending) {
            let (bytes, written) = match pending.what {
                What::Requests { start, end, .. } => (
                    self.out.bytes(start, (end - start) as usize),
                    written.saturating_sub(start) as usize,
                ),
                What::Failed(_) | What::Answered(_) => (&[][..], 0),
            };
            demotion.take_up(pending, bytes, written);
        }
        self.failures = 0;
        for frame in frames {
            demotion.answer(frame, &*self.retryable);
        }
        self.demotion = Some(demotion);
        true
    }

    /// Whether the server has said that it is no master: nothing more is sent there.
    pub(in crate::upstream) fn is_demoted_now(&self) -> bool {
        self.demotion.is_some()
    }

    /// Takes what that server still answers.
    ///
    /// # Errors
    /// When everything is answered: the connection is of no more use.
    pub(super) fn hear_out(&mut self, frames: &mut Frames<'_>) -> Result<(), UpstreamError> {
        let retryable = Rc::clone(&self.retryable);
        let Some(demotion) = &mut self.demotion else {
            return Ok(());
        };
        while !demotion.is_done() && !frames.is_scanned() {
            if frames.at_push() {
                break;
            }
            if !frames.scan()? {
                return Ok(());
            }
            demotion.answer(frames.take(), &*retryable);
        }
        if demotion.is_done() || frames.at_push() {
            return Err(UpstreamError::Demoted);
        }
        Ok(())
    }

    /// Queues what was asked of that server once more, or what became of it.
    pub(super) fn requeue_demoted(&mut self, error: &UpstreamError, writes: &mut LastWrites) {
        let Some(demotion) = self.demotion.take() else {
            return;
        };
        let retryable = Rc::clone(&self.retryable);
        for asked in demotion.requests {
            let what = match asked.what {
                Fate::Failed(failure) => What::Failed(failure),
                Fate::Answered(reply) => What::Answered(reply),
                Fate::Request { bytes, sent, again }
                    if sent == Sent::No || (!again && is_retryable(&bytes, &*retryable)) =>
                {
                    self.requests(&bytes, again || sent == Sent::Yes)
                }
                Fate::Request { sent, .. } => {
                    writes.insert(asked.sink.identity(), self.pending.len());
                    What::Failed(Failure::new(error, sent))
                }
            };
            self.queue((asked.sink, asked.ticket), 1, asked.at, what);
        }
    }
}

impl Demotion {
    /// Takes the requests of a batch up, of whose `bytes` the first `written` have left.
    fn take_up(&mut self, pending: Pending, bytes: &[u8], written: usize) {
        let Pending {
            sink,
            ticket,
            replies,
            delivered,
            at,
            what,
            ..
        } = pending;
        let asked = |what| Asked {
            sink: Rc::clone(&sink),
            ticket,
            at,
            what,
        };
        match what {
            What::Requests { again, .. } => {
                for (request, sent) in unanswered(bytes, written, delivered) {
                    let bytes = request.to_vec();
                    self.requests
                        .push_back(asked(Fate::Request { bytes, sent, again }));
                }
            }
            What::Failed(failure) => {
                let failed = || asked(Fate::Failed(failure.clone()));
                self.requests.extend((0..replies).map(|_| failed()));
            }
            What::Answered(reply) => self.requests.push_back(asked(Fate::Answered(reply))),
        }
    }

    /// Takes the next reply.
    fn answer(&mut self, frame: &[u8], retryable: &Retryable) {
        let waits = |asked: &Asked| matches!(asked.what, Fate::Request { .. });
        let mut rest = self.requests.iter().skip(self.answered);
        let Some(ahead) = rest.position(waits) else {
            return;
        };
        let at = self.answered + ahead;
        self.answered = at + 1;
        let asked = self.requests[at].at;
        let Fate::Request { bytes, sent, again } = &mut self.requests[at].what else {
            return;
        };
        let sent_away = |kind: &[u8]| self.is_node && frame.starts_with(kind);
        let refused = frame.starts_with(REFUSAL) || sent_away(b"-MOVED ") || sent_away(b"-ASK ");
        let refused = refused && asked.elapsed() < LONGEST;
        self.refused |= refused;
        if refused {
            *sent = Sent::No;
        } else if self.refused && !*again && is_retryable(bytes, retryable) {
            (*sent, *again) = (Sent::No, true);
        } else {
            self.requests[at].what = Fate::Answered(frame.to_vec());
        }
    }

    /// Whether nothing more is to come from that server.
    fn is_done(&self) -> bool {
        let mut rest = self.requests.iter().skip(self.answered);
        !rest.any(|asked| {
            matches!(
                asked.what,
                Fate::Request {
                    sent: Sent::Yes,
                    ..
                }
            )
        })
    }
}

/// The first `count` whole replies.
pub(super) fn whole(data: &[u8], count: u32) -> Vec<&[u8]> {
    let mut scanner = ReplyScanner::default();
    let mut frames = Vec::new();
    let mut rest = data;
    while frames.len() < count as usize
        && let Ok(scanned) = scanner.scan(rest)
        && scanned.complete
    {
        let (frame, behind) = rest.split_at(scanned.consumed);
        frames.push(frame);
        rest = behind;
    }
    frames
}
