//! The access list: users with their rules, and the check of a command.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use super::error::{AccessError, Denied};
use super::logins::Whom;
use super::password::{Kept, Password, SlowHash};
use super::patterns::{ChannelPatterns, KeyPatterns};
use super::rules::{Asked, CommandRules, DenyList};
use super::user::{Grant, User};
use super::verifier::Unjudged;
use crate::command::{Categories, Effects, Flags, Judge, OwnRow, Permission, Rights, Row};
use crate::resp::Args;

/// Runs what no rule is asked about, makes others run it, or shows what no rule is asked about.
const BEYOND_RULES: Effects = Effects::RUNS_SCRIPTS
    .union(Effects::CHANGES_SCRIPTS)
    .union(Effects::SHOWS_REQUESTS);
/// The longest name of a command that a refusal repeats.
const NAME_SHOWN_MAX: usize = 128;

/// A user as configured.
#[derive(Clone, PartialEq, Eq)]
pub struct UserSpec {
    /// The name for `AUTH` and `HELLO`.
    pub name: String,
    /// The password, hashed.
    pub password: Password,
    /// Command rules, applied in order; without any, nothing is allowed.
    pub commands: Vec<String>,
    /// Globs over keys, `%R~` or `%W~` before those that may only be read or written; without any, no key is
    /// allowed.
    pub keys: Vec<String>,
    /// Globs over channels; without any, no channel is allowed.
    pub channels: Vec<String>,
}

/// Leaves the password's hash out.
impl std::fmt::Debug for UserSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserSpec")
            .field("name", &self.name)
            .field("commands", &self.commands)
            .field("keys", &self.keys)
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

/// A user of one [`AccessList`]. Another list, such as one loaded later, takes it for nobody.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct UserId {
    list: u64,
    at: u32,
}

impl UserId {
    /// Somebody who has shown the token of the admin listener: no user's rules apply, the deny list
    /// does.
    pub const TRUSTED: Self = UserId {
        list: u64::MAX,
        at: 0,
    };

    /// Somebody whom the backing has let in. No list has him: what he may do is asked apart.
    pub const OF_BACKING: Self = UserId {
        list: u64::MAX,
        at: 1,
    };
}

/// What is known at once of a login.
pub enum Judged {
    /// It is this user's.
    Right(UserId),
    /// It is nobody's.
    Wrong,
    /// It takes a slow hash to find out.
    Unknown(Unjudged),
}

/// Numbers the lists of this process.
pub(super) static LISTS: AtomicU64 = AtomicU64::new(0);

/// Users and what they may do.
pub struct AccessList {
    pub(super) number: u64,
    pub(super) deny: DenyList,
    /// Scripts may run what their callers may not.
    pub(super) trusts_scripts: bool,
    pub(super) users: Vec<User>,
    /// Whose the users are, and how they are judged.
    pub(super) side: Side,
}

/// Whose the users of a list are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// Respite's: they are in the list.
    Respite,
    /// The backing's: nobody is in the list.
    Backing,
    /// The backing's: the one in the list is what is known of one of them, and is judged as Redis judges.
    Known,
}

/// Stands for all that is administrative.
static ADMINISTRATION: LazyLock<Row> = LazyLock::new(|| {
    let administration = OwnRow {
        categories: Categories::ADMIN
            .union(Categories::DANGEROUS)
            .union(Categories::SLOW),
        ..OwnRow::EMPTY
    };
    administration.row(0)
});

/// The rights of one user of a list.
struct UserRights {
    list: Arc<AccessList>,
    user: Option<UserId>,
}

impl Judge for UserRights {
    fn may_use(&self, key: &[u8]) -> bool {
        self.list.may_read(self.user, key)
    }

    fn may_change(&self, key: &[u8]) -> bool {
        self.list.may(self.user, key, Permission::BOTH)
    }

    fn may_use_all(&self) -> bool {
        let trusted = self.list.is_open() || self.user == Some(UserId::TRUSTED);
        let user = self.user.and_then(|id| self.list.user(id));
        trusted || user.is_some_and(|user| user.grant.has_all_keys())
    }

