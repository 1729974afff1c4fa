//! What is noted of what clients are refused. Does not refuse.

use super::client_line::LineFormat;
use super::settings::Settings;
use super::state::ConnState;
use crate::access::{DeniedPlace, DeniedReason, Refusal};

/// Notes why and what is refused to a user.
pub(super) fn note(
    state: &ConnState,
    settings: &Settings,
    in_multi: bool,
    (reason, object, user): (DeniedReason, &[u8], &[u8]),
) {
    let refusal = Refusal {
        reason,
        place: match in_multi {
            true => DeniedPlace::Multi,
            false => DeniedPlace::TopLevel,
        },
        object,
        user,
    };
    let client = LineFormat::of(settings).line(&state.entry);
    settings.denials.note(refusal, client);
}

/// Notes that a login was wrong.
pub(super) fn note_login(
    state: &ConnState,
    settings: &Settings,
    in_multi: bool,
    (command, user): (&[u8], &[u8]),
) {
    note(
        state,
        settings,
        in_multi,
        (DeniedReason::Auth, command, user),
    );
}
