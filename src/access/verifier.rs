//! Works out slow hashes, a few at once, on threads of their own: no worker waits for one.
//!
//! Who may guess how often is judged here too, hash by hash: of many guesses that come at once, those beyond the free
//! ones are sent back to wait for their turns.

use std::net::IpAddr;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::logins::{Logins, Whom};
use super::password::SlowHash;
use crate::tasks::{self, Kind};

/// So many logins may wait for their hashes. At some thirty a second and thread the last waits for half a minute.
const MOST_WAITING: usize = 1024;
/// The most threads: each takes the memory of a hash.
const MOST_THREADS: usize = 4;

/// A login that is not judged yet.
pub struct Unjudged {
    pub(super) hash: Arc<SlowHash>,
    pub(super) password: Vec<u8>,
    /// There is no such user, or the password was found wrong: the hash only takes as long.
    pub(super) in_vain: bool,
}

/// What became of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The password is right: the list knows it now.
    Right,
    /// It is wrong, and counted.
    Wrong,
    /// Too many have failed meanwhile: it is not judged, and has to wait for its turn.
    Slowed,
}

/// Who tries to log in.
pub struct Attempt {
    /// Where failures are counted.
    pub logins: Arc<Logins>,
    /// From where.
    pub peer: Option<IpAddr>,
    /// As whom.
    pub whom: Whom,
    /// It has waited for its turn, or need not.
    pub has_turn: bool,
    /// Whether a failure counts.
    pub counts: bool,
}

struct Job {
    login: Unjudged,
    attempt: Attempt,
    verdict: oneshot::Sender<Verdict>,
}

/// The threads, which begin with the first login.
#[derive(Default)]
pub struct Verifier {
    jobs: OnceLock<SyncSender<Job>>,
}

impl Verifier {
    /// Has a login judged; none when too many wait.
    pub fn verify(&self, login: Unjudged, attempt: Attempt) -> Option<oneshot::Receiver<Verdict>> {
        let (verdict, judged) = oneshot::channel();
        let jobs = self.jobs.get_or_init(start);
        let job = Job {
            login,
            attempt,
            verdict,
        };
        match jobs.try_send(job) {
            Ok(()) => Some(judged),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }
}

fn start() -> SyncSender<Job> {
    let (jobs, waiting) = sync_channel(MOST_WAITING);
    let waiting = Arc::new(Mutex::new(waiting));
    let cores = thread::available_parallelism().map_or(1, usize::from);
    for _ in 0..(cores / 2).clamp(1, MOST_THREADS) {
        let waiting = Arc::clone(&waiting);
        let started = thread::Builder::new()
            .name("passwords".to_owned())
            .spawn(move || work(&waiting));
        if let Err(error) = started {
            tracing::error!("cannot start a thread for passwords: {error}");
        }
    }
    jobs
}

/// Ends when nobody can log in any more.
fn work(waiting: &Mutex<Receiver<Job>>) {
    loop {
        let job = waiting.lock().recv();
        let Ok(job) = job else { return };
        // Whoever hangs up learns nothing, and is no work.
        if !job.verdict.is_closed() {
            // Without a verdict the login has failed.
            if let Some(verdict) = tasks::run(Kind::Passwords, || judge(&job.login, &job.attempt)) {
                let _ = job.verdict.send(verdict); // hung up meanwhile
            }
        }
    }
}

fn judge(login: &Unjudged, attempt: &Attempt) -> Verdict {
    let Attempt {
        logins,
        peer,
        whom,
        has_turn,
        counts,
    } = attempt;
    if !has_turn && logins.is_slowed(*peer, whom) {
        return Verdict::Slowed;
    }
    if login.hash.verify(&login.password) && !login.in_vain {
        return Verdict::Right;
    }
    if *counts {
        logins.failed(*peer, whom);
    }
    Verdict::Wrong
}

/// Shows neither passwords nor hashes.
impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}
