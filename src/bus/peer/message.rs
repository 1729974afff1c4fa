//! What Respites say to each other about a call, and its one encoding.

use crate::bus::error::BusError;
use crate::bus::outcome::Outcome;

/// One message. Calls are named by their ids, which begin with the name of the Respite that has the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) enum Message {
    /// So many workers of this Respite serve the method.
    Offer { method: String, workers: u64 },
    /// A call for one of them.
    Call(RemoteCall),
    /// The call has ended.
    Outcome { id: String, outcome: Outcome },
    /// No worker has had the call, and none will.
    Returned { id: String },
    /// The backing has the call from now on.
    Stored { id: String },
    /// A worker has the call, or will.
    Held { id: String },
    /// Nothing is known of the call: a worker may have had it.
    Lost { id: String },
    /// What became of the call, which was sent at most so long ago?
    Ask {
        id: String,
        age_ms: u64,
        /// If no worker has it yet, it is wanted back.
        withdraw: bool,
        /// Whether workers wait at the Respite that asks.
        has_workers: bool,
    },
    /// The caller does not wait any more: its time is up, or it is gone.
    Cancel { id: String, is_late: bool },
}

/// A call as it is sent. Times are by the clock of the backing, in microseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::bus) struct RemoteCall {
    pub(in crate::bus) number: String,
    pub(in crate::bus) method: String,
    /// The state of the registry that it was bound with.
    pub(in crate::bus) stamp: String,
    pub(in crate::bus) sent_us: u64,
    pub(in crate::bus) deadline_us: u64,
    pub(in crate::bus) timeout_ms: u64,
    pub(in crate::bus) body: Vec<u8>,
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl Message {
    /// About how many bytes it has.
    pub(in crate::bus) fn size(&self) -> usize {
        64 + match self {
            Message::Call(call) => call.body.len() + call.method.len() + call.stamp.len(),
            Message::Outcome { outcome, .. } => outcome.bytes().len(),
            _ => 0,
        }
    }

    /// Adds the message to a frame.
    pub(in crate::bus) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Offer { method, workers } => {
                out.push(b'O');
                bytes(out, method.as_bytes());
                whole(out, *workers);
            }
            Message::Call(call) => {
                out.push(b'C');
                for text in [&call.number, &call.method, &call.stamp] {
                    bytes(out, text.as_bytes());
                }
                for number in [call.sent_us, call.deadline_us, call.timeout_ms] {
                    whole(out, number);
                }
                bytes(out, &call.body);
            }
            Message::Outcome { id, outcome } => {
                let kind = match outcome {
                    Outcome::Done(_) => b'D',
                    Outcome::Failed(_) => b'E',
                };
                named(out, kind, id);
                bytes(out, &outcome.bytes());
            }
            Message::Returned { id } => named(out, b'R', id),
            Message::Stored { id } => named(out, b'S', id),
            Message::Held { id } => named(out, b'H', id),
            Message::Lost { id } => named(out, b'L', id),
            Message::Ask {
                id,
                age_ms,
                withdraw,
                has_workers,
            } => {
                named(out, b'A', id);
                whole(out, *age_ms);
                out.extend([u8::from(*withdraw), u8::from(*has_workers)]);
            }
            Message::Cancel { id, is_late } => {
                named(out, b'G', id);
                out.push(u8::from(*is_late));
            }
        }
    }

    /// Reads the messages of a frame up to one that no Respite can have written.
    pub(in crate::bus) fn decode(frame: &[u8]) -> Vec<Self> {
        let mut reader = Reader(frame);
        std::iter::from_fn(|| Message::read(&mut reader)).collect()
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.byte()? {
            b'O' => Message::Offer {
                method: reader.text()?,
                workers: reader.whole()?,
            },
            b'C' => Message::Call(RemoteCall {
                number: reader.text()?,
                method: reader.text()?,
                stamp: reader.text()?,
                sent_us: reader.whole()?,
                deadline_us: reader.whole()?,
                timeout_ms: reader.whole()?,
                body: reader.bytes()?.to_vec(),
            }),
            b'D' => Message::Outcome {
                id: reader.text()?,
                outcome: Outcome::Done(reader.bytes()?.into()),
            },
            b'E' => Message::Outcome {
                id: reader.text()?,
                outcome: Outcome::Failed(BusError::told(reader.text()?)),
            },
            b'R' => Message::Returned { id: reader.text()? },
            b'S' => Message::Stored { id: reader.text()? },
            b'H' => Message::Held { id: reader.text()? },
            b'L' => Message::Lost { id: reader.text()? },
            b'A' => Message::Ask {
                id: reader.text()?,
                age_ms: reader.whole()?,
                withdraw: reader.byte()? == 1,
                has_workers: reader.byte()? == 1,
            },
            b'G' => Message::Cancel {
                id: reader.text()?,
                is_late: reader.byte()? == 1,
            },
            _ => return None,
        })
    }
}

fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // What is sent has a bound far below 4 GiB.
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn whole(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn named(out: &mut Vec<u8>, kind: u8, id: &str) {
    out.push(kind);
    bytes(out, id.as_bytes());
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn whole(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let len = u32::from_le_bytes(self.take(4)?.try_into().ok()?);
        self.take(usize::try_from(len).ok()?)
    }

    fn text(&mut self) -> Option<String> {
        std::str::from_utf8(self.bytes()?).ok().map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Message> {
        let id = || "0123456789abcdef-fedcba9876543210-1.0-1.m".to_owned();
        vec![
            Message::Offer {
                method: "m".to_owned(),
                workers: 3,
            },
            Message::Call(RemoteCall {
                number: "0-1".to_owned(),
                method: "m".to_owned(),
                stamp: "77".to_owned(),
                sent_us: 1,
                deadline_us: u64::MAX,
                timeout_ms: 30_000,
                body: vec![0, 255, b'\n'],
            }),
            Message::Outcome {
                id: id(),
                outcome: Outcome::Done(b"\r\n\0"[..].into()),
            },
            Message::Outcome {
                id: id(),
                outcome: Outcome::Failed(BusError::told("BUSFAIL E no")),
            },
            Message::Returned { id: id() },
            Message::Stored { id: id() },
            Message::Held { id: id() },
            Message::Lost { id: id() },
            Message::Ask {
                id: id(),
                age_ms: 50,
                withdraw: true,
                has_workers: false,
            },
            Message::Cancel {
                id: id(),
                is_late: false,
            },
        ]
    }

    #[test]
    fn what_was_encoded_is_read_whole_or_not_at_all() {
        let mut frame = Vec::new();
        let mut ends = vec![0];
        for message in all() {
            message.encode(&mut frame);
            ends.push(frame.len());
        }
        assert_eq!(Message::decode(&frame), all());
        for cut in 0..frame.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            assert_eq!(Message::decode(&frame[..cut]), all()[..whole], "{cut}");
        }
        assert_eq!(Message::decode(b"?"), []);
    }
}
