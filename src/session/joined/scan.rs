//! `SCAN` through all masters of a cluster, one after the other, under one cursor.
//!
//! It never misses a key that was there all the time:
//!
//! - In one master, that is Redis' promise.
//! - A key is missed if it goes to a master that was scanned already. Keys go with their slots. The cursor names the
//!   masters, slots and epochs that there were at the beginning; when they are others at a step, the client is told to
//!   begin again. At the beginning, before each next master and at the end all masters are asked; in between only
//!   when the topology has changed.
//! - While a slot is given away its keys are with both. It is the giver's until all have gone, so the map does
//!   not show it: at the end, no master may be giving keys away.

use std::rc::Rc;

use super::ask::{Budget, Said, error};
use super::counting::Question;
use super::cursor::Cursor;
use super::fence::catch_up;
use super::join::{array_of, elements, is_error};
use crate::resp::{Args, parse_reply, write_command};
use crate::session::cached::Cover;
use crate::session::census::Census;
use crate::session::worker::Worker;
use crate::upstream::{NodeId, is_redirect};

/// What a client is told whose scan would miss keys.
const MOVED: &str = "ERR the slots have moved: begin SCAN again at 0";
const INVALID: &str = "ERR invalid cursor";
const TOO_LONG: &str = "ERR the cursor of a node is too long";
/// As many keys as Redis looks at without a `COUNT`.
const COUNT: usize = 10;

/// A step of a scan.
struct Step {
    worker: Rc<Worker>,
    question: Question,
    /// Its arguments; the second is the cursor.
    words: Vec<Vec<u8>>,
    /// The nodes that were asked.
    asked: Vec<NodeId>,
}

/// What one master has answered.
struct Page {
    next: u64,
    /// As they came.
    keys: Vec<Vec<u8>>,
}

/// Makes one step: the reply to the client.
pub(super) async fn scan(
    worker: Rc<Worker>,
    question: Question,
    words: Vec<Vec<u8>>,
    cover: Cover,
) -> Vec<u8> {
    let proto = question.proto;
    let shared = std::sync::Arc::clone(&worker.shared);
    let mut step = Step {
        worker,
        question,
        words,
        asked: Vec::new(),
    };
    let reply = step.make().await;
    let Cover { guard, fence } = cover;
    drop(guard);
    catch_up(&shared, &step.asked, fence).await;
    reply.unwrap_or_else(|text| match text {
        Refusal::Text(text) => error(&text, proto),
        Refusal::Reply(reply) => reply,
    })
}

/// Why a step has no keys.
enum Refusal {
    /// For this reason.
    Text(String),
    /// A node's own error.
    Reply(Vec<u8>),
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Self {
        Refusal::Text(text.to_owned())
    }
}

