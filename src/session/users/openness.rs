//! Whether the backing takes commands of those who have not logged in: `default` is on and needs no password.

use std::task::Waker;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::upstream::{Asker, Sent};

/// What was found out is good for so long.
const MOST_AGE: Duration = Duration::from_secs(1);
/// How long the answer may take.
const LIMIT: Duration = Duration::from_secs(5);

/// Whether it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Open {
    Yes,
    No,
    /// It is being asked.
    Asked,
    /// It cannot be asked: what the client is told.
    Unknown(String),
}

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Openness {
    state: Mutex<State>,
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    known: Option<(Instant, Result<bool, String>)>,
    waiting: Vec<Waker>,
}

impl Openness {
    /// Waits until somebody has to know.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Tells; `waker` is woken when there is more to tell.
    pub(super) fn ask(&self, waker: &Waker) -> Open {
        let mut state = self.state.lock();
        match &state.known {
            Some((asked, known)) if asked.elapsed() < MOST_AGE => {
                return match known {
                    Ok(true) => Open::Yes,
                    Ok(false) => Open::No,
                    Err(text) => Open::Unknown(text.clone()),
                };
            }
            _ => {}
        }
        if !state.waiting.iter().any(|one| one.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        self.wanted.notify_one();
        Open::Asked
    }

    pub(super) fn may_be_open(&self) -> bool {
        let state = self.state.lock();
        !matches!(state.known, Some((_, Ok(false))))
    }

    pub(super) fn is_known_open(&self) -> bool {
        matches!(self.state.lock().known, Some((_, Ok(true))))
    }

    /// Asks on a connection that is not logged in.
    pub(super) async fn look(&self, asker: &mut Asker) {
        let asked = Instant::now();
        let said = asker.ask(&[&[b"RESET"], &[b"PING"]], LIMIT).await;
        let known = match said {
            Ok(replies) => {
                // Any other answer, a refusal by rules too, is one to somebody who is let in.
                let ping = replies.get(1).map_or(&b"-NOAUTH"[..], Vec::as_slice);
                Ok(!ping.starts_with(b"-NOAUTH"))
            }
            Err(error) => Err(error.client_text(Sent::No)),
        };
        // A failure is known from when it is found out: it may have taken longer than it is good for.
        let since = if known.is_ok() { asked } else { Instant::now() };
        let mut state = self.state.lock();
        state.known = Some((since, known));
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }
}
