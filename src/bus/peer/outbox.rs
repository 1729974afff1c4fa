//! Messages that wait to be sent to other Respites, by where they go.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use super::message::Message;

/// The most bytes that wait to be sent. What is refused goes through the backing.
const MOST_WAITING: usize = 16 * 1024 * 1024;
/// The most bytes of one frame, one message apart.
const MOST_FRAME: usize = 512 * 1024;

/// The messages that are to be sent, by where they go.
#[derive(Debug, Default)]
pub(in crate::bus) struct Outbox(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    messages: HashMap<Arc<str>, Vec<Message>>,
    bytes: usize,
    /// Whether somebody sends them.
    working: bool,
}

/// Messages that go to one Respite in one piece.
#[derive(Debug)]
pub(in crate::bus) struct Frame {
    pub(in crate::bus) to: Arc<str>,
    pub(in crate::bus) messages: Vec<Message>,
    /// It may have been sent already: that nobody hears it now does not say that nobody did.
    pub(in crate::bus) may_be_sent: bool,
}

impl Outbox {
    /// Adds a message behind those that were added before; none if there is no room for it, else whether somebody has to begin
    /// sending.
    pub(in crate::bus) fn push(&self, to: &Arc<str>, message: Message) -> Option<bool> {
        let mut waiting = self.0.lock();
        let size = message.size();
        if waiting.bytes + size > MOST_WAITING {
            return None;
        }
        waiting.bytes += size;
        let messages = waiting.messages.entry(Arc::clone(to)).or_default();
        messages.push(message);
        Some(!std::mem::replace(&mut waiting.working, true))
    }

    /// Takes all that waits; none when there is nothing left to do.
    pub(in crate::bus) fn take(&self) -> Option<VecDeque<Frame>> {
        let mut waiting = self.0.lock();
        waiting.bytes = 0;
        let mut frames: VecDeque<Frame> = VecDeque::new();
        for (to, messages) in waiting.messages.drain() {
            // More than fits: the first message begins a frame.
            let mut bytes = usize::MAX;
            for message in messages {
                let size = message.size();
                bytes = bytes.saturating_add(size);
                if bytes > MOST_FRAME {
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
