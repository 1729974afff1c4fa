//! `COMMAND INFO name …` and `COMMAND DOCS name …`: the backing is asked for its own commands,
//! and Respite's are put in their places.
//!
//! Does not send anything: [`Split::request`] is what to send.

use super::docs::write_docs;
use super::own::OwnRow;
use super::reply::{EntryLen, Header, write_entry};
use crate::resp::{Args, Proto, parse_reply, write_command};

/// Which of the two is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Info,
    Docs,
}

/// What one of the names asks for.
#[derive(Clone, Debug)]
enum Entry {
    /// A command of the backing's, or an unknown one.
    Backing(Box<[u8]>),
    Own(&'static OwnRow),
}

/// A request that names commands, taken apart.
#[derive(Clone, Debug)]
pub struct Split {
    kind: Kind,
    entries: Vec<Entry>,
    request: Option<Vec<u8>>,
}

/// Takes apart `COMMAND INFO name …` or `COMMAND DOCS name …`, given with all its arguments.
///
/// None when no name is Respite's own (the request is then simply forwarded) or when it is
/// another request.
pub fn split_names(
    args: Args<'_>,
    find_own: impl Fn(&[u8]) -> Option<&'static OwnRow>,
) -> Option<Split> {
    let sub = args.get(1)?;
    let kind = if sub.eq_ignore_ascii_case(b"info") {
        Kind::Info
    } else if sub.eq_ignore_ascii_case(b"docs") {
        Kind::Docs
    } else {
        return None;
    };
    let entries: Vec<Entry> = args
        .iter()
        .skip(2)
        .map(|name| find_own(name).map_or_else(|| Entry::Backing(name.into()), Entry::Own))
        .collect();
    if !entries.iter().any(|entry| matches!(entry, Entry::Own(_))) {
        return None;
    }
    let mut words: Vec<&[u8]> = vec![b"COMMAND", sub];
    words.extend(entries.iter().filter_map(|entry| match entry {
        Entry::Backing(name) => Some(&**name),
        Entry::Own(_) => None,
    }));
    let request = (words.len() > 2).then(|| {
        let mut request = Vec::new();
        write_command(&mut request, &words);
        request
    });
    Some(Split {
        kind,
        entries,
        request,
    })
}

impl Split {
    /// Gives the request to send to the backing; none when all names are Respite's own.
    #[must_use]
    pub fn request(&self) -> Option<&[u8]> {
        self.request.as_deref()
    }

    /// Writes the whole reply.
    ///
    /// `backing` is the reply to [`Self::request`], empty when there was none; an error in it
    /// passes through unchanged. `len` is used when the backing's reply shows no entry.
    pub fn splice(&self, backing: &[u8], len: EntryLen, proto: Proto, out: &mut Vec<u8>) {
        let (header, mut rest) = match Header::read(backing) {
            Some(header) => (header, &backing[header.len..]),
            None if backing.is_empty() => {
                let kind = match (self.kind, proto) {
                    (Kind::Docs, Proto::Resp3) => b'%',
                    _ => b'*',
                };
                (
                    Header {
                        kind,
                        count: 0,
                        len: 0,
                    },
                    backing,
                )
            }
            None => {
                out.extend_from_slice(backing);
                return;
            }
        };
        let own = self
            .entries
            .iter()
            .filter(|entry| matches!(entry, Entry::Own(_)))
            .count();
        let values_each = if self.kind == Kind::Docs && header.kind != b'%' {
            2
        } else {
            1
        };
        header.write(header.count + own * values_each, out);
        for entry in &self.entries {
            match (entry, self.kind) {
                (Entry::Own(row), Kind::Info) => write_entry(row, len, proto, out),
                (Entry::Own(row), Kind::Docs) => write_docs(row, proto, out),
                (Entry::Backing(_), Kind::Info) => take(&mut rest, out),
                // Unknown names are left out of the backing's reply.
                (Entry::Backing(name), Kind::Docs) => {
                    if names_next(rest, name) {
                        take(&mut rest, out);
                        take(&mut rest, out);
                    }
                }
            }
        }
        out.extend_from_slice(rest);
    }
}

/// Moves the next whole value from `rest` to `out`; nothing when there is none.
fn take(rest: &mut &[u8], out: &mut Vec<u8>) {
    if let Ok(Some((_, len))) = parse_reply(rest)
        && let Some((value, behind)) = rest.split_at_checked(len)
    {
        out.extend_from_slice(value);
        *rest = behind;
    }
}

/// Tells whether the next value is this name, in any case.
fn names_next(rest: &[u8], name: &[u8]) -> bool {
    match parse_reply(rest) {
        Ok(Some((value, _))) => value
            .as_bytes()
            .is_some_and(|found| found.eq_ignore_ascii_case(name)),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