    fn is_admin(&self) -> bool {
        self.list.is_admin(self.user)
    }
}

impl AccessList {
    /// Makes a list from the configured rules.
    ///
    /// # Errors
    ///
    /// Names the first rule or user that is wrong.
    pub fn new(deny: &[String], users: Vec<UserSpec>) -> Result<Self, AccessError> {
        let deny = DenyList::parse(deny)?;
        let mut known: Vec<User> = Vec::with_capacity(users.len());
        for spec in users {
            if spec.name.is_empty() {
                return Err(AccessError::EmptyUserName);
            }
            if known.iter().any(|user| user.name == spec.name) {
                return Err(AccessError::DuplicateUser(spec.name));
            }
            let place = format!("user '{}'", spec.name);
            let password =
                Kept::new(&spec.password).map_err(|reason| AccessError::PasswordHash {
                    place: place.clone(),
                    reason,
                })?;
            let bad_pattern = |reason| AccessError::Pattern {
                place: place.clone(),
                reason,
            };
            known.push(User {
                grant: Grant {
                    commands: CommandRules::parse(&spec.commands, &place)?,
                    keys: KeyPatterns::parse(&spec.keys).map_err(bad_pattern)?,
                    channels: ChannelPatterns::parse(&spec.channels).map_err(bad_pattern)?,
                },
                selectors: Vec::new(),
                password,
                name: spec.name,
            });
        }
        Ok(Self {
            number: LISTS.fetch_add(1, Ordering::Relaxed),
            deny,
            trusts_scripts: false,
            users: known,
            side: Side::Respite,
        })
    }

    /// Whether whoever may run scripts may run whatever these run; if not, those may not whom a rule keeps
    /// from any command.
    #[must_use]
    pub fn trust_scripts(mut self, trusts: bool) -> Self {
        self.trusts_scripts = trusts;
        self
    }

