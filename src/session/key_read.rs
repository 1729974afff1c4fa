//! Reads of one key, as the cache is asked for them and as they are fetched.

use super::request::Request;
use crate::cache::{Mutant, is_active};
use crate::command::{Fields, Readable};
use crate::resp::Args;
use crate::upstream::{Fetch, FetchFields, FetchRead};

/// A longer key has no place in the cache: what looks it up, fetches it and waits for it copies it.
const LONGEST_KEY: usize = 64 * 1024;
/// Nor has a longer request of another kind than `GET`.
const LONGEST_READ: usize = 4 * 1024;

/// A read of one key that may be answered from the cache.
#[derive(Clone, Copy)]
pub(super) struct KeyRead<'a> {
    pub(super) key: &'a [u8],
    /// What is read; none for `GET`.
    other: Option<(&'static Readable, Request<'a>)>,
}

impl<'a> KeyRead<'a> {
    /// `GET`.
    pub(super) fn get(key: &'a [u8]) -> Self {
        KeyRead { key, other: None }
    }

    /// What is read besides `GET`, and the request.
    #[inline]
    pub(super) fn other(&self) -> Option<(&'static Readable, Request<'a>)> {
        self.other
    }

    /// What a request reads, if the cache may answer it.
    #[inline]
    pub(super) fn of(request: Request<'a>) -> Option<Self> {
        let args = request.args;
        let Some(readable) = request.row.and_then(|row| row.readable) else {
            return is_get(args).then(|| KeyRead::get(args.get(1).unwrap_or_default()));
        };
        (readable.takes(args.len()) && request.raw.len() <= LONGEST_READ && request.arity_ok())
            .then_some(KeyRead {
                key: args.get(1)?,
                other: Some((readable, request)),
            })
    }

    /// The fetch of it.
    pub(super) fn fetch(&self, token: u64) -> Fetch {
        let read = self.other.map(|(readable, request)| {
            Box::new(FetchRead {
                request: request.raw.into(),
                fields: fields(readable.fields, request.args),
            })
        });
        Fetch {
            key: self.key.into(),
            token,
            read,
        }
    }
}

fn fields(fields: Fields, args: Args<'_>) -> FetchFields {
    if is_active(Mutant::FieldLivesIgnored) {
        return FetchFields::None;
    }
    let named = match fields {
        Fields::None => return FetchFields::None,
        Fields::All => return FetchFields::All,
        Fields::One(at) => at..at + 1,
        Fields::From(at) => at..args.len(),
    };
    FetchFields::Named(named.filter_map(|n| args.get(n)).map(Into::into).collect())
}

/// Whether a command is a `GET` that the cache can answer.
fn is_get(args: Args<'_>) -> bool {
    args.len() == 2 && args[0].eq_ignore_ascii_case(b"GET") && args[1].len() <= LONGEST_KEY
}
