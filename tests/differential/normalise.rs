//! What may differ between two Redis servers that were told the same: order of hash tables, ids, times.

use std::str::FromStr;

use crate::support::frame;

/// A rewriting of a reply before it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Normaliser {
    /// `sort`: the elements (or the pairs of a map) in any order.
    Sort,
    /// `pairs`: a flat array of pairs in any order.
    Pairs,
    /// `scan`: a cursor and elements in any order.
    Scan,
    /// `deep`: every level in any order.
    Deep,
    /// `digits`: any number for any other.
    Digits,
    /// `id`: any client id in a reply of `HELLO`.
    Id,
    /// `any`: only the type of the reply.
    Any,
    /// `sort-frames`: several replies in any order.
    SortFrames,
}

impl FromStr for Normaliser {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Ok(match name {
            "sort" => Self::Sort,
            "pairs" => Self::Pairs,
            "scan" => Self::Scan,
            "deep" => Self::Deep,
            "digits" => Self::Digits,
            "id" => Self::Id,
            "any" => Self::Any,
            "sort-frames" => Self::SortFrames,
            other => return Err(format!("unknown option {other}")),
        })
    }
}

/// Rewrites the replies of one step.
pub(crate) fn normalise(replies: &mut [Vec<u8>], normalisers: &[Normaliser]) {
    for normaliser in normalisers {
        for reply in replies.iter_mut() {
            *reply = one(reply, *normaliser);
        }
        if *normaliser == Normaliser::SortFrames {
            replies.sort();
        }
    }
}

fn one(reply: &[u8], normaliser: Normaliser) -> Vec<u8> {
    let map = reply.first() == Some(&b'%');
    match normaliser {
        Normaliser::Sort => sorted(reply, if map { 2 } else { 1 }, <[u8]>::to_vec),
        Normaliser::Pairs => sorted(reply, 2, <[u8]>::to_vec),
        Normaliser::Scan => children_rewritten(reply, |child| sorted(child, 1, <[u8]>::to_vec)),
        Normaliser::Deep => deep(reply),
        Normaliser::Digits => without_digits(reply),
        Normaliser::Id => without_id(reply),
        Normaliser::Any => reply[..1].to_vec(),
        Normaliser::SortFrames => reply.to_vec(),
    }
}

fn deep(reply: &[u8]) -> Vec<u8> {
    sorted(
        reply,
        if reply.first() == Some(&b'%') { 2 } else { 1 },
        deep,
    )
}

/// An aggregate with its elements sorted in groups of `size`, each rewritten first; other replies as they are.
fn sorted(reply: &[u8], size: usize, rewrite: fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Some((header, children)) = split(reply) else {
        return reply.to_vec();
    };
    let children: Vec<Vec<u8>> = children.into_iter().map(rewrite).collect();
    let mut groups: Vec<Vec<u8>> = children.chunks(size).map(<[_]>::concat).collect();
    groups.sort();
    [header.to_vec(), groups.concat()].concat()
}

fn children_rewritten(reply: &[u8], rewrite: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let Some((header, children)) = split(reply) else {
        return reply.to_vec();
    };
    let children: Vec<Vec<u8>> = children.into_iter().map(rewrite).collect();
    [header.to_vec(), children.concat()].concat()
}

/// The header and the elements of an aggregate.
fn split(reply: &[u8]) -> Option<(&[u8], Vec<&[u8]>)> {
    let ranges = frame::child_ranges(reply).expect("a reply")?;
    let body = ranges.first().map_or(reply.len(), |first| first.start);
    Some((
        &reply[..body],
        ranges.into_iter().map(|range| &reply[range]).collect(),
    ))
}

fn without_digits(reply: &[u8]) -> Vec<u8> {
    let mut rewritten = Vec::with_capacity(reply.len());
    for &byte in reply {
        if !byte.is_ascii_digit() {
            rewritten.push(byte);
        } else if rewritten.last() != Some(&b'#') {
            rewritten.push(b'#');
        }
    }
    rewritten
}

fn without_id(reply: &[u8]) -> Vec<u8> {
    let label = b"$2\r\nid\r\n:";
    let Some(found) = reply
        .windows(label.len())
        .position(|window| window == label)
    else {
        return reply.to_vec();
    };
    let start = found + label.len();
    let digits = reply[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    [&reply[..start], b"#", &reply[start + digits..]].concat()
}
