//! `[access]`: who may do what. Names of commands and categories are judged where they are known.

use super::{
    error::Problems,
    raw,
    secret::{MASK, Secret},
};
use std::{collections::HashSet, fmt, str::FromStr};

/// The most bytes of a pattern, as elsewhere: real ones have tens.
pub(super) const MOST_PATTERN: usize = 64 * 1024;
/// The refusal of a longer one.
pub(super) const LONG_PATTERN: &str = "a pattern may have at most 65536 bytes";

/// The rules for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Without users, clients from other hosts are refused unless their address was bound explicitly.
    pub protected_mode: bool,
    /// The commands that nobody may run, as they were written.
    pub deny: Vec<String>,
    /// Whether scripts may run what their callers may not.
    pub scripts: bool,
    /// Who the users are.
    pub users_of: UsersOf,
    /// The users, each name once; none means that no password is asked for, unless they are the backing's.
    pub users: Vec<UserConfig>,
}

/// Who says who the users are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsersOf {
    /// The configuration.
    Respite,
    /// The backing Redis: they are its ACL users.
    Backing,
}

/// One user. Never prints the password's hash.
#[derive(Clone, PartialEq, Eq)]
pub struct UserConfig {
    /// The name to log in with.
    pub name: String,
    /// The password, hashed.
    pub password: UserPassword,
    /// The command categories and single commands, as they were written.
    pub commands: Vec<String>,
    /// The patterns of the keys that the user may touch, as they were written.
    pub keys: Vec<String>,
    /// The patterns of the channels that the user may publish and subscribe to.
    pub channels: Vec<String>,
}

/// The password of a user, hashed.
#[derive(Clone, PartialEq, Eq)]
pub enum UserPassword {
    /// Its SHA-256.
    Sha256([u8; 32]),
    /// A salted hash, as it was written: judged where it is known.
    Hash(Secret),
}

impl Access {
    pub(super) fn validate(raw: raw::Access, problems: &mut Problems) -> Self {
        words("access.deny", &raw.deny, problems);
        let mut names = HashSet::new();
        let mut users = Vec::with_capacity(raw.users.len());
        for (index, user) in raw.users.into_iter().enumerate() {
            let key = |field| format!("access.users[{index}].{field}");
            if user.name.is_empty() {
                problems.invalid(key("name"), "must not be empty");
            } else if !names.insert(user.name.clone()) {
                problems.invalid(
                    key("name"),
                    format!("there is another user \"{}\"", user.name),
                );
            }
            words(&key("commands"), &user.commands, problems);
            patterns(&key("keys"), &user.keys, problems);
            patterns(&key("channels"), &user.channels, problems);
            let password = match (&*user.password_sha256, user.password_hash.expose()) {
                (plain, "") => sha256(plain).map(UserPassword::Sha256),
                ("", _) => Some(UserPassword::Hash(user.password_hash)),
                _ => {
                    let twice = "must not be given with password_sha256";
                    problems.invalid(key("password_hash"), twice);
                    Some(UserPassword::Sha256([0; 32]))
                }
            };
            let password = password.unwrap_or_else(|| {
                problems.invalid(
                    key("password_sha256"),
                    "must be given as 64 hexadecimal digits",
                );
                UserPassword::Sha256([0; 32])
            });
            users.push(UserConfig {
                name: user.name,
                password,
                commands: user.commands,
                keys: user.keys,
                channels: user.channels,
            });
        }
        let users_of = raw.users_of.parse().unwrap_or_else(|reason: &str| {
            problems.invalid("access.users_of", reason);
            UsersOf::Respite
        });
        if users_of == UsersOf::Backing && !users.is_empty() {
            problems.invalid(
                "access.users_of",
                "\"backing\" must not be given with access.users: the users are those of one side",
            );
        }
        Self {
            protected_mode: raw.protected_mode,
            deny: raw.deny,
            scripts: raw.scripts,
            users_of,
            users,
        }
    }
}

impl fmt::Display for UsersOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Respite => "respite",
            Self::Backing => "backing",
        })
    }
}

impl FromStr for UsersOf {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "respite" => Ok(Self::Respite),
            "backing" => Ok(Self::Backing),
            _ => Err("must be \"respite\" or \"backing\""),
        }
    }
}

impl fmt::Debug for UserConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserConfig")
            .field("name", &self.name)
            .field("password", &format_args!("{MASK}"))
            .field("commands", &self.commands)
            .field("keys", &self.keys)
            .field("channels", &self.channels)
            .finish()
    }
}

/// Refuses what can never match a command: an empty entry, or one with a space in it.
fn words(key: &str, words: &[String], problems: &mut Problems) {
    for (index, word) in words.iter().enumerate() {
        if word.trim().is_empty() {
            problems.invalid(format!("{key}[{index}]"), "must not be empty");
        } else if word.contains(char::is_whitespace) {
            problems.invalid(format!("{key}[{index}]"), "must not contain a space");
        }
    }
}

fn patterns(key: &str, patterns: &[String], problems: &mut Problems) {
    for (index, text) in patterns.iter().enumerate() {
        if text.len() > MOST_PATTERN {
            problems.invalid(format!("{key}[{index}]"), LONG_PATTERN);
        }
        if text.is_empty() {
            problems.invalid(format!("{key}[{index}]"), "must not be empty");
        }
    }
}

