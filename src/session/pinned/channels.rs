//! What a connection to a node of a cluster is subscribed to, so that it can be subscribed to the same at another one.
//!
//! A client has one connection for channels and patterns, to any node, and one for the channels of each slot.

use std::collections::BTreeSet;

use super::expect::{Awaited, Confirmation};
use super::{Expect, Pinned};
use crate::command::Channel;
use crate::resp::write_command;

/// Names of channels and patterns.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// By what they name: channels, patterns, channels of slots.
    named: [BTreeSet<Box<[u8]>>; 3],
    /// Their bytes, with what it takes to keep each.
    bytes: usize,
    /// The node has ended subscriptions by itself: their slot is elsewhere.
    pub(super) ended: bool,
}

/// What a name takes besides its bytes.
const EACH: usize = 48;

impl Channels {
    fn of(&mut self, kind: Channel) -> &mut BTreeSet<Box<[u8]>> {
        let [exact, pattern, shard] = &mut self.named;
        match kind {
            Channel::Exact => exact,
            Channel::Pattern => pattern,
            Channel::Shard => shard,
        }
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn note(&mut self, confirmation: Confirmation, name: &[u8]) {
        match confirmation {
            Confirmation::Subscribed(kind) => {
                if self.of(kind).insert(name.into()) {
                    self.bytes += name.len() + EACH;
                }
            }
            Confirmation::Unsubscribed(kind) => {
                if self.of(kind).remove(name) {
                    self.bytes -= name.len() + EACH;
                }
            }
        }
    }
}

impl Pinned {
    /// Whether it is the one for these channels: those of a slot, or all others.
    pub(crate) fn is_subscribed_in(&self, slot: Option<u16>) -> bool {
        let replay = self.replay.as_ref();
        self.is_subscriber() && replay.is_some_and(|replay| replay.slot == slot)
    }

    /// How many channels of slots it is subscribed to.
    pub(crate) fn slot_channels(&self) -> u32 {
        self.subscriptions[2]
    }

    /// How many channels and patterns it is subscribed to.
    pub(crate) fn named_subscriptions(&self) -> u32 {
        let [channels, patterns, _] = self.subscriptions;
        channels + patterns
    }

    /// Whether the node has ended subscriptions by itself; once.
    pub(crate) fn takes_ended(&mut self) -> bool {
        let replay = self.replay.as_mut();
        replay.is_some_and(|replay| std::mem::take(&mut replay.channels.ended))
    }

    /// Whether a new connection to another node makes up for this one: all that it keeps are subscriptions.
    pub(crate) fn can_be_resubscribed(&self) -> bool {
        let kept = self.tracking.is_some() || self.no_touch || self.kept || self.sticky;
        let subscribes = self.is_subscriber() || self.subscription_pending();
        subscribes && !kept && self.replay.is_some() && !self.begun
    }

    /// Whether it waits for subscriptions that the client has already.
    pub(crate) fn is_resubscribing(&self) -> bool {
        let front = self.expected.front().map(|awaited| &awaited.expect);
        matches!(front, Some(Expect::Resubscribe { .. }))
    }

    /// Puts the subscriptions that are confirmed in front of what has no reply yet, for the next node.
    pub(crate) fn resubscribe(&mut self) {
        let Some(replay) = &mut self.replay else {
            return;
        };
        let before = std::mem::take(&mut self.expected);
        let commands: [&[u8]; 3] = [b"SUBSCRIBE", b"PSUBSCRIBE", b"SSUBSCRIBE"];
        for (command, names) in commands.into_iter().zip(&replay.channels.named) {
            if names.is_empty() {
                continue;
            }
            let mut words = vec![command];
            words.extend(names.iter().map(|name| &**name));
            let mut request = Vec::new();
            write_command(&mut request, &words);
            replay.bytes += request.len();
            self.expected.push_back(Awaited {
                expect: Expect::Resubscribe { left: names.len() },
                ticket: None,
                request: Some(request.into()),
            });
        }
        let again = |awaited: &Awaited| matches!(awaited.expect, Expect::Resubscribe { .. });
        for awaited in before {
            match again(&awaited) {
                // It is begun anew.
                true => replay.bytes -= awaited.request.map_or(0, |request| request.len()),
                false => self.expected.push_back(awaited),
            }
        }
    }

    /// Notes a confirmation of a node of a cluster. False when it is nobody's business.
    pub(super) fn note_channel(&mut self, confirmation: Confirmation, name: &[u8]) -> bool {
        let front = self.expected.front_mut().map(|awaited| &mut awaited.expect);
        let awaits_end = matches!(
            (&front, confirmation),
            (Some(Expect::Unsubscribe { kind, .. }), Confirmation::Unsubscribed(of)) if *kind == of
        );
        let (Some(replay), again) = (&mut self.replay, front) else {
            return true;
        };
        if let (Some(Expect::Resubscribe { left }), Confirmation::Subscribed(_)) =
            (again, confirmation)
        {
            *left = left.saturating_sub(1);
            if *left == 0 {
                let done = self.expected.pop_front().and_then(|done| done.request);
                self.note_answered(done);
            }
            return false;
        }
        if confirmation == Confirmation::Unsubscribed(Channel::Shard) && !awaits_end {
            replay.channels.ended = true;
            return false;
        }
        replay.channels.note(confirmation, name);
        true
    }
}

/// The confirmation of a channel of a slot, with the client's channels on `elsewhere` other connections added to its
/// count.
pub(super) fn with_all_counted(frame: &[u8], elsewhere: u32) -> Vec<u8> {
    let mut shown = frame.to_vec();
    let count = frame.strip_suffix(b"\r\n").and_then(|head| {
        let at = memchr::memrchr(b':', head)?;
        let count: u32 = std::str::from_utf8(&head[at + 1..]).ok()?.parse().ok()?;
        Some((at, count))
    });
    if let Some((at, count)) = count {
        shown.truncate(at);
        shown.extend_from_slice(format!(":{}\r\n", count + elsewhere).as_bytes());
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channels_of_other_connections_are_counted() {
        let frame = b"*3\r\n$10\r\nssubscribe\r\n$3\r\na:b\r\n:1\r\n";
        let shown = with_all_counted(frame, 2);
        assert_eq!(shown, b"*3\r\n$10\r\nssubscribe\r\n$3\r\na:b\r\n:3\r\n");
    }
}
