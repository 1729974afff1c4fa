//! Channels and patterns that the clients of a worker are subscribed to. All of them share one connection to the
//! backing, which is subscribed once to each name; what comes on it goes to everybody who wants it.
//!
//! What a client begins or ends takes its place in the order of that connection: it hears what was published behind its
//! `SUBSCRIBE` and in front of its `UNSUBSCRIBE`, as with a connection of its own.

mod alive;
mod audience;
mod naming;
mod pending;
mod subscriber;
mod topic;

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Instant;

pub(crate) use self::audience::Audience;
use self::naming::Name;
pub(crate) use self::naming::Naming;
use self::pending::{Pending, What};
use self::subscriber::State;
pub(crate) use self::subscriber::Subscriber;
use self::topic::Topic;
use super::replies::Rest;
use crate::clock;
use crate::resp::{Value, parse_reply, write_command};
use crate::upstream::{Failure, Frames, ReplySink, Ticket, UpstreamError, WriteBuf};

/// What marks a place in what the backing sends: its answer comes behind all that was published before.
const PING: &[&[u8]] = &[b"PING"];
const PONG: &[u8] = b"+PONG\r\n";
/// From this size on subscribers share the bytes of a message.
const SHARED_BYTES: usize = 16 * 1024;

/// The subscriptions of one worker.
pub(crate) struct Subscriptions {
    inner: RefCell<Inner>,
    audience: Arc<Audience>,
}

/// A session's place among the subscribers, until it is dropped.
pub(super) struct Subscribed {
    pub(super) hub: Rc<Subscriptions>,
    pub(super) who: Rc<Subscriber>,
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.hub.leave(&self.who);
    }
}

#[derive(Default)]
struct Inner {
    /// By what their names are.
    topics: [HashMap<Name, Topic>; 2],
    /// What was sent, or is to be, and has no answer yet.
    pending: VecDeque<Pending>,
    /// Commands that are to be sent.
    out: Vec<u8>,
    /// Whoever looks after the connection.
    task: Option<Waker>,
    /// Since when there is a connection.
    connected: Option<Instant>,
    /// When something came on it last.
    heard: Option<Instant>,
}

// === impl Subscriptions ===

impl Subscriptions {
    pub(crate) fn new(audience: Arc<Audience>) -> Self {
        Subscriptions {
            inner: RefCell::default(),
            audience,
        }
    }

    /// A client subscribes to names; the confirmations go to `ticket`.
    pub(crate) fn begin(
        &self,
        who: &Rc<Subscriber>,
        naming: Naming,
        names: &[&[u8]],
        request: &[u8],
        ticket: Ticket,
    ) {
        let mut inner = self.inner.borrow_mut();
        let mut added = Vec::new();
        for name in names {
            if !who.wants(naming, name) {
                added.push(inner.want(naming, name, who));
            }
        }
        inner.out.extend_from_slice(request);
        who.add_pending(false);
        let what = What::Begin {
            left: names.len(),
            added,
        };
        inner.wait_for(naming, what, Some((Rc::clone(who), ticket)));
    }

    /// A client ends subscriptions to names, all of its own if there are none.
    pub(crate) fn end(
        &self,
        who: &Rc<Subscriber>,
        naming: Naming,
        names: &[&[u8]],
        ticket: Ticket,
    ) {
        let names: Vec<Name> = match names {
            [] => who.names(naming),
            names => names.iter().map(|name| Name::from(*name)).collect(),
        };
        let mut inner = self.inner.borrow_mut();
        let mut last = Vec::new();
        for name in &names {
            if who.begin_to_end(naming, name) && inner.unwant(naming, name) {
                last.push(Rc::clone(name));
            }
        }
        who.add_pending(true);
        inner.end(naming, last, names, Some((Rc::clone(who), ticket)));
    }

    /// A client's command that has one reply, which has its place among the messages.
    pub(crate) fn ask(&self, who: &Rc<Subscriber>, request: &[u8], ticket: Ticket) {
        let mut inner = self.inner.borrow_mut();
        inner.out.extend_from_slice(request);
        who.add_pending(false);
        // Names are not what it is about.
        let waits = Some((Rc::clone(who), ticket));
        inner.wait_for(Naming::Channels, What::Ask, waits);
    }

    /// A client is gone, or has begun anew.
    pub(crate) fn leave(&self, who: &Rc<Subscriber>) {
        let mut inner = self.inner.borrow_mut();
        for naming in [Naming::Channels, Naming::Patterns] {
            let mut last = Vec::new();
            for (name, state) in who.take_names(naming) {
                inner.remove(naming, &name, who, &self.audience);
                let ends = state != State::Ending && inner.unwant(naming, &name);
                inner.forget_unwanted(naming, &name);
                if ends {
                    last.push(name);
                }
            }
            if !last.is_empty() {
                inner.end(naming, last, Vec::new(), None);
            }
        }
        who.go();
    }

    /// Whether there has been a connection.
    pub(crate) fn is_begun(&self) -> bool {
        self.inner.borrow().connected.is_some()
    }