    /// Tells whether there are no users: everybody may do everything that is not denied.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.users.is_empty() && self.side == Side::Respite
    }

    /// Tells whether everybody may do everything.
    #[must_use]
    pub fn is_unrestricted(&self) -> bool {
        self.is_open() && self.deny.is_empty()
    }

    /// Judges a name and a password, as far as that is known at once.
    ///
    /// Takes the same time for an unknown user as for a wrong password. A bare `AUTH password`
    /// means the user `default`.
    #[must_use]
    pub fn judge(&self, user: &[u8], password: &[u8]) -> Judged {
        let id = self.user_by_name(user);
        let known = id.and_then(|id| self.user(id)).map(|user| &user.password);
        let nobody = Kept::Sha256([0; 32]);
        if known.unwrap_or(&nobody).is_known_for(password)
            && let Some(id) = id.filter(|_| known.is_some())
        {
            return Judged::Right(id);
        }
        // Whoever is nobody, or has a plain hash, is found out as slowly as the others.
        let (hash, in_vain) = match (known, self.slow_hash()) {
            (_, None) => return Judged::Wrong,
            (Some(Kept::Slow(own)), _) => (own, false),
            (_, Some(other)) => (other, true),
        };
        Judged::Unknown(Unjudged {
            hash: Arc::clone(hash),
            password: password.to_vec(),
            in_vain,
        })
    }

    /// The first slow hash.
    fn slow_hash(&self) -> Option<&Arc<SlowHash>> {
        self.users.iter().find_map(|user| match &user.password {
            Kept::Slow(slow) => Some(slow),
            Kept::Sha256(_) => None,
        })
    }

    /// Finds the user with this name and password, if it is known that it is right.
    #[must_use]
    pub fn authenticate(&self, user: &[u8], password: &[u8]) -> Option<UserId> {
        match self.judge(user, password) {
            Judged::Right(id) => Some(id),
            Judged::Wrong | Judged::Unknown(_) => None,
        }
    }

    /// Takes over what is known of passwords that are the same as before.
    #[must_use]
    pub fn knowing(mut self, before: &Self) -> Self {
        for user in &mut self.users {
            let old = before.users.iter().find(|old| old.name == user.name);
            if let Some(old) = old {
                user.password = user.password.or_known(&old.password);
            }
        }
        self
    }

    /// Decides whether a user may run a command.
    ///
    /// `row` is the command's row, `sub` that of its subcommand; both are none for an unknown
    /// command. Commands with `no_auth` (`HELLO`, `AUTH`, `QUIT`, `RESET`) are always allowed.
    ///
    /// # Errors
    ///
    /// Says why not, in Redis' words.
    #[inline]
    pub fn check(
        &self,
        user: Option<UserId>,
        row: Option<&Row>,
        name: &[u8],
        sub: Option<&Row>,
        args: Args<'_>,
    ) -> Result<(), Denied> {
        if self.is_unrestricted() {
            return Ok(());
        }
        self.check_rules(user, row, name, sub, args)
    }

    fn check_rules(
        &self,
        user: Option<UserId>,
        row: Option<&Row>,
        name: &[u8],
        sub: Option<&Row>,
        args: Args<'_>,
    ) -> Result<(), Denied> {
        if row.is_some_and(|row| row.flags.contains(Flags::NO_AUTH)) {
            return Ok(());
        }
        // Nothing is known of a subcommand that the container does not list; those of ours are refused
        // where they are answered.
        let strange = args.len() > 1 && row.is_some_and(Row::hides_subcommands) && sub.is_none();
        let row = sub.or(row);
        let asked = Asked {
            row: row.filter(|_| !strange),
            name,
            sub: args.get(1),
        };
        let trusted = user == Some(UserId::TRUSTED);
        let user = match user.and_then(|id| self.user(id)) {
            None if !self.is_open() && !trusted => return Err(Denied::NotAuthenticated),
            user => user,
        };
        if let (Some(user), Side::Known) = (user, self.side) {
            return match self.deny.covers(asked) {
                true => Err(denied_command(row, name)),
                false => user.check_as_redis(asked, args),
            };
        }
        let allowed = user.is_none_or(|user| user.grant.commands.allow(asked));
        if !allowed || self.deny.covers(asked) {
            return Err(denied_command(row, name));
        }
        let effects = asked.row.map_or(Effects::empty(), |row| row.effects);
        if effects.intersects(BEYOND_RULES) {
            self.check_beyond(user, effects, row, name)?;
        }
        if let Some(user) = user {
            user.grant
                .check_keys(asked.row, args)
                .map_err(Denied::Key)?;
            user.grant
                .check_channels(asked.row, args)
                .map_err(Denied::Channel)?;
        }
        Ok(())
    }

    /// What does more than its rules tell: scripts run by the rights of Respite's own login, no rule of a
    /// user's is asked in them; whoever watches what all clients send sees the keys of all.
    fn check_beyond(
        &self,
        user: Option<&User>,
        effects: Effects,
        row: Option<&Row>,
        name: &[u8],
    ) -> Result<(), Denied> {
        let some_keys = user.filter(|user| !user.grant.has_all_keys());
        if effects.contains(Effects::SHOWS_REQUESTS) {
            let named = some_keys.is_none_or(|user| user.grant.commands.name("monitor"));
            return named.then_some(()).ok_or_else(|| denied_command(row, name));
        }
        let all_commands =
            self.deny.is_empty() && user.is_none_or(|user| user.grant.commands.allow_all());
        if !all_commands && !self.trusts_scripts {
            let name = user.map_or("default", |user| &user.name);
            return Err(Denied::Scripts(name.into()));
        }
        // A library that others call would touch their keys for this user. Those who run scripts themselves
        // are refused for their keys.
        if effects.contains(Effects::CHANGES_SCRIPTS) && some_keys.is_some() {
            return Err(denied_command(row, name));
        }
        Ok(())
    }

    /// Tells whether a user may see the value of a key.
    #[must_use]
    pub fn may_read(&self, user: Option<UserId>, key: &[u8]) -> bool {
        self.may(user, key, Permission::READ)
    }

    /// Tells whether a user may do this with a key.
    fn may(&self, user: Option<UserId>, key: &[u8], needed: Permission) -> bool {
        self.is_open()
            || user == Some(UserId::TRUSTED)
            || user
                .and_then(|id| self.user(id))
                .is_some_and(|user| user.grant.keys.allow(key, needed))
    }

    /// Tells whether a user has the rights of `@admin`, whatever single commands he may run.
    #[must_use]
    pub fn is_admin(&self, user: Option<UserId>) -> bool {
        let asked = Asked {
            row: Some(&ADMINISTRATION),
            name: b"",
            sub: None,
        };
        let allowed = self.is_open()
            || user == Some(UserId::TRUSTED)
            || user
                .and_then(|id| self.user(id))
                .is_some_and(|user| user.grant.commands.allow(asked));
        allowed && !self.deny.covers(asked)
    }

    /// Tells whether a user may do less than he, or nobody, might by an earlier list. One who is new may.
    #[must_use]
    pub fn narrows(&self, before: &Self, user: Option<UserId>) -> bool {
        let Some(user) = user.and_then(|id| self.user(id)) else {
            let closes = before.is_open() && !self.is_open();
            return closes || !before.deny.covers_all_of(&self.deny);
        };
        let Some(old) = before.users.iter().find(|old| old.name == user.name) else {
            return true;
        };
        let as_wide = user.grant.keys.cover(&old.grant.keys)
            && user.grant.channels.cover(&old.grant.channels)
            && (user.grant.commands.allow_all() || user.grant.commands == old.grant.commands);
        !as_wide || !before.deny.covers_all_of(&self.deny)
    }

    /// Gives what a family has to know of a user's rights.
    #[must_use]
    pub fn rights(self: &Arc<Self>, user: Option<UserId>) -> Rights {
        if self.is_unrestricted() {
            return Rights::Everything;
        }
        Rights::Of(Arc::new(UserRights {
            list: Arc::clone(self),
            user,
        }))
    }

    /// Gives the name of a user, empty for a user of another list.
    #[must_use]
    pub fn user_name(&self, id: UserId) -> &str {
        self.user(id).map_or("", |user| &user.name)
    }

    /// Finds a user by name, for a session that outlives a reload.
    #[must_use]
    pub fn user_by_name(&self, name: &[u8]) -> Option<UserId> {
        let at = self
            .users
            .iter()
            .position(|user| user.name.as_bytes() == name)?;
        u32::try_from(at).ok().map(|at| self.id_at(at))
    }

    pub(super) fn id_at(&self, at: u32) -> UserId {
        UserId {
            list: self.number,
            at,
        }
    }

    /// Whom a login with this name is for, as far as failures are counted.
    #[must_use]
    pub fn whom(&self, name: &[u8]) -> Whom {
        let user = self.user_by_name(name).and_then(|id| self.user(id));
        user.map_or(Whom::Unknown, |user| Whom::User(user.name.as_str().into()))
    }

    fn user(&self, id: UserId) -> Option<&User> {
        self.users
            .get(id.at as usize)
            .filter(|_| id.list == self.number)
    }
}

/// Shows names only.
impl std::fmt::Debug for AccessList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let users: Vec<&str> = self.users.iter().map(|user| &*user.name).collect();
        f.debug_struct("AccessList")
            .field("deny", &self.deny)
            .field("users", &users)
            .finish()
    }
}

/// Prints the name as Redis does: the row's, so in lower case and with the subcommand.
pub fn denied_command(row: Option<&Row>, name: &[u8]) -> Denied {
    let name = match row {
        Some(row) => row.name.clone(),
        None => {
            let name = String::from_utf8_lossy(&name[..name.len().min(NAME_SHOWN_MAX)]);
            name.replace(|one: char| one.is_control(), " ").into()
        }
    };
    Denied::Command(name)
}

#[cfg(test)]
mod tests;
