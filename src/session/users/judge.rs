//! Has logins judged by the backing, on connections of Respite's own, which are nobody's afterwards.
//!
//! Logins from one address are judged one after the other, each counted before the next: of many guesses at once no
//! more are judged than of guesses one by one.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::access::Attempt;
use crate::tasks::{self, Kind};
use crate::upstream::{Asker, Backing, Sent};

/// So many connections judge at the same time.
const CONNECTIONS: usize = 4;
/// So many logins may wait for each.
const MOST_WAITING: usize = 256;
/// How long one may take.
const LIMIT: Duration = Duration::from_secs(5);

/// What became of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// The backing takes it.
    Right,
    /// The backing's error; whether it is one that counts, and has been counted.
    Wrong { text: String, counted: bool },
    /// Too many have failed meanwhile: it is not judged, and has to wait for its turn.
    Slowed,
    /// The backing could not be asked: what the client is told.
    Failed(String),
}

struct Job {
    words: Vec<Vec<u8>>,
    attempt: Attempt,
    tell: oneshot::Sender<Judgement>,
}

/// Those who judge.
pub(super) struct Judge {
    queues: Vec<mpsc::Sender<Job>>,
}

impl Judge {
    pub(super) fn start(backing: &Arc<Backing>, runtime: &Handle) -> Self {
        let queues = (0..CONNECTIONS).map(|_| {
            let (queue, jobs) = mpsc::channel(MOST_WAITING);
            let (backing, jobs) = (Arc::clone(backing), Arc::new(Mutex::new(jobs)));
            let work = move || work(Arc::clone(&backing), Arc::clone(&jobs));
            runtime.spawn(tasks::keep(Kind::Backing, work));
            queue
        });
        Judge {
            queues: queues.collect(),
        }
    }

    /// Has a login judged; none when too many wait.
    pub(super) fn judge(
        &self,
        words: Vec<Vec<u8>>,
        attempt: Attempt,
    ) -> Option<oneshot::Receiver<Judgement>> {
        let mut hasher = DefaultHasher::new();
        attempt.peer.hash(&mut hasher);
        let at = usize::try_from(hasher.finish() % self.queues.len() as u64).unwrap_or(0);
        let (tell, judged) = oneshot::channel();
        let job = Job {
            words,
            attempt,
            tell,
        };
        self.queues[at].try_send(job).ok().map(|()| judged)
    }
}

/// Ends when nobody can log in any more.
async fn work(backing: Arc<Backing>, jobs: Arc<Mutex<mpsc::Receiver<Job>>>) {
    let mut asker = Asker::new(backing, "respite-login");
    // Nobody else ever has it: a lock for who comes after one that panicked.
    let mut jobs = jobs.lock().await;
    while let Some(job) = jobs.recv().await {
        // Whoever hangs up learns nothing, and is no work.
        if !job.tell.is_closed() {
            let judgement = judge(&mut asker, &job).await;
            let _ = job.tell.send(judgement); // hung up meanwhile
        }
    }
}

async fn judge(asker: &mut Asker, job: &Job) -> Judgement {
    let Attempt {
        logins,
        peer,
        whom,
        has_turn,
        counts,
    } = &job.attempt;
    if !has_turn && logins.is_slowed(*peer, whom) {
        return Judgement::Slowed;
    }
    let words: Vec<&[u8]> = job.words.iter().map(Vec::as_slice).collect();
    // Logged out again at once, so that the connection is nobody's.
    let replies = match asker.ask(&[&words, &[b"RESET"]], LIMIT).await {
        Ok(replies) => replies,
        Err(error) => return Judgement::Failed(error.client_text(Sent::No)),
    };
    let said = replies.first().map_or(&b""[..], Vec::as_slice);
    if said.starts_with(b"+") {
        return Judgement::Right;
    }
    let text = said.strip_prefix(b"-").unwrap_or(b"ERR no reply to AUTH");
    let text = String::from_utf8_lossy(text).trim_end().to_owned();
    let counted = *counts && text.starts_with("WRONGPASS ");
    if counted {
        logins.failed(*peer, whom);
    }
    Judgement::Wrong { text, counted }
}
