//! Requests that a node of a cluster did not take: it does not have their slot, or cannot serve it now. They are sent
//! on, those of one client one after the other, so that they take effect in its order.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::resp::Proto;
use crate::upstream::{
    Failure, LinkKey, LoginId, Redirect, Redirected, ReplySink, SlowReply, Ticket, Whither,
};

/// The wait before a request is sent again that could not be served.
pub(super) const AGAIN: Duration = Duration::from_millis(50);
/// The requests of a worker's clients that are sent on.
#[derive(Default)]
pub(super) struct Redirects {
    clients: RefCell<HashMap<*const (), Queue>>,
    taken: Cell<u64>,
    pub(super) changed: Notify,
}

/// Those of one client.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// The one before them is not answered yet.
    busy: bool,
    /// How often the script of that one was loaded.
    loads: u8,
    /// What was asked in front of that one, and how often the node took it but not the one behind it.
    probe: Option<Rc<Probe>>,
    contradicted: u8,
}

pub(super) struct Waiting {
    pub(super) request: Redirected,
    pub(super) proto: Proto,
    /// Whose it is.
    pub(super) login: LoginId,
    /// How often the script that it calls was loaded for it.
    pub(super) loads: u8,
    /// How often its node has taken a plain command on its keys right before it said that they are elsewhere.
    pub(super) contradicted: u8,
    due: Instant,
}

/// A plain command on the keys of a script, in front of it: what a node says of that one no script has made up.
#[derive(Default)]
pub(super) struct Probe {
    served: Cell<bool>,
}

/// What a node says that does not know a script. One that a script itself makes up is most likely another.
pub(super) const NOSCRIPT: &[u8] = b"-NOSCRIPT No matching script.";

/// Passes the reply of a request on that was sent on, and lets the next one go.
struct Resent {
    /// When it was asked first.
    at: Instant,
    sink: Rc<dyn ReplySink>,
    ticket: Ticket,
    redirects: Weak<Redirects>,
}

impl Redirects {
    /// What such a link does with requests that are not for its node.
    pub(super) fn of(self: &Rc<Self>, key: LinkKey) -> Rc<Redirect> {
        let redirects = Rc::downgrade(self);
        Rc::new(move |request| {
            if let Some(redirects) = redirects.upgrade() {
                redirects.take(request, key);
            }
        })
    }

    /// How many there were so far.
    pub(super) fn taken(&self) -> u64 {
        self.taken.get()
    }

    /// Whether none is sent on now.
    pub(super) fn is_idle(&self) -> bool {
        self.clients.borrow().is_empty()
    }

    fn take(&self, request: Redirected, key: LinkKey) {
        self.taken.set(self.taken.get() + 1);
        let resent = request.sink.is_resent();
        let wait = match whither(&request.reply) {
            Some(Whither::Moved(..) | Whither::Ask(..)) if !resent => Duration::ZERO,
            _ if request.reply.starts_with(NOSCRIPT) => Duration::ZERO,
            _ => AGAIN,
        };
        let mut clients = self.clients.borrow_mut();
        let queue = clients.entry(request.sink.identity()).or_default();
        let probed = queue.probe.take().is_some_and(|probe| probe.served.get());
        let contradicts = probed && is_about_slot(&request.reply);
        let contradicted = match resent {
            true => queue.contradicted + u8::from(contradicts),
            false => 0,
        };
        let waiting = Waiting {
            contradicted,
            due: Instant::now() + wait,
            request,
            proto: key.proto,
            login: key.login,
            loads: if resent { queue.loads } else { 0 },
        };
        if resent {
            queue.busy = false;
            queue.waiting.push_front(waiting);
        } else {
            queue.waiting.push_back(waiting);
        }
        drop(clients);
        self.changed.notify_one();
    }

    /// Who waits for the reply of a request that is sent on.
    pub(super) fn waiting_for(self: &Rc<Self>, request: &Redirected) -> Rc<dyn ReplySink> {
        Rc::new(Resent {
            at: request.at,
            sink: Rc::clone(&request.sink),
            ticket: request.ticket,
            redirects: Rc::downgrade(self),
        })
    }

