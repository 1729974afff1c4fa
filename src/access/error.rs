//! What can be wrong with rules, and why a command is refused.

use std::fmt;

/// A rule that cannot be understood.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AccessError {
    /// A category that Redis does not know.
    #[error("{place}: unknown command category in the rule '{rule}'")]
    UnknownCategory {
        /// Where the rule stands: `deny` or `user 'name'`.
        place: String,
        /// The rule as written.
        rule: String,
    },
    /// A rule that is neither a category nor the name of a command.
    #[error("{place}: '{rule}' is not a command rule")]
    InvalidRule {
        /// Where the rule stands.
        place: String,
        /// The rule as written.
        rule: String,
    },
    /// A pattern over keys that does not say what it allows, or a rule of another kind in a pattern's place.
    #[error("{place}: {reason}")]
    Pattern {
        /// Where it stands: `user 'name'`.
        place: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A hash of a password that cannot be used.
    #[error("{place}: {reason}")]
    PasswordHash {
        /// Where it stands: `user 'name'`.
        place: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two users with the same name.
    #[error("user '{0}' is defined twice")]
    DuplicateUser(String),
    /// A user without a name.
    #[error("a user has an empty name")]
    EmptyUserName,
}

/// Why a command is refused. Displays as the error that the client gets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Denied {
    /// Nobody is logged in and there are users.
    NotAuthenticated,
    /// The command is not allowed: its name as Redis prints it.
    Command(Box<str>),
    /// A parameter of `CONFIG SET` that is Respite's own affair.
    Parameter(Box<str>),
    /// The user is restricted, and scripts are not: the user's name.
    Scripts(Box<str>),
    /// One of the keys is not allowed: its position among the arguments; or the keys cannot be known.
    Key(Option<usize>),
    /// One of the channels is not allowed: its position; or the channels cannot be known.
    Channel(Option<usize>),
}

impl std::error::Error for Denied {}

impl Denied {
    /// The error in the words of a server of this version, for a user whom it knows.
    #[must_use]
    pub fn in_words_of(&self, version: (u32, u32), user: &str) -> String {
        match self {
            Self::Command(name) if version < (7, 0) => {
                let name = name.split('|').next().unwrap_or_default();
                format!(
                    "NOPERM this user has no permissions to run the '{name}' command or its subcommand"
                )
            }
            Self::Command(name) if version >= (7, 2) => {
                format!("NOPERM User {user} has no permissions to run the '{name}' command")
            }
            Self::Key(_) if version >= (7, 2) => "NOPERM No permissions to access a key".to_owned(),
            Self::Channel(_) if version >= (7, 2) => {
                "NOPERM No permissions to access a channel".to_owned()
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Texts of redis-server 7.0.15, `rejectCommand` and `addACLLogEntry`'s callers.
        match self {
            Self::NotAuthenticated => f.write_str("NOAUTH Authentication required."),
            Self::Command(name) => {
                write!(
                    f,
                    "NOPERM this user has no permissions to run the '{name}' command"
                )
            }
            // Redis' text for what `enable-protected-configs` protects.
            Self::Parameter(name) => {
                write!(
                    f,
                    "ERR CONFIG SET failed (possibly related to argument '{name}') - \
                     can't set protected config"
                )
            }
            Self::Scripts(user) => {
                write!(
                    f,
                    "NOPERM scripts can run commands that user '{user}' may not: [access] scripts"
                )
            }
            Self::Key(_) => f.write_str(
                "NOPERM this user has no permissions to access one of the keys used as arguments",
            ),
            Self::Channel(_) => f.write_str(
                "NOPERM this user has no permissions to access one of the channels used as arguments",
            ),
        }
    }
}
