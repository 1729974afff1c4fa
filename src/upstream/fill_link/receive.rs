//! Takes what comes on a fill link apart and applies it, in the order of the wire.

use super::{Asked, Inner};
use crate::resp::{Value, parse_reply};
use crate::upstream::error::UpstreamError;
use crate::upstream::frame_reader::Frames;

/// Up to this size a value is held and handed on whole, also when it is too large to be kept.
const HELD_BYTES: usize = 64 * 1024;

impl Inner {
    pub(super) fn receive(&mut self, fresh: &[u8]) -> Result<(), UpstreamError> {
        let mut reader = std::mem::take(&mut self.reader);
        let result = reader.feed(fresh, |frames| self.apply(frames));
        self.reader = reader;
        result
    }

    /// Applies the whole frames.
    fn apply(&mut self, frames: &mut Frames<'_>) -> Result<(), UpstreamError> {
        while !frames.is_scanned() {
            if !frames.scan()? {
                if !self.skipping {
                    self.look_at_header(frames.seen());
                }
                if self.skipping {
                    frames.take();
                }
                break;
            }
            let frame = frames.take();
            if self.skipping {
                self.skipping = false;
                self.next_asked()?;
            } else {
                self.frame(frame)?;
            }
        }
        Ok(())
    }

    /// Whether a reply that has begun is worth being held is told by its header: a value that is too
    /// large would be held once here, and once for everybody who waits.
    fn look_at_header(&mut self, begun: &[u8]) {
        let most = self.events.max_value_bytes().max(HELD_BYTES);
        let Some((asked @ Asked::Get(..), _)) = self.asked.front_mut() else {
            return;
        };
        // Of other replies than strings it is not told: they are held up to that.
        if bulk_length(begun).is_none_or(|length| length <= most) && begun.len() <= most {
            return;
        }
        self.skipping = true;
        if let Asked::Get(fetch, _) = std::mem::replace(asked, Asked::Nothing) {
            self.events.oversized(fetch);
        }
    }

    /// What the reply at hand answers.
    fn next_asked(&mut self) -> Result<(Asked, std::time::Instant), UpstreamError> {
        let Some((asked, sent)) = self.asked.pop_front() else {
            return Err(UpstreamError::Protocol(
                "a reply that nobody asked for".into(),
            ));
        };
        self.stalled = false;
        self.events.answered(sent);
        Ok((asked, sent))
    }

    fn frame(&mut self, frame: &[u8]) -> Result<(), UpstreamError> {
        if frame.first() == Some(&b'>') {
            return self.push(frame);
        }
        let (asked, sent) = self.next_asked()?;
        match asked {
            Asked::Pttl => {
                // It comes first of what is asked for a fetch.
                self.begun = sent.max(self.heard_before);
                self.life.of_key(frame);
            }
            Asked::FieldLives => self.life.of_fields(frame),
            Asked::Encoding => self.life.of_encoding(frame),
            Asked::Keyspace => self.life.of_keyspace(frame, self.db),
            Asked::Get(fetch, epoch) => {
                let pttl = self.life.pttl();
                let times = (sent, self.begun);
                self.events.filled(fetch, pttl, frame, times, epoch);
            }
            Asked::Length(key) => {
                let bytes = integer(frame).and_then(|bytes| u64::try_from(bytes).ok());
                self.events.measured(&key, bytes);
            }
            Asked::Ping(_) if is_role_of_replica(frame) => return Err(UpstreamError::Demoted),
            Asked::Ping(fence) => drop(fence),
            Asked::Nothing => {}
        }
        Ok(())
    }

    fn push(&mut self, frame: &[u8]) -> Result<(), UpstreamError> {
        let parsed = parse_reply(frame).map_err(|e| UpstreamError::Protocol(e.to_string()))?;
        let Some((Value::Push(parts), _)) = parsed else {
            return Ok(());
        };
        if parts.first().and_then(Value::as_bytes) != Some(b"invalidate") {
            return Ok(());
        }
        match parts.get(1) {
            Some(Value::Array(keys)) => {
                keys.iter()
                    .filter_map(Value::as_bytes)
                    .for_each(|key| self.events.invalidated(key));
            }
            _ => self.events.flushed(),
        }
        Ok(())
    }
}

fn integer(frame: &[u8]) -> Option<i64> {
    let digits = frame.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether a reply to `ROLE` is that of a replica.
fn is_role_of_replica(frame: &[u8]) -> bool {
    let first = memchr::memchr(b'\n', frame).and_then(|end| frame.get(end + 1..));
    frame.first() == Some(&b'*') && first.is_some_and(|first| first.starts_with(b"$5\r\nslave"))
}

/// The length of the bulk string that begins here.
fn bulk_length(begun: &[u8]) -> Option<usize> {
    let header = begun.strip_prefix(b"$")?;
    let end = memchr::memchr(b'\r', header)?;
    std::str::from_utf8(&header[..end]).ok()?.parse().ok()
}