    /// Whether there is something to be said to the backing.
    pub(crate) fn is_wanted(&self) -> bool {
        !self.inner.borrow().out.is_empty()
    }

    /// Wakes `cx` when there is.
    pub(crate) fn set_task(&self, cx: &Context<'_>) {
        let mut inner = self.inner.borrow_mut();
        let known = inner.task.as_ref();
        if !known.is_some_and(|task| task.will_wake(cx.waker())) {
            inner.task = Some(cx.waker().clone());
        }
    }

    /// A connection is there: what waits goes out on it.
    pub(crate) fn connected(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.connected = Some(Instant::now());
        inner.heard = inner.connected;
    }

    /// Puts what is to be said into the buffer of the connection.
    pub(crate) fn send(&self, out: &mut WriteBuf) {
        let mut inner = self.inner.borrow_mut();
        if !inner.out.is_empty() {
            out.push(&inner.out);
            inner.out = Vec::new();
        }
    }

    /// Wakes whoever looks after the connection.
    pub(crate) fn wake(&self) {
        if let Some(task) = &self.inner.borrow().task {
            task.wake_by_ref();
        }
    }

    /// Has something made of what has come.
    ///
    /// # Errors
    /// When nobody asked for it.
    pub(crate) fn receive(&self, frames: &mut Frames<'_>) -> Result<(), UpstreamError> {
        self.inner.borrow_mut().heard = Some(clock::now());
        while !frames.is_scanned() && frames.scan()? {
            self.frame(frames.take())?;
        }
        Ok(())
    }

    fn frame(&self, frame: &[u8]) -> Result<(), UpstreamError> {
        let mut inner = self.inner.borrow_mut();
        if frame.first() != Some(&b'>') {
            return inner.answered(frame, &self.audience);
        }
        let Ok(Some((Value::Push(parts), _))) = parse_reply(frame) else {
            return Err(UpstreamError::Protocol("a push of another shape".into()));
        };
        let part = |at: usize| parts.get(at).and_then(Value::as_bytes).unwrap_or_default();
        match part(0) {
            b"message" => inner.publish(Naming::Channels, part(1), frame),
            b"pmessage" => inner.publish(Naming::Patterns, part(1), frame),
            b"subscribe" | b"psubscribe" => return inner.confirm(part(1), &self.audience),
            b"unsubscribe" | b"punsubscribe" => inner.note_ended(),
            // Nothing that was asked for here.
            _ => {}
        }
        Ok(())
    }

    /// The connection is lost, or could not be opened. Whoever is subscribed has missed messages: only a new connection
    /// makes him whole.
    pub(crate) fn lose(&self, failure: &Failure) {
        let (topics, pending) = {
            let mut inner = self.inner.borrow_mut();
            inner.connected = None;
            inner.out = Vec::new();
            (
                std::mem::take(&mut inner.topics),
                std::mem::take(&mut inner.pending),
            )
        };
        let [channels, patterns] = &topics;
        self.audience.forget(Naming::Channels, channels);
        self.audience.forget(Naming::Patterns, patterns);
        let mut ended: Vec<Rc<Subscriber>> = Vec::new();
        for topic in topics.iter().flat_map(HashMap::values) {
            ended.extend(topic.subscribers().iter().cloned());
        }
        for waiting in pending {
            if let Some((who, ticket)) = waiting.who {
                who.replies.lost(ticket, failure, 1);
                who.done_pending();
                match waiting.what {
                    What::Begin { added, .. } => added.iter().for_each(|name| {
                        who.refuse_name(waiting.naming, name);
                    }),
                    What::End { .. } => ended.push(who),
                    What::Ask | What::Alive => {}
                }
            }
        }
        for who in ended {
            who.forget();
            who.replies.end();
        }
    }
}

// === impl Inner ===