    /// What is to be sent now, and when there will be more.
    pub(super) fn due(&self) -> (Vec<Waiting>, Option<Instant>) {
        let now = Instant::now();
        let mut next: Option<Instant> = None;
        let mut due = Vec::new();
        self.clients.borrow_mut().retain(|_, queue| {
            if let Some(first) = queue.waiting.front().filter(|_| !queue.busy) {
                if first.due <= now {
                    queue.busy = true;
                    queue.loads = first.loads + u8::from(first.is_for_script());
                    queue.contradicted = first.contradicted;
                    due.extend(queue.waiting.pop_front());
                } else {
                    next = Some(next.map_or(first.due, |next| next.min(first.due)));
                }
            }
            queue.busy || !queue.waiting.is_empty()
        });
        (due, next)
    }

    /// What is asked in front of the request of a client that is sent on now.
    pub(super) fn probing(&self, client: *const ()) -> Rc<Probe> {
        let probe = Rc::new(Probe::default());
        if let Some(queue) = self.clients.borrow_mut().get_mut(&client) {
            queue.probe = Some(Rc::clone(&probe));
        }
        probe
    }

    fn answered(&self, client: *const ()) {
        if let Some(queue) = self.clients.borrow_mut().get_mut(&client) {
            queue.busy = false;
            queue.probe = None;
        }
        self.changed.notify_one();
    }
}

impl Waiting {
    fn is_for_script(&self) -> bool {
        self.request.reply.starts_with(NOSCRIPT)
    }
}

/// Whither a reply sends its request, `-MOVED 3999 10.0.0.1:6381`, `-ASK …` and the rest; none when no node says so.
pub(super) fn whither(reply: &[u8]) -> Option<Whither> {
    let line = std::str::from_utf8(reply).ok()?.trim_end();
    match line.split(' ').next()? {
        "-MOVED" | "-ASK" => Whither::named(&line[1..]),
        _ => Some(Whither::Again),
    }
}

/// Whether a reply says that the keys are elsewhere, or some of them.
pub(super) fn is_about_slot(reply: &[u8]) -> bool {
    [b"-MOVED ".as_slice(), b"-ASK ", b"-TRYAGAIN "]
        .iter()
        .any(|begin| reply.starts_with(begin))
}

// === impl Probe ===

impl ReplySink for Probe {
    fn deliver(&self, _ticket: Ticket, bytes: &[u8], _replies: u32) {
        self.served.set(bytes.first() == Some(&b':'));
    }

    fn abort(&self) {}

    fn lost(&self, _ticket: Ticket, _failure: &Failure, _replies: u32) {}

    fn ends_with_loss(&self) -> bool {
        false
    }

    fn is_for_node(&self) -> bool {
        true
    }
}

// === impl Resent ===

impl Resent {
    fn done(&self) {
        self.sink.redirecting(false);
        if let Some(redirects) = self.redirects.upgrade() {
            redirects.answered(self.sink.identity());
        }
    }
}

impl ReplySink for Resent {
    fn deliver(&self, _ticket: Ticket, bytes: &[u8], replies: u32) {
        self.sink.deliver(self.ticket, bytes, replies);
        if replies > 0 {
            self.done();
        }
    }

    fn slow(&self, _ticket: Ticket, reply: SlowReply<'_>) {
        self.sink.slow(self.ticket, reply);
    }

    fn abort(&self) {
        self.sink.abort();
        self.done();
    }

    fn lost(&self, _ticket: Ticket, failure: &Failure, replies: u32) {
        self.sink.lost(self.ticket, failure, replies);
        self.done();
    }

    fn ends_with_loss(&self) -> bool {
        self.sink.ends_with_loss()
    }

    fn identity(&self) -> *const () {
        self.sink.identity()
    }

    fn asked_first(&self) -> Option<Instant> {
        Some(self.at)
    }

    fn is_last(&self, _ticket: Ticket) -> bool {
        self.sink.is_last(self.ticket)
    }
}