impl Step {
    async fn make(&mut self) -> Result<Vec<u8>, Refusal> {
        let Some(given) = number(&self.words[1]) else {
            return Err(INVALID.into());
        };
        let (mut census, mut cursor) = self.begin(given).await?;
        let (masters, fingerprint) = (census.masters.len(), census.fingerprint());
        let most = self.count();
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let node = census.masters[cursor.master].node;
            let mut page = self.page(node, cursor.inner).await?;
            keys.append(&mut page.keys);
            cursor.inner = page.next;
            if cursor.inner == 0 {
                // The map is looked at before the next master is, and at the end.
                census = self.count_slots().await?;
                if census.fingerprint() != fingerprint {
                    return Err(MOVED.into());
                }
                cursor.master += 1;
                if cursor.master == masters {
                    if census.is_moving() {
                        return Err(MOVED.into());
                    }
                    return Ok(reply(0, &keys));
                }
            }
            if cursor.inner != 0 || keys.len() >= most {
                break;
            }
        }
        match cursor.encode(masters, fingerprint) {
            Some(cursor) => Ok(reply(cursor, &keys)),
            None => Err(TOO_LONG.into()),
        }
    }

    /// Where the scan is, and what the masters say of their slots.
    async fn begin(&self, given: u64) -> Result<(Rc<Census>, Cursor), Refusal> {
        let worker = &self.worker;
        if given == 0 {
            let census = self.count_slots().await?;
            let first = Cursor {
                master: 0,
                inner: 0,
            };
            return Ok((census, first));
        }
        let known = worker.census.borrow().clone();
        let version = worker.shared.backing.topology().version;
        let census = match known.filter(|known| known.version == version) {
            Some(known) => known,
            None => self.count_slots().await?,
        };
        let decode =
            |census: &Census| Cursor::decode(given, census.masters.len(), census.fingerprint());
        if let Some(cursor) = decode(&census) {
            return Ok((census, cursor));
        }
        // What is known may be old: the scan may have begun over another Respite.
        let census = self.count_slots().await?;
        let cursor = decode(&census).ok_or(MOVED)?;
        Ok((census, cursor))
    }

    async fn count_slots(&self) -> Result<Rc<Census>, Refusal> {
        let Question { db, proto, .. } = self.question;
        let counted = self.worker.count_slots(db, proto).await;
        counted.map_err(Refusal::Text)
    }

    /// Asks a master for the keys from its cursor on.
    async fn page(&mut self, node: NodeId, inner: u64) -> Result<Page, Refusal> {
        let cursor = inner.to_string();
        let mut words: Vec<&[u8]> = self.words.iter().map(Vec::as_slice).collect();
        words[1] = cursor.as_bytes();
        let mut request = Vec::new();
        write_command(&mut request, &words);
        let Question {
            db,
            proto,
            login,
            most_bytes,
            ..
        } = self.question;
        if !self.asked.contains(&node) {
            self.asked.push(node);
        }
        let budget = Budget::new(most_bytes);
        match Said::of(self.worker.ask(node, (db, proto, login), &request, &budget)).await {
            Said::Reply(reply) if is_redirect(&reply) || is_error(&reply) => {
                Err(Refusal::Reply(reply))
            }
            Said::Reply(reply) => read_page(&reply).ok_or_else(|| INVALID.into()),
            Said::Nothing(text) => Err(Refusal::Text(text)),
        }
    }

    /// How many keys are wanted in one step.
    fn count(&self) -> usize {
        let mut words = self.words.iter().skip(2);
        while let Some(word) = words.next() {
            if word.eq_ignore_ascii_case(b"COUNT") {
                let count = words.next().and_then(|word| number(word));
                let count = count.and_then(|count| usize::try_from(count).ok());
                return count.unwrap_or(COUNT);
            }
        }
        COUNT
    }
}

/// The words of a request.
pub(super) fn words(args: Args<'_>) -> Vec<Vec<u8>> {
    args.iter().map(<[u8]>::to_vec).collect()
}

fn number(word: &[u8]) -> Option<u64> {
    std::str::from_utf8(word).ok()?.parse().ok()
}

/// Reads a master's reply: its next cursor and the keys.
fn read_page(reply: &[u8]) -> Option<Page> {
    let (_, parts) = elements(reply)?;
    let [cursor, keys] = parts.as_slice() else {
        return None;
    };
    let (cursor, _) = parse_reply(cursor).ok()??;
    let (_, keys) = elements(keys)?;
    Some(Page {
        next: number(cursor.as_bytes()?)?,
        keys: keys.into_iter().map(<[u8]>::to_vec).collect(),
    })
}

fn reply(cursor: u64, keys: &[Vec<u8>]) -> Vec<u8> {
    let cursor = cursor.to_string();
    let mut out = format!("*2\r\n${}\r\n{cursor}\r\n", cursor.len()).into_bytes();
    out.extend(array_of(b'*', keys.iter().map(Vec::as_slice)));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_read_and_written() {
        let text = b"*2\r\n$2\r\n17\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n";
        let page = read_page(text).expect("a page");
        assert_eq!((page.next, page.keys.len()), (17, 2));
        assert_eq!(reply(17, &page.keys), text);
        assert!(read_page(b"*1\r\n$1\r\n0\r\n").is_none());
        assert!(read_page(b"+OK\r\n").is_none());
    }
}
