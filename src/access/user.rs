//! One user, and what he may do with the keys and channels of a command.
//!
//! Not here: which commands he may run (`rules`).

use super::password::Kept;
use super::patterns::{ChannelPatterns, KeyPatterns};
use super::rules::CommandRules;
use crate::command::{
    Channels, Effects, Permission, Row, Seen, channels, each_key, permission_by_options,
};
use crate::resp::Args;

/// One user of a list.
pub(super) struct User {
    pub(super) name: String,
    pub(super) password: Kept,
    pub(super) grant: Grant,
    /// Other sets of rules, as Redis' selectors: a command may be run that any of them allows all of.
    pub(super) selectors: Vec<Grant>,
}

/// What is allowed together.
pub(super) struct Grant {
    pub(super) commands: CommandRules,
    pub(super) keys: KeyPatterns,
    pub(super) channels: ChannelPatterns,
}

impl Grant {
    /// Whether one may read and write every key, also those that arguments do not name.
    pub(super) fn has_all_keys(&self) -> bool {
        self.keys.allow_all(Permission::BOTH)
    }

    /// The error is the position of the key that may not be used, if it is known.
    pub(super) fn check_keys(
        &self,
        row: Option<&Row>,
        args: Args<'_>,
    ) -> Result<(), Option<usize>> {
        if self.has_all_keys() {
            return Ok(());
        }
        // Nothing is known about the keys of an unknown command.
        let row = row.ok_or(None)?;
        let mut refused = None;
        let seen = each_key(row, args, |key| {
            let allowed = refused.is_some()
                || self.keys.allow(key.key, key.permission)
                || permission_by_options(row, args)
                    .is_some_and(|needed| self.keys.allow(key.key, needed));
            if !allowed {
                refused = Some(key.index);
            }
        });
        // Keys that are not named are read only where the command only reads, and where `SORT` has options.
        let reads_others = !row.effects.contains(Effects::WRITES_UNKNOWN);
        let others = || reads_others && self.keys.allow_all(Permission::READ);
        match refused.is_none() && (seen == Seen::All || others()) {
            true => Ok(()),
            false => Err(refused),
        }
    }

    /// The error is the position of the channel that may not be used, if it is known.
    pub(super) fn check_channels(
        &self,
        row: Option<&Row>,
        args: Args<'_>,
    ) -> Result<(), Option<usize>> {
        if self.channels.allow_all() {
            return Ok(());
        }
        // An unknown command may publish.
        match channels(row.ok_or(None)?, args) {
            Channels::None => Ok(()),
            Channels::Unknown => Err(None),
            Channels::Named { count, patterns } => {
                let mut named = args.iter().enumerate().skip(1).take(count);
                let refused = named.find(|(_, one)| !self.channels.allow(one, patterns));
                refused.map_or(Ok(()), |(at, _)| Err(Some(at)))
            }
        }
    }
}
