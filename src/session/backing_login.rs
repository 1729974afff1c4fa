//! Logins that the backing judges: they wait for their turn as all do, then for what it says.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::login_turn::{CROWDED, CROWDED_HASHES, LoginTurn};
use super::refusals;
use super::settings::Settings;
use super::state::ConnState;
use super::users::{BackingUsers, Judgement};
use crate::access::{Attempt, Turn, Whom};

const NO_ANSWER: &str = "UPSTREAM the login was not judged: try again";

/// Whom failures count for.
fn whom(users: &BackingUsers, user: &[u8]) -> Whom {
    match users.knows(user) {
        true => Whom::User(String::from_utf8_lossy(user).into()),
        false => Whom::Unknown,
    }
}

/// Whether the backing has judged a login, `words` being its arguments behind `AUTH`.
///
/// # Errors
/// When too many wait.
pub(super) fn poll_judged(
    state: &mut ConnState,
    users: &BackingUsers,
    (user, words): (&[u8], &[&[u8]]),
    settings: &Settings,
    cx: &mut Context<'_>,
) -> Poll<Result<(), &'static str>> {
    let (peer, whom) = (state.peer(), whom(users, user));
    loop {
        state.login_turn = match std::mem::take(&mut state.login_turn) {
            LoginTurn::None => {
                let has_turn = settings.logins.is_slowed(peer, &whom);
                match settings.logins.turn(peer, &whom) {
                    Turn::Now => LoginTurn::Due { has_turn },
                    Turn::Never => return Poll::Ready(Err(CROWDED)),
                    Turn::At(at, place) => LoginTurn::Waits {
                        sleep: Box::pin(tokio::time::sleep_until(at.into())),
                        _place: place,
                    },
                }
            }
            LoginTurn::Waits { mut sleep, _place } => match sleep.as_mut().poll(cx) {
                Poll::Ready(()) => LoginTurn::Due { has_turn: true },
                Poll::Pending => {
                    state.login_turn = LoginTurn::Waits { sleep, _place };
                    return Poll::Pending;
                }
            },
            LoginTurn::Due { has_turn } => {
                let attempt = Attempt {
                    logins: Arc::clone(&settings.logins),
                    peer,
                    whom: whom.clone(),
                    has_turn,
                    counts: true,
                };
                let whole = [&[&b"AUTH"[..]], words].concat();
                let whole = whole.iter().map(|word| word.to_vec()).collect();
                match users.judge(whole, attempt) {
                    Some(asked) => LoginTurn::Asked(asked),
                    None => return Poll::Ready(Err(CROWDED_HASHES)),
                }
            }
            LoginTurn::Asked(asked) => {
                state.login_turn = LoginTurn::Asked(asked);
                let LoginTurn::Asked(asked) = &mut state.login_turn else {
                    continue;
                };
                match ready!(Pin::new(asked).poll(cx)) {
                    Ok(Judgement::Slowed) => LoginTurn::None,
                    Ok(judgement) => LoginTurn::Judged(judgement),
                    Err(_) => LoginTurn::Judged(Judgement::Failed(NO_ANSWER.to_owned())),
                }
            }
            judged => {
                state.login_turn = judged;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

/// Makes the client who the backing says that it is.
///
/// # Errors
/// What the backing says.
pub(super) fn log_in(
    state: &mut ConnState,
    users: &BackingUsers,
    command: &[u8],
    (user, password): (&[u8], &[u8]),
    settings: &Settings,
) -> Result<(), String> {
    match std::mem::take(&mut state.login_turn) {
        LoginTurn::Judged(Judgement::Right) => {
            settings.logins.succeeded(state.peer(), &whom(users, user));
            state.set_account(users.log_in(user, password));
            Ok(())
        }
        LoginTurn::Judged(Judgement::Wrong { text, counted }) => {
            if counted {
                refusals::note_login(state, settings, false, (command, user));
            }
            Err(text)
        }
        LoginTurn::Judged(Judgement::Failed(text)) => Err(text),
        _ => Err(NO_ANSWER.to_owned()),
    }
}
