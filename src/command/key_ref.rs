//! Keys among arguments, by their positions.

use super::key_span::{KeyAccess, Permission, Span};
use crate::resp::Args;

/// One key of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct KeyRef<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Its position among the arguments.
    pub index: usize,
    /// Whether the command may modify it.
    pub write: bool,
    /// Whether the command may read it.
    pub read: bool,
    /// What a user has to be allowed, unless other arguments say that it is less.
    pub permission: Permission,
}

/// Whether the keys that were seen are all that the command can touch by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seen {
    /// They are.
    All,
    /// There may be others.
    Declared,
}

impl Seen {
    /// This and that.
    pub(super) fn and(self, other: Self) -> Self {
        if self == Self::All { other } else { self }
    }
}

/// Hands out the key at a position, if there is such an argument.
pub(super) fn visit_one<'a>(
    at: usize,
    access: KeyAccess,
    args: Args<'a>,
    each: &mut impl FnMut(KeyRef<'a>),
) {
    if let Some(key) = args.get(at) {
        each(KeyRef {
            key,
            index: at,
            write: access.writes(),
            read: access.reads(),
            permission: access.permission(),
        });
    }
}

/// Hands out the keys at fixed positions.
pub(super) fn visit_span<'a>(
    span: Span,
    args: Args<'a>,
    each: &mut impl FnMut(KeyRef<'a>),
) -> Seen {
    let argc = i64::try_from(args.len()).unwrap_or(i64::MAX);
    let last = i64::from(span.last) + if span.last < 0 { argc } else { 0 };
    visit_positions(
        args,
        i64::from(span.first),
        last,
        i64::from(span.step),
        span.access,
        each,
    );
    Seen::All
}

/// Hands out the keys at `first`, `first + step`, … up to `last`, as far as there are arguments.
pub(super) fn visit_positions<'a>(
    args: Args<'a>,
    first: i64,
    last: i64,
    step: i64,
    access: KeyAccess,
    each: &mut impl FnMut(KeyRef<'a>),
) {
    let argc = i64::try_from(args.len()).unwrap_or(i64::MAX);
    let last = last.min(argc - 1);
    let mut at = first;
    while at > 0 && at <= last {
        if let Ok(at) = usize::try_from(at) {
            visit_one(at, access, args, each);
        }
        at = at.saturating_add(step.max(1));
    }
}

/// Reads a count of keys as C's `atoi` does, the most lenient of the ways in which Redis and its
/// modules read them; 0 for what is no number or negative.
pub(super) fn lenient_count(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0_i64, |value, byte| {
        value
            .saturating_mul(10)
            .saturating_add(i64::from(byte - b'0'))
    })
}
