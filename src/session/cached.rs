//! What a command means to the cache: which keys are protected while it is under way, and what its reply
//! waits for.

use super::request::Request;
use crate::cache::{Guard, Mutant, is_active};
use crate::command::{Effects, each_key, has_block_option, other_database, sort_reads_others};

/// What a command needs so that the cache stays true: keys to protect until its reply is in, and
/// whether the reply has to wait for a fence.
#[derive(Debug, Default)]
pub(super) struct Cover {
    pub(super) guard: Option<Guard>,
    pub(super) fence: Fence,
}

/// What a reply has to wait for before it is shown.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fence {
    /// Nothing.
    #[default]
    None,
    /// Every push that was caused before it: the command changes keys in ways that are pushed.
    Pushes,
    /// That, and whether databases were exchanged.
    Scripts,
    /// That, and the cache is emptied: nothing is known of the command.
    Unknown,
}

/// Calls `protect` for each key that a command names, in the database where it has it.
pub(super) fn protect_keys(request: Request<'_>, db: u32, mut protect: impl FnMut(u32, &[u8])) {
    let Some(row) = request.leaf() else { return };
    if is_active(Mutant::BypassReadKeepsEntry) && row.is_readonly() {
        return;
    }
    let mut last = None;
    each_key(row, request.args, |key| {
        protect(db, key.key);
        last = Some(key.key);
    });
    if let (Some(other), Some(key)) = (other_database(row.effects, request.args), last) {
        protect(other, key);
    }
}

/// Whether a command may touch keys that it does not name: what it changes is pushed, and what it
/// shows may be newer than what is here, so its reply has to wait for the pushes.
pub(super) fn touches_unknown_keys(request: Request<'_>) -> bool {
    let effects = request.effects();
    if is_active(Mutant::UnnamedReadIsUnfenced) {
        return effects.contains(Effects::WRITES_UNKNOWN);
    }
    effects.intersects(Effects::WRITES_UNKNOWN | Effects::READS_UNKNOWN)
        || (effects.contains(Effects::READS_BY_OPTION)
            && (request.leaf()).is_some_and(|row| sort_reads_others(row, request.args)))
}

/// What the reply of a command waits for that touches keys which it does not name.
pub(super) fn fence_of(request: Request<'_>) -> Fence {
    match request.effects().contains(Effects::UNKNOWN) {
        true => Fence::Unknown,
        false => Fence::Scripts,
    }
}

/// Whether every key may be another after a command.
pub(super) fn changes_every_key(request: Request<'_>) -> bool {
    request.effects().intersects(Effects::EVERY_KEY)
}

pub(super) fn may_block(request: Request<'_>) -> bool {
    let effects = request.effects();
    effects.contains(Effects::BLOCKS)
        || (effects.contains(Effects::BLOCKS_BY_OPTION) && has_block_option(request.args))
}

/// Whether a run of forwarded commands may take this one up, as far as the cache is concerned.
pub(super) fn needs_care(request: Request<'_>) -> bool {
    let effects = request.effects();
    effects.intersects(Effects::BEYOND_ITS_KEYS.difference(Effects::READS_BY_OPTION))
        || touches_unknown_keys(request)
}
