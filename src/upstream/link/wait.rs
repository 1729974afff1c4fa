//! How long a link's users wait, and for which request.
//!
//! Requests that were sent together are answered together, so the times alone do not tell which of them
//! the others waited for. What they are does: `weigh` says how much work a request may be, and of those
//! whose replies came in one piece the heaviest is to blame, or the first of several.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::{Inner, LinkState, Pending, SlowReply, What};
use crate::resp::{Args, Parsed, RequestLimits, RequestParser};
use crate::upstream::write_buf::WriteBuf;

/// A link on which nothing came for so long, with commands outstanding, is silent: the backing is busy
/// or holds somebody back. A round trip takes far less, and a script that runs for longer is rare.
const SILENT: Duration = Duration::from_millis(100);
/// Of requests that were answered together so many are looked at.
const MOST_WEIGHED: u32 = 128;

/// Says how much work a request may be for the backing.
pub type Weigh = dyn Fn(Args<'_>) -> u8;

/// What is known of those who wait.
pub(super) struct Waits {
    /// When something last came.
    pub(super) heard: Instant,
    /// When the last reply came that did not come just now.
    answered: Instant,
    /// A reply has come just now.
    replied: bool,
    /// What took long and came just now.
    together: Option<Rc<Together>>,
    pub(super) weigh: Option<Rc<Weigh>>,
}

/// Slow replies of different users that came in one piece.
#[derive(Debug, Default)]
struct Together {
    count: Cell<u32>,
    heaviest: Cell<u32>,
    weight: Cell<u8>,
}

/// One of several slow replies that came in one piece.
#[derive(Debug, Clone)]
pub struct Share {
    together: Rc<Together>,
    number: u32,
}

/// The requests of one user that were waited for longest: those whose replies came in one piece.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Slowest {
    first: u32,
    /// None as long as more of them may come.
    end: Option<u32>,
    waited: Duration,
}

impl Inner {
    pub(super) fn is_silent(&self, now: Instant) -> bool {
        let since = |front: &Pending| now.duration_since(front.at.max(self.waits.heard));
        matches!(self.state, LinkState::Up)
            && self
                .pending
                .front()
                .is_some_and(|front| since(front) > SILENT)
    }

    /// Bytes have come: notes for which request they were
    /// waited for.
    pub(super) fn note_wait(&mut self, now: Instant) {
        let waits = &mut self.waits;
        if waits.replied {
            waits.answered = waits.heard;
            waits.replied = false;
            waits.together = None;
        }
        if let Some(front) = self.pending.front_mut() {
            let waited = now.duration_since(waits.heard.max(front.at));
            let next = front.delivered + front.scanned;
            front.slowest.end.get_or_insert(next);
            if waited > front.slowest.waited {
                front.slowest = Slowest {
                    first: next,
                    end: None,
                    waited,
                };
            }
        }
        waits.heard = now;
    }
}

impl Waits {
    pub(super) fn new() -> Self {
        Waits {
            heard: Instant::now(),
            answered: Instant::now(),
            replied: false,
            together: None,
            weigh: None,
        }
    }

    /// The replies for `user` are in: tells of them if they took `slow` or longer.
    pub(super) fn note_answered(&mut self, user: &Pending, out: &WriteBuf, slow: Duration) {
        self.replied = true;
        if self.heard.duration_since(user.at) >= slow {
            self.tell_slow(user, out);
        }
    }

    #[cold]
    fn tell_slow(&mut self, user: &Pending, out: &WriteBuf) {
        let What::Requests { start, end, .. } = user.what else {
            return;
        };
        let bytes = out.bytes(start, (end - start) as usize);
        let Some((request, weight)) = self.heaviest(bytes, user.slowest) else {
            return;
        };
        let together = self.together.get_or_insert_default();
        let number = together.count.get();
        together.count.set(number + 1);
        if number == 0 || weight > together.weight.get() {
            together.heaviest.set(number);
            together.weight.set(weight);
        }
        let share = Share {
            together: Rc::clone(together),
            number,
        };
        let reply = SlowReply {
            request,
            begun: user.at.max(self.answered),
            share,
        };
        user.sink.slow(user.ticket, reply);
    }

    /// The heaviest request of some, the first of several.
    fn heaviest<'a>(&self, bytes: &'a [u8], of: Slowest) -> Option<(&'a [u8], u8)> {
        let mut parser = RequestParser::default();
        let end = of.end.unwrap_or(u32::MAX);
        let end = end.min(of.first.saturating_add(MOST_WEIGHED));
        let (mut pos, mut at) = (0, 0);
        let mut heaviest: Option<(&[u8], u8)> = None;
        while at < end.max(of.first + 1)
            && let Ok(Parsed::Request { len }) =
                parser.parse(&bytes[pos..], &RequestLimits::TRUSTED)
        {
            let request = &bytes[pos..pos + len];
            if at >= of.first {
                let weight = match &self.weigh {
                    Some(weigh) => weigh(parser.args(request)),
                    None => 0,
                };
                if heaviest.is_none_or(|(_, most)| weight > most) {
                    heaviest = Some((request, weight));
                }
            }
            pos += len;
            at += 1;
        }
        heaviest
    }
}

impl Share {
    /// Whether this is the one that the others have waited for. Known when all of them were delivered.
    pub fn is_to_blame(&self) -> bool {
        self.together.heaviest.get() == self.number
    }
}
