//! Replies by which a node of a cluster says that a request is not for it, or not now. Clients do not see
//! them: the request was not executed, and whoever has the link sends it on.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use super::demotion::whole;
use super::loss::unanswered;
use super::sequence::Sequence;
use super::{Inner, Pending, ReplySink, Ticket, What};

/// How such replies begin, in a server's own words: a script may return any error.
const REDIRECTS: [&[u8]; 9] = [
    b"-MOVED ",
    b"-ASK ",
    b"-TRYAGAIN Multiple keys request during rehashing of slot",
    b"-CLUSTERDOWN Hash slot not served",
    b"-CLUSTERDOWN The cluster is down",
    b"-LOADING Redis is loading",
    b"-LOADING Valkey is loading",
    b"-MASTERDOWN Link with MASTER is down",
    // Another node may know the script.
    b"-NOSCRIPT ",
];

/// Stands for the reply of a node that is not there.
const NOT_NOW: &[u8] = b"-TRYAGAIN no such node\r\n";

/// A request that has to be sent elsewhere, or again.
pub struct Redirected {
    /// The request.
    pub request: Vec<u8>,
    /// What the node said.
    pub reply: Vec<u8>,
    /// When it was asked first.
    pub at: Instant,
    /// Who waits for its one reply.
    pub sink: Rc<dyn ReplySink>,
    /// For what.
    pub ticket: Ticket,
}

/// Takes requests that have to be sent elsewhere. Called while the link works on its queue: must not call back
/// into the link.
pub type Redirect = dyn Fn(Redirected);

/// Whether a reply is one of those.
pub fn is_redirect(frame: &[u8]) -> bool {
    REDIRECTS.iter().any(|begin| frame.starts_with(begin))
}

/// Whether there may be an error among the replies in `data`. Most have no such byte, and that is found out fast.
#[inline]
pub(super) fn may_hold_error(data: &[u8]) -> bool {
    memchr::memchr(b'-', data).is_some()
}

/// Whether there may be one among the replies in `data`.
pub(super) fn may_redirect(data: &[u8]) -> bool {
    data.first() == Some(&b'-') || memchr::memmem::find(data, b"\r\n-").is_some()
}

impl Inner {
    /// Looks at the replies of the front, the first `count` of which are in `data`. False when none is a
    /// redirect; else they are taken, up to this many bytes.
    #[cold]
    pub(super) fn send_on(&mut self, data: &[u8], count: u32) -> Option<usize> {
        let frames = whole(data, count);
        if !frames.iter().any(|frame| is_redirect(frame)) {
            return None;
        }
        let redirect = self.redirect.clone()?;
        let front = self.pending.front_mut()?;
        if front.sink.is_for_node() {
            return None;
        }
        let What::Requests { start, end, .. } = front.what else {
            return None;
        };
        let bytes = self.out.bytes(start, (end - start) as usize);
        let requests: Vec<_> = unanswered(bytes, bytes.len(), front.delivered)
            .take(frames.len())
            .map(|(request, _)| request.to_vec())
            .collect();
        let taken = frames.iter().map(|frame| frame.len()).sum();
        let (answered, redirected) = split(front, &frames, requests);
        for redirected in redirected {
            if !redirected.sink.is_resent() {
                redirected.sink.redirecting(true);
            }
            redirect(redirected);
        }
        for (sink, ticket, bytes, replies) in answered {
            sink.deliver(ticket, &bytes, replies);
        }
        if front.replies == 0 {
            self.pop_answered();
        }
        Some(taken)
    }
}

impl Inner {
    /// The node has left, and the connection is given up: what it was not asked, and what may be asked again, is sent
    /// to whoever has the slots now. What was lost is told.
    #[cold]
    pub(super) fn send_all_on(&mut self, redirect: &Redirect) {
        let key = |pending: &Pending| (Rc::as_ptr(&pending.sink).cast::<()>(), pending.ticket.0);
        let mut counts: HashMap<_, u32> = HashMap::new();
        for pending in &self.pending {
            *counts.entry(key(pending)).or_default() += 1;
        }
        let mut sequences = HashMap::new();
        for mut pending in std::mem::take(&mut self.pending) {
            let key = key(&pending);
            self.in_flight -= pending.replies as usize;
            if counts.get(&key).is_some_and(|count| *count > 1) {
                let sequence = || Rc::new(Sequence::new(Rc::clone(&pending.sink), pending.ticket));
                let sequence = Rc::clone(sequences.entry(key).or_insert_with(sequence));
                pending.ticket = sequence.expect(pending.replies);
                pending.sink = sequence;
            }
            let Pending { sink, ticket, .. } = pending;
            match pending.what {
                What::Answered(reply) => sink.deliver(ticket, &reply, pending.replies),
                What::Failed(failure) => {
                    self.failures -= 1;
                    sink.lost(ticket, &failure, pending.replies);
                }
                What::Requests { start, end, .. } => {
                    if !sink.is_resent() {
                        sink.redirecting(true);
                    }
                    redirect(Redirected {
                        request: self.out.bytes(start, (end - start) as usize).to_vec(),
                        reply: NOT_NOW.to_vec(),
                        at: sink.asked_first().unwrap_or(pending.at),
                        sink,
                        ticket,
                    });
                }
            }
        }
        self.wake_waiting();
    }
}

/// Replies that stay what they are.
type Answered = (Rc<dyn ReplySink>, Ticket, Vec<u8>, u32);

/// Divides what has come for a batch; what is to come goes on behind it.
fn split(
    front: &mut Pending,
    frames: &[&[u8]],
    requests: Vec<Vec<u8>>,
) -> (Vec<Answered>, Vec<Redirected>) {
    let count = u32::try_from(frames.len()).unwrap_or(u32::MAX);
    let at = front.sink.asked_first().unwrap_or(front.at);
    let mut answered: Vec<Answered> = Vec::new();
    let mut redirected = Vec::new();
    if front.replies == 1 {
        let requests = requests.into_iter().zip(frames);
        redirected.extend(requests.map(|(request, frame)| Redirected {
            request,
            reply: frame.to_vec(),
            at,
            sink: Rc::clone(&front.sink),
            ticket: front.ticket,
        }));
    } else {
        let sequence = Rc::new(Sequence::new(Rc::clone(&front.sink), front.ticket));
        let mut last_stays = false;
        for (request, frame) in requests.into_iter().zip(frames) {
            let sink = || Rc::clone(&sequence) as Rc<dyn ReplySink>;
            if is_redirect(frame) {
                last_stays = false;
                redirected.push(Redirected {
                    request,
                    reply: frame.to_vec(),
                    at,
                    sink: sink(),
                    ticket: sequence.expect(1),
                });
                continue;
            }
            match answered.last_mut().filter(|_| last_stays) {
                Some((_, ticket, bytes, replies)) => {
                    sequence.widen(*ticket);
                    bytes.extend_from_slice(frame);
                    *replies += 1;
                }
                None => answered.push((sink(), sequence.expect(1), frame.to_vec(), 1)),
            }
            last_stays = true;
        }
        if front.replies > count {
            front.ticket = sequence.expect(front.replies - count);
            front.sink = sequence;
        }
    }
    front.replies -= count;
    front.delivered += count;
    front.scanned = front.scanned.saturating_sub(count);
    (answered, redirected)
}
