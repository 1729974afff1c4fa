//! Users of the backing: what is known of one of them, as the backing's ACL has it, and a list that has none.
//!
//! Asks nobody. What is not understood is an error, never a permission.

use std::sync::atomic::Ordering;

use super::error::{AccessError, Denied};
use super::list::{AccessList, LISTS, Side, UserId, denied_command};
use super::password::Kept;
use super::patterns::{ChannelPatterns, KeyPatterns};
use super::rules::{Asked, CommandRules, DenyList};
use super::user::{Grant, User};
use crate::command::Permission;
use crate::resp::Args;

/// Rules as `ACL GETUSER` tells them, each text one rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclRules {
    /// `+@all`, `-get`, `+config|get`.
    pub commands: Vec<String>,
    /// Patterns: `app:*`, `%R~app:*`, without the `~` of those that allow both.
    pub keys: Vec<String>,
    /// Patterns, without `&`.
    pub channels: Vec<String>,
}

impl AccessList {
    /// A list without users, for the users are the backing's: by it nobody may do anything that takes a login.
    ///
    /// # Errors
    /// Names the first rule of the deny list that is wrong.
    pub fn of_backing(deny: &[String]) -> Result<Self, AccessError> {
        Ok(Self::known(
            DenyList::parse(deny)?,
            Vec::new(),
            Side::Backing,
        ))
    }

    /// What is known of one user of the backing. Nobody else is in this list; what the deny list has, he may not.
    ///
    /// # Errors
    /// When a rule is not understood.
    pub fn of_acl_user(
        &self,
        name: &str,
        rules: &AclRules,
        selectors: &[AclRules],
    ) -> Result<Self, AccessError> {
        let user = User {
            name: name.to_owned(),
            password: Kept::Sha256([0; 32]), // nobody logs in by this list
            grant: Grant::of_acl(rules)?,
            selectors: { selectors.iter() }
                .map(Grant::of_acl)
                .collect::<Result<_, _>>()?,
        };
        Ok(Self::known(self.deny.clone(), vec![user], Side::Known))
    }

    fn known(deny: DenyList, users: Vec<User>, side: Side) -> Self {
        AccessList {
            number: LISTS.fetch_add(1, Ordering::Relaxed),
            deny,
            trusts_scripts: false,
            users,
            side,
        }
    }

    /// Whether the users are the backing's, and nothing is known of them here.
    #[must_use]
    #[inline]
    pub fn is_of_backing(&self) -> bool {
        self.side == Side::Backing
    }

    /// The user of a list that has one.
    #[must_use]
    pub fn only_user(&self) -> Option<UserId> {
        (self.users.len() == 1).then(|| self.id_at(0))
    }

    /// Whether the only user may run this command of one key on some keys, and nothing but the key decides on which.
    #[must_use]
    pub fn may_get_some(&self, command: Asked<'_>) -> bool {
        let [user] = &*self.users else { return false };
        self.deny.is_empty() && user.grant.commands.allow(command)
    }

    /// Whether the only user may read every key with the commands that he may run.
    #[must_use]
    pub fn reads_all_keys(&self) -> bool {
        let [user] = &*self.users else { return false };
        user.grant.keys.may_read_all()
    }

    /// Whether the only user may run every command, if none is denied to all.
    #[must_use]
    pub fn runs_all_commands(&self) -> bool {
        let [user] = &*self.users else { return false };
        user.grant.commands.allow_all()
    }

    /// Whether the only user may read a key with a command that [`may_get_some`](Self::may_get_some) lets him run. The
    /// sets of rules that he has besides are not looked at.
    #[must_use]
    #[inline]
    pub fn may_get(&self, key: &[u8]) -> bool {
        let [user] = &*self.users else { return false };
        user.grant.keys.allow(key, Permission::READ)
    }

    /// Whether something is denied to everybody.
    #[must_use]
    #[inline]
    pub fn denies_any(&self) -> bool {
        !self.deny.is_empty()
    }

    /// Why a command is denied to everybody, if it is.
    #[must_use]
    pub fn denies(&self, asked: Asked<'_>) -> Option<Denied> {
        (!self.deny.is_empty() && self.deny.covers(asked))
            .then(|| denied_command(asked.row, asked.name))
    }
}

impl Grant {
    fn of_acl(rules: &AclRules) -> Result<Self, AccessError> {
        let bad_pattern = |reason| AccessError::Pattern {
            place: "an ACL user".to_owned(),
            reason,
        };
        Ok(Grant {
            commands: CommandRules::parse(&rules.commands, "an ACL user")?,
            keys: KeyPatterns::parse(&rules.keys).map_err(bad_pattern)?,
            channels: ChannelPatterns::parse(&rules.channels).map_err(bad_pattern)?,
        })
    }

    fn check(&self, asked: Asked<'_>, args: Args<'_>) -> Result<(), Denied> {
        if !self.commands.allow(asked) {
            return Err(denied_command(asked.row, asked.name));
        }
        self.check_keys(asked.row, args).map_err(Denied::Key)?;
        self.check_channels(asked.row, args)
            .map_err(Denied::Channel)
    }
}

impl User {
    /// As Redis does: any of the sets of rules may allow the command, and of their refusals that is told which came
    /// furthest.
    pub(super) fn check_as_redis(&self, asked: Asked<'_>, args: Args<'_>) -> Result<(), Denied> {
        let Err(mut denied) = self.grant.check(asked, args) else {
            return Ok(());
        };
        for selector in &self.selectors {
            let Err(other) = selector.check(asked, args) else {
                return Ok(());
            };
            if depth(&other) > depth(&denied) {
                denied = other;
            }
        }
        Err(denied)
    }
}

