//! Messages on their way to other Respites: gathered while others are on their way, sealed, published; and received.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::message::Message;
use super::seal::Address;
use crate::bus::bus::Bus;
use crate::bus::hub::Hub;
use crate::bus::id::HOME_LEN;
use crate::bus::store::Published;
use crate::tasks::{self, Kind};

/// The most bytes that wait to be sent. What is refused goes through the backing.
const MOST_WAITING: usize = 16 * 1024 * 1024;
/// The most bytes of one frame, one message apart.
const MOST_FRAME: usize = 512 * 1024;

/// The messages that are to be sent, by where they go.
#[derive(Debug, Default)]
pub(in crate::bus) struct Post(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    messages: HashMap<Arc<str>, Vec<Message>>,
    bytes: usize,
    /// Whether somebody sends them.
    working: bool,
}

/// Messages that go to one Respite in one piece.
struct Frame {
    to: Arc<str>,
    messages: Vec<Message>,
    /// It may have been sent already: that nobody hears it now does not say that nobody did.
    may_be_sent: bool,
}

/// Has what was not sent sent by another task if this one breaks off.
struct Working {
    bus: Arc<Bus>,
    frames: VecDeque<Frame>,
    over: bool,
}

impl Drop for Working {
    fn drop(&mut self) {
        if !self.over {
            let (bus, mut frames) = (Arc::clone(&self.bus), std::mem::take(&mut self.frames));
            if let Some(frame) = frames.front_mut() {
                frame.may_be_sent = true;
            }
            // The thread may be about to end. What arrives twice is taken once.
            let hub = Arc::clone(&bus.hub);
            hub.spawn(work(bus, frames));
        }
    }
}

impl Post {
    /// Takes all that waits; none when there is nothing left to do.
    fn take(&self) -> Option<VecDeque<Frame>> {
        let mut waiting = self.0.lock();
        waiting.bytes = 0;
        let mut frames: VecDeque<Frame> = VecDeque::new();
        for (to, messages) in waiting.messages.drain() {
            let mut bytes = usize::MAX;
            for message in messages {
                let size = message.size();
                bytes = bytes.saturating_add(size);
                if bytes > MOST_FRAME || frames.is_empty() {
                    let to = Arc::clone(&to);
                    let messages = Vec::new();
                    frames.push_back(Frame {
                        to,
                        messages,
                        may_be_sent: false,
                    });
                    bytes = size;
                }
                if let Some(frame) = frames.back_mut() {
                    frame.messages.push(message);
                }
            }
        }
        waiting.working = !frames.is_empty();
        waiting.working.then_some(frames)
    }
}

impl Bus {
    /// Sends a message to another Respite, behind those that were sent before; false if there is no room for it.
    pub(super) fn send(self: &Arc<Self>, to: &Arc<str>, message: Message) -> bool {
        let mut waiting = self.post.0.lock();
        let size = message.size();
        if waiting.bytes + size > MOST_WAITING {
            return false;
        }
        waiting.bytes += size;
        let messages = waiting.messages.entry(Arc::clone(to)).or_default();
        messages.push(message);
        let begins = !std::mem::replace(&mut waiting.working, true);
        drop(waiting);
        if begins {
            let own = Arc::clone(self);
            if Handle::try_current().is_ok() {
                tokio::spawn(tasks::named(Kind::Bus, work(own, VecDeque::new())));
            } else {
                self.hub.spawn(work(own, VecDeque::new()));
            }
        }
        true
    }
}

/// Sends these frames, and then what has gathered, until nothing is left. Those that go to one Respite arrive in their order.
fn work(bus: Arc<Bus>, frames: VecDeque<Frame>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    let begun = Working {
        bus,
        frames,
        over: false,
    };
    Box::pin(async move {
        let mut working = begun;
        loop {
            while let Some(frame) = working.frames.front() {
                let published = publish(&working.bus, frame).await;
                if let Some(frame) = working.frames.pop_front() {
                    settle(&working.bus, frame, published);
                }
            }
            match working.bus.post.take() {
                Some(frames) => working.frames = frames,
                None => break,
            }
        }
        working.over = true;
    })
}

