//! A password that cannot be printed by accident.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::fmt;

/// A password. Prints and serializes as `***`; only [`expose`](Self::expose) shows it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

/// What is shown in the place of a secret.
pub(super) const MASK: &str = "***";

impl Secret {
    /// Wraps a password.
    pub fn new(password: impl Into<String>) -> Self {
        Self(password.into())
    }

    /// Returns the password itself, to be sent and not to be logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.0.is_empty() { "" } else { MASK })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Serde's own type error would repeat the value: `password = 1234` must not reach a log.
        match toml::Value::deserialize(deserializer)? {
            toml::Value::String(password) => Ok(Self(password)),
            _ => Err(de::Error::custom("must be a string")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_expose_shows_it() {
        let secret = Secret::new("hush");
        assert_eq!(format!("{secret} {secret:?} {secret:#?}"), "*** *** ***");
        assert_eq!(secret.expose(), "hush");
    }
}
