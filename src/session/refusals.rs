//! What is noted of what clients are refused. Does not refuse.

use super::client_line::LineFormat;
use super::settings::Settings;
use super::state::ConnState;
use crate::access::{DeniedPlace, DeniedReason, Refusal};

/// Notes why and what is refused to a user, whose request begins with these bytes.
pub(super) fn note(
    state: &ConnState,
    settings: &Settings,
    (in_multi, request): (bool, &[u8]),
    (reason, object, user): (DeniedReason, &[u8], &[u8]),
) {
    // It is the one at hand that is shown; it is noted with the others of its packet later.
    state.entry.update(|facts| facts.set_request(request));
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
        (in_multi, command),
        (DeniedReason::Auth, command, user),
    );
}