async fn publish(bus: &Arc<Bus>, frame: &Frame) -> Published {
    let mut sealed = seal(bus, frame);
    if sealed.is_none() {
        // The secret comes with the lease.
        drop(bus.take_lease().await);
        sealed = seal(bus, frame);
    }
    match sealed {
        Some(sealed) => bus.hub.store.publish(&frame.to, &sealed).await,
        None => Published::Unheard,
    }
}

/// Goes on without the messages that were not heard, or perhaps not.
fn settle(bus: &Arc<Bus>, frame: Frame, published: Published) {
    if published == Published::Heard {
        return;
    }
    for message in frame.messages {
        match message {
            Message::Call(call) if published == Published::Unheard && !frame.may_be_sent => {
                bus.not_taken(&frame.to, &call);
            }
            Message::Outcome { id, outcome } => {
                bus.store_outcome(id, outcome, Arc::clone(&frame.to));
            }
            Message::Cancel { id, is_late } => bus.cancel_stored(&id, is_late),
            _ => {}
        }
    }
}

fn seal(bus: &Bus, frame: &Frame) -> Option<Vec<u8>> {
    let from = bus.hub.store.instance();
    let number = bus.hub.new_frame();
    let mut sealed = format!("s\n{}\n{from}\n{number:x}\n", bus.name).into_bytes();
    let head = sealed.len();
    for message in &frame.messages {
        message.encode(&mut sealed);
    }
    let address = Address {
        bus: &bus.name,
        from,
        to: &frame.to,
        number,
    };
    bus.lease.keys.seal(address, &mut sealed, head)?;
    Some(sealed)
}

/// A sealed frame has come, of which this is behind its first line.
pub(in crate::bus) fn receive(hub: &Arc<Hub>, frame: &[u8]) {
    let mut parts = frame.splitn(4, |byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(parts.next()?).ok();
    let (Some(bus), Some(from), Some(number)) = (text(), text(), text()) else {
        return;
    };
    let Ok(number) = u64::from_str_radix(number, 16) else {
        return;
    };
    let (Some(body), Some(bus)) = (parts.next(), hub.used_bus(bus)) else {
        return;
    };
    if from.len() != HOME_LEN || from == hub.store.instance() {
        return;
    }
    if let Some(messages) = open(&bus, from, number, body) {
        return take(&bus, from, messages);
    }
    // There may be a new secret, or none was needed so far. Whoever may publish can ask for that, now and then.
    if bus.lease.may_ask_for_secret() {
        let (from, body) = (from.to_owned(), body.to_vec());
        hub.spawn(async move {
            drop(bus.take_lease().await);
            if let Some(messages) = open(&bus, &from, number, &body) {
                take(&bus, &from, messages);
            }
        });
    }
}

fn open(bus: &Bus, from: &str, number: u64, body: &[u8]) -> Option<Vec<Message>> {
    let address = Address {
        bus: &bus.name,
        from,
        to: bus.hub.store.instance(),
        number,
    };
    let mut body = body.to_vec();
    let opened = bus.lease.keys.open(address, &mut body)?;
    Some(Message::decode(opened))
}

fn take(bus: &Arc<Bus>, from: &str, messages: Vec<Message>) {
    bus.note_use();
    let from: Arc<str> = from.into();
    for message in messages {
        match message {
            Message::Offer { .. }
            | Message::Outcome { .. }
            | Message::Returned { .. }
            | Message::Stored { .. }
            | Message::Held { .. }
            | Message::Lost { .. } => bus.hear_of_call(&from, message),
            Message::Call(call) => bus.take_call(&from, call),
            Message::Ask {
                id,
                age_ms,
                withdraw,
                has_workers,
            } => {
                let withdraw = withdraw || !bus.may_stay(&id, has_workers);
                bus.answer_about(&from, &id, age_ms, withdraw);
            }
            Message::Cancel { id, is_late } => bus.cancel_for(&from, &id, is_late),
        }
    }
}
