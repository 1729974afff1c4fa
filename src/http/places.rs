//! How many connections the admin listener has, and which of them gives way to a new one.
//!
//! What is served is not known before it is asked for, so a new connection always gets a place: a free one;
//! else that of the oldest which waits for a request; else, while all of them are being answered, one
//! of a reserve whose connections get `/health` and `/ready` only. It knows no socket.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Connections at the same time: scrapers, probes and people.
const MOST: usize = 512;
/// Connections of the reserve.
const MOST_RESERVED: usize = 64;

/// The connections.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_reserved: usize,
    held: Mutex<Held>,
}

/// By the order in which they came.
#[derive(Debug, Default)]
struct Held {
    next: u64,
    open: BTreeMap<u64, Arc<State>>,
    reserved: BTreeMap<u64, Arc<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// A request is being answered.
    busy: AtomicBool,
    /// It has to go.
    end: Notify,
}

/// One connection's place, free again when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    state: Arc<State>,
    /// It gets `/health` and `/ready` only.
    pub(super) reserved: bool,
}

impl Places {
    pub(super) fn new() -> Arc<Self> {
        Self::of(MOST, MOST_RESERVED)
    }

    fn of(most: usize, most_reserved: usize) -> Arc<Self> {
        Arc::new(Places {
            most,
            most_reserved,
            held: Mutex::default(),
        })
    }

    /// A place for a new connection; another one is told to end where that is needed.
    pub(super) fn take(self: &Arc<Self>) -> Place {
        let state = Arc::<State>::default();
        let mut held = self.held.lock();
        let number = held.next;
        held.next += 1;
        let room = held.open.len() < self.most || dismiss(&mut held.open, false);
        if room {
            held.open.insert(number, Arc::clone(&state));
        } else {
            // Answers of the reserve are short, so the oldest is a client that does not read.
            if held.reserved.len() >= self.most_reserved && !dismiss(&mut held.reserved, false) {
                dismiss(&mut held.reserved, true);
            }
            held.reserved.insert(number, Arc::clone(&state));
        }
        drop(held);
        Place {
            places: Arc::clone(self),
            number,
            state,
            reserved: !room,
        }
    }
}

/// Ends the oldest that is idle, or the oldest of all with `any`; returns whether there was one.
fn dismiss(connections: &mut BTreeMap<u64, Arc<State>>, any: bool) -> bool {
    let idle = |state: &State| any || !state.busy.load(Ordering::Relaxed);
    let oldest = connections.iter().find(|(_, state)| idle(state));
    let Some((number, state)) = oldest.map(|(number, state)| (*number, Arc::clone(state))) else {
        return false;
    };
    connections.remove(&number);
    state.end.notify_one();
    true
}

impl Place {
    /// Waits until the connection has to give way.
    pub(super) async fn given_up(&self) {
        self.state.end.notified().await;
    }

    /// Keeps the connection's place until what is returned, or the body that holds it, is dropped.
    pub(super) fn begin(&self) -> Busy {
        self.state.busy.store(true, Ordering::Relaxed);
        Busy(Arc::clone(&self.state))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.places.held.lock();
        held.open.remove(&self.number);
        held.reserved.remove(&self.number);
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Busy(Arc<State>);

impl Busy {
    /// The request lasts as long as the body of its response.
    pub(super) fn until_sent(self, body: Body) -> Body {
        Body::new(Answering { body, _busy: self })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

struct Answering {
    body: Body,
    _busy: Busy,
}

impl HttpBody for Answering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_told(place: &Place) -> bool {
        place.given_up().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_idle_one_gives_way() {
        let places = Places::of(2, 1);
        let (a, b) = (places.take(), places.take());
        let busy = a.begin();
        let c = places.take();
        assert!(!c.reserved && is_told(&b) && !is_told(&a));
        drop(b);
        // Nobody is idle: what comes now is for probes.
        let other = c.begin();
        let d = places.take();
        assert!(d.reserved && !is_told(&a) && !is_told(&c));
        let asked = d.begin();
        let e = places.take();
        assert!(e.reserved && is_told(&d));
        drop((asked, d, other));
        let f = places.take();
        assert!(!f.reserved && is_told(&c) && !is_told(&e));
        drop((busy, a, c, e, f));
        let held = places.held.lock();
        assert!(held.open.is_empty() && held.reserved.is_empty());
    }

    #[test]
    fn a_request_lasts_until_its_answer_is_sent() {
        let places = Places::of(1, 1);
        let place = places.take();
        let body = place.begin().until_sent(Body::from("x"));
        assert!(places.take().reserved);
        drop(body);
        assert!(!places.take().reserved && is_told(&place));
    }
}
