//! Applies what `EXEC` did to the session, and puts in the replies that the session makes itself.

use std::ops::Range;

use super::expect::{Queued, Transaction};
use crate::command::Local;
use crate::resp::is_extra_push;
use crate::resp::{ArgVec, Proto, ReplyScanner};
use crate::session::hello;

/// Answers a command of the session's own; returns the protocol version after it.
pub(crate) type LocalAnswer<'a> = dyn FnMut(Local, &ArgVec, &mut Vec<u8>) -> Proto + 'a;

/// Applies and writes the reply of a command about tracking.
type Track<'a> = dyn FnMut(&Queued, &[u8], &mut Vec<u8>) + 'a;

/// What a transaction changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Executed {
    /// The database that is selected now, when it was changed.
    pub(crate) db: Option<u32>,
    /// The session's protocol version after it, when it may have changed.
    pub(crate) proto: Option<Proto>,
    /// The connection's protocol version after it, when a stand-in has switched it.
    pub(crate) switched: Option<Proto>,
    /// The replies that may be about subscriptions.
    pub(crate) subscriptions: Vec<Range<usize>>,
}

/// Walks the reply of `EXEC` and writes it to `out`, with the session's own replies in the places
/// of their stand-ins.
pub(crate) fn apply(
    reply: &[u8],
    transaction: &Transaction,
    answer: &mut LocalAnswer<'_>,
    track: &mut Track<'_>,
    out: &mut Vec<u8>,
) -> Executed {
    let mut executed = Executed::default();
    let elements = elements(reply);
    let Some(first) = elements.first() else {
        out.extend_from_slice(reply);
        return executed;
    };
    out.extend_from_slice(&reply[..first.start]);
    let mut special = transaction.special.iter().peekable();
    let mut next = 0;
    for range in elements {
        let element = &reply[range.clone()];
        if is_extra(element) {
            out.extend_from_slice(element);
            continue;
        }
        let index = next;
        next += 1;
        match special.next_if(|(at, _)| *at as usize == index) {
            Some((_, Queued::Local(local, args))) => {
                executed.proto = Some(answer(*local, args, out));
                if *local == Local::Hello {
                    let switched = hello::switches_to(args.as_args());
                    executed.switched = switched.or(executed.switched);
                }
            }
            Some((_, Queued::Select(db))) => {
                if element == b"+OK\r\n" {
                    executed.db = Some(*db);
                }
                out.extend_from_slice(element);
            }
            Some((_, Queued::Subscription)) => {
                executed.subscriptions.push(range);
                out.extend_from_slice(element);
            }
            Some((_, queued @ (Queued::Tracking(_) | Queued::ShowsId))) => {
                track(queued, element, out)
            }
            Some((_, Queued::Answer(answer))) => out.extend_from_slice(answer),
            Some((_, Queued::Plain)) | None => out.extend_from_slice(element),
        }
    }
    executed
}

/// Whether it is a message between the replies of the commands.
fn is_extra(element: &[u8]) -> bool {
    let body = memchr::memchr(b'\n', element).and_then(|end| element.get(end + 1..));
    element.first() == Some(&b'>') && body.and_then(is_extra_push) == Some(true)
}

/// Whether the reply of `EXEC` says that the commands were executed.
pub(super) fn was_executed(reply: &[u8]) -> bool {
    reply.first() == Some(&b'*') && reply.get(1) != Some(&b'-')
}

/// Where the elements of an array reply are; none when it is no array.
fn elements(reply: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    if !was_executed(reply) {
        return ranges;
    }
    let Some(header) = memchr::memchr(b'\n', reply) else {
        return ranges;
    };
    let mut at = header + 1;
    let mut scanner = ReplyScanner::default();
    while at < reply.len() {
        match scanner.scan(&reply[at..]) {
            Ok(scanned) if scanned.complete => {
                ranges.push(at..at + scanned.consumed);
                at += scanned.consumed;
            }
            _ => break,
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(_: &Queued, element: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(element);
    }

    fn local() -> ArgVec {
        let mut args = ArgVec::default();
        args.push(b"CLIENT");
        args
    }

    #[test]
    fn puts_in_own_replies_and_notes_the_database() {
        let transaction = Transaction {
            queued: 5,
            special: vec![
                (1, Queued::Local(Local::Client, local())),
                (2, Queued::Select(7)),
                (3, Queued::Select(9)),
                (4, Queued::Answer(b"-NOPERM no\r\n".to_vec())),
            ],
            bytes: 0,
        };
        let reply = b"*5\r\n*2\r\n:1\r\n$1\r\nx\r\n+PONG\r\n+OK\r\n-ERR no\r\n+PONG\r\n";
        let mut out = Vec::new();
        let mut answer = |_, _: &ArgVec, out: &mut Vec<u8>| {
            out.extend_from_slice(b":42\r\n");
            Proto::Resp2
        };
        let executed = apply(reply, &transaction, &mut answer, &mut pass, &mut out);
        assert_eq!((executed.db, executed.proto), (Some(7), Some(Proto::Resp2)));
        assert_eq!(
            out,
            b"*5\r\n*2\r\n:1\r\n$1\r\nx\r\n:42\r\n+OK\r\n-ERR no\r\n-NOPERM no\r\n"
        );
    }

    #[test]
    fn tells_what_the_stand_in_of_a_refused_hello_did() {
        let mut hello = ArgVec::default();
        ["HELLO", "3", "AUTH", "u", "wrong"]
            .iter()
            .for_each(|word| hello.push(word.as_bytes()));
        let transaction = Transaction {
            queued: 1,
            special: vec![(0, Queued::Local(Local::Hello, hello))],
            bytes: 0,
        };
        let mut refuse = |_, _: &ArgVec, out: &mut Vec<u8>| {
            out.extend_from_slice(b"-WRONGPASS\r\n");
            Proto::Resp2
        };
        let mut out = Vec::new();
        let executed = apply(
            b"*1\r\n%0\r\n",
            &transaction,
            &mut refuse,
            &mut pass,
            &mut out,
        );
        assert_eq!(executed.proto, Some(Proto::Resp2));
        assert_eq!(executed.switched, Some(Proto::Resp3));
        assert_eq!(out, b"*1\r\n-WRONGPASS\r\n");
    }

    #[test]
    fn an_aborted_transaction_passes_unchanged() {
        let transaction = Transaction {
            queued: 1,
            special: vec![(0, Queued::Select(7))],
            bytes: 0,
        };
        let mut never = |_, _: &ArgVec, _: &mut Vec<u8>| Proto::Resp3;
        for reply in [
            b"*-1\r\n".as_slice(),
            b"_\r\n",
            b"-EXECABORT x\r\n",
            b"*0\r\n",
        ] {
            let mut out = Vec::new();
            assert_eq!(
                apply(reply, &transaction, &mut never, &mut pass, &mut out),
                Executed::default()
            );
            assert_eq!(out, reply);
        }
    }
}
