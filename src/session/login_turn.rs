//! What a login waits for before it is judged.

use std::pin::Pin;

use tokio::sync::oneshot;
use tokio::time::Sleep;

use super::users::Judgement;
use crate::access::{Place, Verdict};

/// Too many wait to be judged.
pub(super) const CROWDED: &str = "ERR too many logins have failed from this address, and too many wait: try \
    again later";
/// Too many passwords are being verified.
pub(super) const CROWDED_HASHES: &str = "ERR too many logins wait to be judged: try again later";

/// How far a login has come.
#[derive(Debug, Default)]
pub(super) enum LoginTurn {
    /// There is none, or it is judged.
    #[default]
    None,
    /// Too many from its address have failed: it waits for its turn.
    Waits {
        sleep: Pin<Box<Sleep>>,
        _place: Place,
    },
    /// It may be judged now; whether it has waited for that.
    Due { has_turn: bool },
    /// Its password is being verified.
    Verified(oneshot::Receiver<Verdict>),
    /// Its password is wrong, which was counted.
    Failed,
    /// The backing is asked about it.
    Asked(oneshot::Receiver<Judgement>),
    /// The backing has judged.
    Judged(Judgement),
}

impl LoginTurn {
    /// Whether the client waits to be told.
    pub(super) fn is_waiting(&self) -> bool {
        matches!(
            self,
            Self::Waits { .. } | Self::Verified(_) | Self::Asked(_)
        )
    }
}