fn depth(denied: &Denied) -> u8 {
    match denied {
        Denied::Key(_) => 1,
        Denied::Channel(_) => 2,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::resp::ArgVec;

    fn rules(commands: &str, keys: &str, channels: &str) -> AclRules {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect();
        AclRules {
            commands: words(commands),
            keys: words(keys),
            channels: words(channels),
        }
    }

    fn list(deny: &[&str], root: &AclRules, selectors: &[AclRules]) -> AccessList {
        let deny: Vec<String> = deny.iter().map(|&rule| rule.to_owned()).collect();
        let all = AccessList::of_backing(&deny).expect("valid");
        all.of_acl_user("ann", root, selectors).expect("valid")
    }

    fn says(list: &AccessList, line: &str) -> &'static str {
        let table = Table::shipped();
        let args: ArgVec = line.split(' ').collect();
        let args = args.as_args();
        let row = table.get(&args[0]);
        let sub = row.and_then(|row| row.subcommand(args.get(1)?));
        match list.check(list.only_user(), row, &args[0], sub, args) {
            Ok(()) => "ok",
            Err(Denied::Command(_)) => "command",
            Err(Denied::Key(_)) => "key",
            Err(Denied::Channel(_)) => "channel",
            Err(_) => "else",
        }
    }

    #[test]
    fn one_set_of_rules_has_to_allow_all_of_a_command() {
        let root = rules("-@all +get +publish", "a:*", "news");
        let selectors = [rules("-@all +@write +@read", "%R~r:* w", "")];
        let list = list(&[], &root, &selectors);
        for (line, wanted) in [
            ("GET a:1", "ok"),
            ("GET r:1", "ok"),
            ("GET x", "key"),
            ("SET a:1 1", "key"),
            ("SET w 1", "ok"),
            ("SET r:1 1", "key"),
            ("HGET r:1 f", "ok"),
            ("PUBLISH news x", "ok"),
            ("PUBLISH other x", "channel"),
            ("KEYS *", "ok"),
            ("CONFIG GET x", "command"),
            ("NO.SUCH", "command"),
        ] {
            assert_eq!(says(&list, line), wanted, "{line}");
        }
    }

    #[test]
    fn monitor_is_judged_by_the_rules_alone() {
        let with = list(&[], &rules("+@all -flushall", "app:*", "*"), &[]);
        assert_eq!(says(&with, "MONITOR"), "ok");
        assert_eq!(says(&with, "EVAL x 1 other"), "key");
        let without = list(&[], &rules("+@all -monitor", "*", "*"), &[]);
        assert_eq!(says(&without, "MONITOR"), "command");
    }

    #[test]
    fn what_is_denied_to_all_is_denied_and_nobody_else_is_known() {
        let known = list(&["keys"], &rules("+@all", "*", "*"), &[]);
        assert_eq!(says(&known, "KEYS *"), "command");
        assert_eq!(says(&known, "GET x"), "ok");
        assert!(known.is_admin(known.only_user()));
        let none = AccessList::of_backing(&[]).expect("valid");
        assert!(none.is_of_backing() && !none.is_open() && !none.is_unrestricted());
        for user in [None, Some(UserId::OF_BACKING), known.only_user()] {
            assert_eq!(
                none.check(user, None, b"x", None, args(&["x"]).as_args()),
                Err(Denied::NotAuthenticated)
            );
            assert!(!none.is_admin(user) && !none.may_read(user, b"k"));
        }
    }

    fn args(words: &[&str]) -> ArgVec {
        words.iter().copied().collect()
    }

    #[test]
    fn what_is_not_understood_is_an_error() {
        let all = AccessList::of_backing(&[]).expect("valid");
        for bad in [
            rules("+@all -@strange", "*", "*"),
            rules("+@all", "%X~a", "*"),
        ] {
            assert!(all.of_acl_user("ann", &bad, &[]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn who_lacks_a_command_does_not_run_all() {
        for (commands, all) in [
            ("+@all", true),
            ("+@all -hget", false),
            ("-@all +@read", false),
        ] {
            let list = list(&[], &rules(commands, "*", ""), &[]);
            assert_eq!(list.runs_all_commands(), all, "{commands}");
        }
    }

    #[test]
    fn reading_everything_is_known_of_the_rules() {
        let asked = |table: &Table| {
            let may = |commands: &str, keys: &str, deny: &[&str]| {
                let list = list(deny, &rules(commands, keys, ""), &[]);
                let some = list.may_get_some(Asked {
                    row: table.get(b"get"),
                    name: b"get",
                    sub: None,
                });
                (some && list.reads_all_keys(), some && list.may_get(b"app"))
            };
            [
                may("+@all", "*", &[]),
                may("-@all +@read", "%R~*", &[]),
                may("+@all", "%W~*", &[]),
                may("+@all -get", "*", &[]),
                may("+@all", "a*", &[]),
                may("+@all", "b* %W~a*", &[]),
                may("+@all", "*", &["keys"]),
            ]
        };
        let (all, some, none) = ((true, true), (false, true), (false, false));
        assert_eq!(
            asked(&Table::shipped()),
            [all, all, none, none, some, none, none]
        );
    }
}