impl Inner {
    fn wait_for(&mut self, naming: Naming, what: What, who: Option<(Rc<Subscriber>, Ticket)>) {
        self.pending.push_back(Pending {
            naming,
            what,
            who,
            since: Instant::now(),
        });
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    /// Ends the subscription to the `last` ones at the backing; `names` are what `who` wants no more, behind what was
    /// published until then.
    fn end(
        &mut self,
        naming: Naming,
        last: Vec<Name>,
        names: Vec<Name>,
        who: Option<(Rc<Subscriber>, Ticket)>,
    ) {
        if !last.is_empty() {
            let mut words = vec![naming.end()];
            words.extend(last.iter().map(|name| &**name));
            write_command(&mut self.out, &words);
        }
        write_command(&mut self.out, PING);
        let left = last.len();
        self.wait_for(naming, What::End { left, names }, who);
    }

    /// One subscriber more will be there, if it is a new one.
    fn want(&mut self, naming: Naming, name: &[u8], who: &Subscriber) -> Name {
        let topics = &mut self.topics[naming as usize];
        let key = match topics.get_key_value(name) {
            Some((key, _)) => Rc::clone(key),
            None => Name::from(name),
        };
        if who.want(naming, &key) {
            topics.entry(Rc::clone(&key)).or_default().wanted += 1;
        }
        key
    }

    /// One subscriber less will be there. True when nobody is.
    fn unwant(&mut self, naming: Naming, name: &[u8]) -> bool {
        let Some(topic) = self.topics[naming as usize].get_mut(name) else {
            return false;
        };
        topic.wanted = topic.wanted.saturating_sub(1);
        topic.wanted == 0
    }

    /// Takes a subscriber out of those of a name.
    fn remove(&mut self, naming: Naming, name: &[u8], who: &Rc<Subscriber>, audience: &Audience) {
        let topics = &mut self.topics[naming as usize];
        let Some(topic) = topics.get_mut(name) else {
            return;
        };
        if topic.remove(who) && !topic.subscribers().is_empty() {
            audience.less(naming, name);
        }
    }

    /// Sends a message to those who are subscribed to a name.
    fn publish(&self, naming: Naming, name: &[u8], frame: &[u8]) {
        let Some(topic) = self.topics[naming as usize].get(name) else {
            return;
        };
        let rest = match frame.len() {
            ..SHARED_BYTES => Rest::Small(&frame[1..]),
            _ => Rest::Large(frame[1..].to_vec().into()),
        };
        topic.subscribers().iter().for_each(|who| who.show(&rest));
    }

    /// The backing has confirmed one subscription.
    fn confirm(&mut self, name: &[u8], audience: &Audience) -> Result<(), UpstreamError> {
        let Some(Pending {
            naming,
            what: What::Begin { left, .. },
            who,
            ..
        }) = self.pending.front_mut()
        else {
            return Err(unasked());
        };
        let naming = *naming;
        *left = left.saturating_sub(1);
        let last = *left == 0;
        if let Some((who, ticket)) = who.clone().filter(|(who, _)| !who.is_gone()) {
            let key = self.want(naming, name, &who);
            if who.confirm(naming, &key) {
                let topic = self.topics[naming as usize].entry(key).or_default();
                topic.add(&who);
                if topic.subscribers().len() > 1 {
                    audience.more(naming, name);
                }
            }
            who.tell_begun(naming, name, ticket, last);
        }
        if last {
            self.pop();
        }
        Ok(())
    }

    /// One of the names that nobody wants any more is gone.
    fn note_ended(&mut self) {
        if let Some(Pending {
            what: What::End { left, .. },
            ..
        }) = self.pending.front_mut()
        {
            *left = left.saturating_sub(1);
        }
    }

    /// A reply that is no push.
    fn answered(&mut self, frame: &[u8], audience: &Audience) -> Result<(), UpstreamError> {
        let is_error = frame.first() == Some(&b'-');
        match self.pending.front_mut().map(|front| &mut front.what) {
            Some(What::Ask) => {
                if let Some((who, ticket)) = self.pending.pop_front().and_then(|done| done.who) {
                    who.done_pending();
                    who.replies.deliver(ticket, frame, 1);
                }
            }
            // Whatever it is: the backing is there.
            Some(What::Alive) => self.pop(),
            Some(What::Begin { .. }) if is_error => self.refuse(frame),
            // Nobody wants what still comes.
            Some(What::End { left, .. }) if *left > 0 && is_error => *left = 0,
            // Whatever the marker is answered with.
            Some(What::End { left: 0, .. }) if is_error || frame == PONG => self.finish(audience),
            _ => return Err(unasked()),
        }
        Ok(())
    }

    /// The end of subscriptions at the front has come to its place in the order.
    fn finish(&mut self, audience: &Audience) {
        let Some(Pending {
            naming,
            what: What::End { names, .. },
            who: Some((who, ticket)),
            ..
        }) = self.pending.pop_front()
        else {
            return;
        };
        who.done_pending();
        let mut confirmations = Vec::new();
        for name in &names {
            if who.drop_name(naming, name) {
                self.remove(naming, name, &who, audience);
                self.forget_unwanted(naming, name);
            }
            who.write_ended(naming, Some(name), &mut confirmations);
        }
        if names.is_empty() {
            who.write_ended(naming, None, &mut confirmations);
        }
        who.replies.deliver(ticket, &confirmations, 1);
    }

    /// Drops what is kept of a name that nobody wants.
    fn forget_unwanted(&mut self, naming: Naming, name: &[u8]) {
        let topics = &mut self.topics[naming as usize];
        if topics.get(name).is_some_and(|topic| topic.wanted == 0) {
            topics.remove(name);
        }
    }

    /// The backing has refused to subscribe to names.
    fn refuse(&mut self, error: &[u8]) {
        let Some(front) = self.pending.pop_front() else {
            return;
        };
        let (Some((who, ticket)), What::Begin { added, .. }) = (front.who, front.what) else {
            return;
        };
        who.done_pending();
        for name in added {
            if who.refuse_name(front.naming, &name) {
                self.unwant(front.naming, &name);
                self.forget_unwanted(front.naming, &name);
            }
        }
        who.replies.deliver(ticket, error, 1);
    }

    fn pop(&mut self) {
        if let Some(Pending {
            who: Some((who, _)),
            ..
        }) = self.pending.pop_front()
        {
            who.done_pending();
        }
    }
}

fn unasked() -> UpstreamError {
    UpstreamError::Protocol("a reply that nobody asked for".into())
}