fn sha256(hex: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::{LONG_PATTERN, MOST_PATTERN, UserPassword, UsersOf};
    use crate::config::testing::{HASH, file, problems};

    #[test]
    fn a_user_may_everything_unless_it_is_said() {
        let text = format!(
            "[[access.users]]\nname = \"a\"\npassword_sha256 = \"{HASH}\"\n\
             [[access.users]]\nname = \"b\"\npassword_sha256 = \"{}\"\n\
             commands = [\"@read\", \"+set\"]\nkeys = [\"app:*\"]",
            HASH.to_uppercase(),
        );
        let access = file(&text).expect("valid").access;
        let [a, b] = access.users.as_slice() else {
            panic!("{access:?}")
        };
        assert_eq!((a.name.as_str(), b.name.as_str()), ("a", "b"));
        let UserPassword::Sha256(hash) = &a.password else {
            panic!("{a:?}")
        };
        assert_eq!(hash[..3], [0x5e, 0x88, 0x48]);
        assert!(a.password == b.password);
        assert_eq!(
            (&a.commands[..], &a.keys[..]),
            (&["@all".to_owned()][..], &["*".to_owned()][..])
        );
        assert_eq!(b.commands, ["@read", "+set"]);
        assert_eq!(b.keys, ["app:*"]);
        assert_eq!(
            (&a.channels[..], &b.channels[..]),
            (&["*".to_owned()][..], &["*".to_owned()][..])
        );
    }

    #[test]
    fn a_user_has_one_password() {
        let hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$aGFzaA";
        let text = format!("[[access.users]]\nname = \"a\"\npassword_hash = \"{hash}\"");
        let config = file(&text).expect("valid");
        assert!(
            matches!(&config.access.users[0].password, UserPassword::Hash(one) if one.expose() == hash)
        );
        let shown = format!("{config:?}{}", config.to_toml());
        assert!(!shown.contains("argon2id"), "{shown}");
        let both = format!("{text}\npassword_sha256 = \"{HASH}\"");
        assert_eq!(
            problems(&both),
            ["access.users[0].password_hash: must not be given with password_sha256"]
        );
    }

    #[test]
    fn impossible_users_are_refused() {
        let text = format!(
            "[[access.users]]\nname = \"a\"\npassword_sha256 = \"{HASH}\"\ncommands = [\"@all\", \"\"]\n\
             [[access.users]]\nname = \"a\"\npassword_sha256 = \"{HASH}\"\nkeys = [\"\"]\n\
             [[access.users]]\npassword_sha256 = \"hunter2\"\n\
             [[access.users]]\nname = \"d\"\n\
             [[access.users]]\nname = \"e\"\npassword_sha256 = \"{}\"",
            "é".repeat(32),
        );
        assert_eq!(
            problems(&text),
            [
                "access.users[0].commands[1]: must not be empty",
                "access.users[1].name: there is another user \"a\"",
                "access.users[1].keys[0]: must not be empty",
                "access.users[2].name: must not be empty",
                "access.users[2].password_sha256: must be given as 64 hexadecimal digits",
                "access.users[3].password_sha256: must be given as 64 hexadecimal digits",
                "access.users[4].password_sha256: must be given as 64 hexadecimal digits",
            ]
        );
    }

    #[test]
    fn long_patterns_are_refused_wherever_there_are_some() {
        let long = "x".repeat(MOST_PATTERN + 1);
        let text = format!(
            "[cache]\ninclude = [\"{long}\"]\nexclude = [\"{long}\"]\n\
             [[access.users]]\nname = \"a\"\npassword_sha256 = \"{HASH}\"\nkeys = [\"{long}\"]\n\
             channels = [\"{long}\"]",
        );
        let mut said = problems(&text);
        said.sort();
        let keys = [
            "access.users[0].channels[0]",
            "access.users[0].keys[0]",
            "cache.exclude",
            "cache.include",
        ];
        assert_eq!(said, keys.map(|key| format!("{key}: {LONG_PATTERN}")));
    }

    #[test]
    fn users_are_of_one_side() {
        let backing = "upstream = \"redis://h\"\n[access]\nusers_of = \"backing\"\n";
        let config = file(backing).expect("valid");
        assert_eq!(config.access.users_of, UsersOf::Backing);
        assert_eq!(
            problems("upstream = \"redis://h\"\n[access]\nusers_of = \"redis\""),
            ["access.users_of: must be \"respite\" or \"backing\""]
        );
        assert_eq!(
            problems("[access]\nusers_of = \"backing\""),
            [
                "access.users_of: \"backing\" needs an upstream of yours: clients may not change the users of the embedded Redis"
            ]
        );
        let both = format!("{backing}[[access.users]]\nname = \"a\"\npassword_sha256 = \"{HASH}\"");
        assert_eq!(
            problems(&both),
            [
                "access.users_of: \"backing\" must not be given with access.users: the users are those of one side"
            ]
        );
        let respite = file("upstream = \"redis://h\"").expect("valid");
        assert_eq!(
            respite.changes_needing_restart(&config),
            ["access.users_of"]
        );
    }

    #[test]
    fn a_denied_command_is_one_word() {
        assert_eq!(
            problems("[access]\ndeny = [\"keys\", \" \", \"config set\"]"),
            [
                "access.deny[1]: must not be empty",
                "access.deny[2]: must not contain a space"
            ]
        );
    }
}
