//! Messages on their way to other Respites: gathered while others are on their way, sealed, published; and received.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::bus::bus::Bus;
use crate::bus::hub::Hub;
use crate::bus::id::HOME_LEN;
use crate::bus::peer::{Address, Frame, Message};
use crate::bus::store::Published;
use crate::tasks::{self, Kind};

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
            let shared = Arc::clone(&bus.shared);
            shared.spawn(work(bus, frames));
        }
    }
}

impl Bus {
    /// Sends a message to another Respite, behind those that were sent before; false if there is no room for it.
    pub(super) fn send(self: &Arc<Self>, to: &Arc<str>, message: Message) -> bool {
        let Some(begins) = self.post.push(to, message) else {
            return false;
        };
        if begins {
            let own = Arc::clone(self);
            if Handle::try_current().is_ok() {
                tokio::spawn(tasks::named(Kind::Bus, work(own, VecDeque::new())));
            } else {
                self.shared.spawn(work(own, VecDeque::new()));
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
        Some(sealed) => bus.shared.store.publish(&frame.to, &sealed).await,
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
    let from = bus.shared.store.instance();
    let number = bus.shared.new_frame();
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
    if from.len() != HOME_LEN || from == hub.shared.store.instance() {
        return;
    }
    if let Some(messages) = open(&bus, from, number, body) {
        return take(&bus, from, messages);
    }
    // There may be a new secret, or none was needed so far. Whoever may publish can ask for that, now and then.
    if bus.lease.may_ask_for_secret() {
        let (from, body) = (from.to_owned(), body.to_vec());
        hub.shared.spawn(async move {
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
        to: bus.shared.store.instance(),
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
            said => bus.hear_of_call(&from, said),
        }
    }
}
