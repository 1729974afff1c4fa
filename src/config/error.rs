//! What can be wrong with a configuration, one [`Problem`] each, collected in a [`ConfigError`].

use std::{fmt, path::PathBuf};

/// A configuration that was refused, with everything that was found wrong with it.
///
/// Displays as one line per problem. No password is ever part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    problems: Vec<Problem>,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The file cannot be read.
    #[error("cannot read {}: {reason}", file.display())]
    Unreadable {
        /// The file that was asked for.
        file: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// The file is not TOML.
    #[error("{}:{line}:{column}: {message}", file.display())]
    Syntax {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column in characters, from 1.
        column: usize,
        /// What the TOML parser expected, on one line.
        message: String,
    },
    /// A key that does not exist.
    #[error("unknown key \"{key}\"{}", hint(suggestion.as_deref()))]
    UnknownKey {
        /// The full dotted name.
        key: String,
        /// A known key that looks like it.
        suggestion: Option<String>,
    },
    /// An environment variable `RESPITE_…` that names no key.
    #[error("unknown environment variable \"{name}\"{}", hint(suggestion.as_deref()))]
    UnknownVariable {
        /// The variable's name.
        name: String,
        /// The variable of a known key that looks like it.
        suggestion: Option<String>,
    },
    /// A value that is of the wrong type or impossible.
    #[error("{key}: {reason}")]
    Invalid {
        /// The full dotted name of the key.
        key: String,
        /// What the value must be. It repeats no secret.
        reason: String,
    },
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

// === impl ConfigError ===

impl ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

// === impl Problems ===

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(super) fn invalid(&mut self, key: impl Into<String>, reason: impl Into<String>) {
        self.push(Problem::Invalid {
            key: key.into(),
            reason: reason.into(),
        });
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Gives `value` back if there are no problems.
    pub(super) fn into_result<T>(self, value: T) -> Result<T, ConfigError> {
        if self.0.is_empty() {
            Ok(value)
        } else {
            Err(ConfigError { problems: self.0 })
        }
    }
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!(" (did you mean \"{known}\"?)"))
}
