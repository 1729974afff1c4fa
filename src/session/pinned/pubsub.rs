//! What a pinned connection says unasked, and the confirmations that `SUBSCRIBE` and its kind have
//! instead of one reply.

use super::channels::with_all_counted;
use super::expect::{Confirmation, is_message};
use super::{Answers, Awaited, Expect, Pinned};
use crate::command::Channel;
use crate::resp::{Proto, Value, parse_reply};
use crate::upstream::ReplySink;

impl Pinned {
    /// Whether a whole frame answers no request.
    pub(super) fn is_out_of_band(&self, frame: &[u8]) -> bool {
        match frame.first() {
            Some(b'>') => first_word(frame).and_then(Confirmation::of).is_none(),
            // RESP2: messages are arrays like replies, but a subscriber gets no other arrays.
            Some(b'*') if self.key.proto == Proto::Resp2 && self.is_subscriber() => {
                first_word(frame).is_some_and(is_message)
            }
            _ => false,
        }
    }

    /// Applies a confirmation of a subscription; false when the frame is none.
    pub(super) fn confirm(&mut self, frame: &[u8], answers: &mut Answers<'_>) -> bool {
        let push = frame.first() == Some(&b'>');
        // Any other array may be a reply that looks like one.
        let awaited = matches!(
            self.expected.front(),
            Some(Awaited {
                expect: Expect::Subscribe { .. }
                    | Expect::Unsubscribe { .. }
                    | Expect::Resubscribe { .. },
                ..
            })
        );
        if !push && !(self.key.proto == Proto::Resp2 && (awaited || self.is_subscriber())) {
            return false;
        }
        if !push && frame.first() != Some(&b'*') {
            return false;
        }
        let Some((confirmation, shown)) = self.note_subscription(frame) else {
            return false;
        };
        let shard = matches!(
            confirmation,
            Confirmation::Subscribed(Channel::Shard) | Confirmation::Unsubscribed(Channel::Shard)
        );
        match shown {
            false => {}
            true if shard && answers.elsewhere > 0 => {
                let frame = with_all_counted(frame, answers.elsewhere);
                self.deliver_confirmation(confirmation, &frame, answers);
            }
            true => self.deliver_confirmation(confirmation, frame, answers),
        }
        true
    }

    /// Follows the count of subscriptions in a confirmation, and says whether it is shown; none when the frame is no
    /// such.
    pub(super) fn note_subscription(&mut self, frame: &[u8]) -> Option<(Confirmation, bool)> {
        let Ok(Some((Value::Array(parts) | Value::Push(parts), _))) = parse_reply(frame) else {
            return None;
        };
        let word = parts.first().and_then(Value::as_bytes).unwrap_or_default();
        let confirmation = Confirmation::of(word)?;
        if self.replay.is_some() {
            let name = parts.get(1).and_then(Value::as_bytes).unwrap_or_default();
            if !self.note_channel(confirmation, name) {
                return Some((confirmation, false));
            }
        }
        let total = parts.get(2).and_then(Value::as_int).unwrap_or(0);
        self.count(confirmation, u32::try_from(total).unwrap_or(0));
        Some((confirmation, true))
    }

    /// Follows the count of subscriptions: channels and patterns are reported as one sum.
    fn count(&mut self, confirmation: Confirmation, total: u32) {
        let [exact, pattern, shard] = &mut self.subscriptions;
        match confirmation {
            Confirmation::Subscribed(Channel::Shard)
            | Confirmation::Unsubscribed(Channel::Shard) => {
                *shard = total;
            }
            Confirmation::Subscribed(Channel::Exact)
            | Confirmation::Unsubscribed(Channel::Exact) => {
                *exact = total.saturating_sub(*pattern);
            }
            Confirmation::Subscribed(Channel::Pattern)
            | Confirmation::Unsubscribed(Channel::Pattern) => {
                *pattern = total.saturating_sub(*exact);
            }
        }
    }

    fn deliver_confirmation(
        &mut self,
        confirmation: Confirmation,
        frame: &[u8],
        answers: &mut Answers<'_>,
    ) {
        let ticket = self.expected.front().and_then(|awaited| awaited.ticket);
        let front = self.expected.front_mut().map(|awaited| &mut awaited.expect);
        let last = match (front, confirmation) {
            (Some(Expect::Subscribe { left }), Confirmation::Subscribed(_)) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            (
                Some(Expect::Unsubscribe {
                    left: Some(left), ..
                }),
                Confirmation::Unsubscribed(_),
            ) => {
                *left = left.saturating_sub(1);
                *left == 0
            }
            (Some(Expect::Unsubscribe { kind, left: None }), Confirmation::Unsubscribed(_)) => {
                let [exact, pattern, shard] = self.subscriptions;
                match kind {
                    Channel::Exact => exact == 0,
                    Channel::Pattern => pattern == 0,
                    Channel::Shard => shard == 0,
                }
            }
            _ => {
                // The backing dropped a subscription by itself.
                answers.replies.out_of_band(frame);
                return;
            }
        };
        if last {
            let done = self.expected.pop_front();
            self.note_answered(done.and_then(|done| done.request));
        }
        if let Some(ticket) = ticket {
            answers.replies.deliver(ticket, frame, u32::from(last));
        }
    }
}

/// The first element of an aggregate, when it is a string.
fn first_word(frame: &[u8]) -> Option<&[u8]> {
    let line = memchr::memchr(b'\n', frame)?;
    match parse_reply(&frame[line + 1..]) {
        Ok(Some((value, _))) => value.as_bytes(),
        _ => None,
    }
}
