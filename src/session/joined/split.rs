//! Takes a command with keys in several slots apart, into a command for each slot, and puts their replies together.
//!
//! A part for each slot, not for each node: a node refuses keys of two slots even where it has both.

use std::collections::HashMap;

use super::join::{array_of, elements, is_error, number};
use crate::command::{Joining, slot_of};
use crate::resp::{Args, write_command};

/// What is said when a node does not answer for all keys of a part.
const DIFFERENT: &[u8] = b"-ERR a node of the cluster has not answered for each key\r\n";

/// A command taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) parts: Vec<Part>,
    /// Keys of all parts.
    keys: usize,
}

/// The part of a command that is for one slot.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) slot: u16,
    /// Its request.
    pub(super) request: Vec<u8>,
    /// Which of the command's keys it has.
    keys: Vec<u32>,
}

/// Whether the keys, every `step`th argument from the first on, are in more than one slot.
pub(super) fn has_several_slots(args: Args<'_>, step: usize) -> bool {
    let mut slots = args.iter().skip(1).step_by(step).map(slot_of);
    let first = slots.next();
    slots.any(|slot| Some(slot) != first)
}

/// Takes a command apart whose arguments are keys, each with `step - 1` values behind it; none when a value is
/// missing.
pub(super) fn split(args: Args<'_>, step: usize) -> Option<Parts> {
    if !(args.len() - 1).is_multiple_of(step) {
        return None;
    }
    let mut at: HashMap<u16, usize> = HashMap::new();
    let mut parts: Vec<(u16, Vec<u32>)> = Vec::new();
    let mut keys = 0;
    for key in args.iter().skip(1).step_by(step) {
        let slot = slot_of(key);
        let part = *at.entry(slot).or_insert_with(|| {
            parts.push((slot, Vec::new()));
            parts.len() - 1
        });
        parts[part].1.push(keys);
        keys += 1;
    }
    let write = |(slot, keys): (u16, Vec<u32>)| {
        let mut words = vec![&args[0]];
        for key in &keys {
            let first = 1 + *key as usize * step;
            words.extend((first..first + step).map(|at| &args[at]));
        }
        let mut request = Vec::new();
        write_command(&mut request, &words);
        Part {
            slot,
            request,
            keys,
        }
    };
    Some(Parts {
        parts: parts.into_iter().map(write).collect(),
        keys: keys as usize,
    })
}

impl Parts {
    /// Which keys each part has, for whoever puts the replies together.
    pub(super) fn layout(&mut self) -> Layout {
        let parts = self.parts.iter_mut();
        Layout {
            parts: parts.map(|part| std::mem::take(&mut part.keys)).collect(),
            keys: self.keys,
        }
    }
}

/// Where the elements of replies belong.
#[derive(Debug)]
pub(super) struct Layout {
    parts: Vec<Vec<u32>>,
    keys: usize,
}

impl Layout {
    /// The slots of which there are several keys.
    pub(super) fn with_several_keys(&self, parts: &[Part]) -> impl Iterator<Item = u16> {
        let parts = parts.iter().zip(&self.parts);
        let several = parts.filter(|(_, keys)| keys.len() > 1);
        several.map(|(part, _)| part.slot)
    }

    /// Puts the replies of the parts together. The first error is that of all; it says so where other parts have
    /// changed something.
    pub(super) fn join(&self, joining: Joining, replies: &[Vec<u8>], writes: bool) -> Vec<u8> {
        if let Some(error) = replies.iter().find(|reply| is_error(reply)) {
            let partly = writes && replies.iter().any(|reply| !is_error(reply));
            return match error.strip_suffix(b"\r\n") {
                Some(text) if partly && error.starts_with(b"-") => {
                    [text, b" (keys in other slots were changed)\r\n"].concat()
                }
                _ => error.clone(),
            };
        }
        let joined = match joining {
            Joining::Sum => sum(replies),
            Joining::Elements | Joining::Distinct => self.in_order(replies),
            other => Some(super::join::join(other, replies, crate::resp::Proto::Resp2)),
        };
        joined.unwrap_or_else(|| DIFFERENT.to_vec())
    }

    fn in_order(&self, replies: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut ordered: Vec<&[u8]> = vec![&[]; self.keys];
        for (keys, reply) in self.parts.iter().zip(replies) {
            let (_, elements) = elements(reply)?;
            if elements.len() != keys.len() {
                return None;
            }
            for (key, element) in keys.iter().zip(elements) {
                ordered[*key as usize] = element;
            }
        }
        Some(array_of(b'*', ordered.into_iter()))
    }
}

fn sum(replies: &[Vec<u8>]) -> Option<Vec<u8>> {
    let numbers = replies.iter().map(|reply| number(reply));
    let sum: i64 = numbers.sum::<Option<i64>>()?;
    Some(format!(":{sum}\r\n").into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    fn parts(command: &str, step: usize) -> Option<Parts> {
        let args: ArgVec = command.split(' ').collect();
        split(args.as_args(), step)
    }

    fn requests(parts: &Parts) -> Vec<String> {
        let text = |part: &Part| String::from_utf8_lossy(&part.request).replace("\r\n", " ");
        parts.parts.iter().map(text).collect()
    }

    #[test]
    fn keys_go_with_their_values_and_replies_to_their_keys() {
        let mut mget = parts("MGET a {b}1 a {b}2", 1).expect("parts");
        assert_eq!(
            requests(&mget),
            ["*3 $4 MGET $1 a $1 a ", "*3 $4 MGET $4 {b}1 $4 {b}2 "]
        );
        let layout = mget.layout();
        let replies = [
            b"*2\r\n:1\r\n:1\r\n".to_vec(),
            b"*2\r\n:2\r\n$-1\r\n".to_vec(),
        ];
        let joined = layout.join(Joining::Elements, &replies, false);
        assert_eq!(joined, b"*4\r\n:1\r\n:2\r\n:1\r\n$-1\r\n");
        let short = [b"*1\r\n:1\r\n".to_vec(), b"*2\r\n:2\r\n$-1\r\n".to_vec()];
        assert_eq!(layout.join(Joining::Elements, &short, false), DIFFERENT);
        let mut mset = parts("mset a 1 b 2 a 3", 2).expect("parts");
        assert_eq!(
            requests(&mset),
            ["*5 $4 mset $1 a $1 1 $1 a $1 3 ", "*3 $4 mset $1 b $1 2 "]
        );
        let layout = mset.layout();
        let ok = || b"+OK\r\n".to_vec();
        assert_eq!(
            layout.join(Joining::AllSucceeded, &[ok(), ok()], true),
            b"+OK\r\n"
        );
        let failed = [ok(), b"-OOM full\r\n".to_vec()];
        let joined = layout.join(Joining::AllSucceeded, &failed, true);
        assert_eq!(joined, b"-OOM full (keys in other slots were changed)\r\n");
        assert_eq!(parts("MSET a 1 b", 2), None);
        let sum = layout.join(
            Joining::Sum,
            &[b":1\r\n".to_vec(), b":2\r\n".to_vec()],
            true,
        );
        assert_eq!(sum, b":3\r\n");
    }

    #[test]
    fn slots_are_told_apart() {
        let several = |command: &str, step| {
            let args: ArgVec = command.split(' ').collect();
            has_several_slots(args.as_args(), step)
        };
        assert!(several("MGET a b", 1));
        assert!(!several("MGET {a}b {a}c a", 1));
        // Values are not looked at.
        assert!(!several("MSET a b", 2));
        assert!(several("MSET a b c d", 2));
    }
}
