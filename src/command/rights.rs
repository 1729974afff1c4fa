//! What a caller may see and do of Respite's own, as far as a family has to ask.
//!
//! Whether the command may be run, and whether its key is allowed, the session has asked before.

use std::fmt;
use std::sync::Arc;

/// Judges by the rules of one user.
pub trait Judge: Send + Sync {
    /// Whether the user may read this key, and see its name.
    fn may_use(&self, key: &[u8]) -> bool;

    /// Whether the user may read and write this key.
    fn may_change(&self, key: &[u8]) -> bool;

    /// Whether the user may read and write every key.
    fn may_use_all(&self) -> bool;

    /// Whether the user has the rights of `@admin`.
    fn is_admin(&self) -> bool;
}

/// The rights of a caller.
#[derive(Clone)]
pub enum Rights {
    /// No rule restricts the caller.
    Everything,
    /// Rules do.
    Of(Arc<dyn Judge>),
}

impl Rights {
    /// Tells whether the caller may read this key, and see its name.
    #[must_use]
    pub fn may_use(&self, key: &[u8]) -> bool {
        match self {
            Rights::Everything => true,
            Rights::Of(judge) => judge.may_use(key),
        }
    }

    /// Tells whether the caller may read and write this key.
    #[must_use]
    pub fn may_change(&self, key: &[u8]) -> bool {
        match self {
            Rights::Everything => true,
            Rights::Of(judge) => judge.may_change(key),
        }
    }

    /// Tells whether the caller may read and write every key: else what names keys of others is not for him.
    #[must_use]
    pub fn may_use_all(&self) -> bool {
        match self {
            Rights::Everything => true,
            Rights::Of(judge) => judge.may_use_all(),
        }
    }

    /// Tells whether the caller has the rights of `@admin`.
    #[must_use]
    pub fn is_admin(&self) -> bool {
        match self {
            Rights::Everything => true,
            Rights::Of(judge) => judge.is_admin(),
        }
    }

    /// Tells whether rules restrict the caller, so that names have to be looked at.
    #[must_use]
    pub fn are_restricted(&self) -> bool {
        matches!(self, Rights::Of(_))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rights::Everything => "Everything",
            Rights::Of(_) => "Of",
        })
    }
}
