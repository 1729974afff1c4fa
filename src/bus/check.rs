//! Checks: a direct call must know that its method is still what this Respite takes it for. The backing is asked
//! once for all calls of a thread that come while it was being asked for those before.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bus::Bus;
use super::lane::Lane;
use super::store::Failure;

/// The calls of one thread that wait for a check.
#[derive(Debug, Default)]
pub(super) struct Checks(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<Result<Arc<str>, Failure>>>,
    /// Whether somebody works it off.
    working: bool,
}

impl Bus {
    /// The state of the registry at a moment after this was asked.
    pub(super) async fn check(self: &Arc<Self>) -> Result<Arc<str>, Failure> {
        let lane = self.lane();
        let (tx, answer) = oneshot::channel();
        let begin = {
            let mut queue = lane.checks.0.lock();
            queue.waiting.push(tx);
            !std::mem::replace(&mut queue.working, true)
        };
        if begin {
            tokio::spawn(work(Arc::clone(self), lane));
        }
        answer
            .await
            .unwrap_or_else(|_| Err(Failure("ERR the bus was not asked".to_owned())))
    }
}

/// Asks once for all who came meanwhile, until nobody waits.
async fn work(bus: Arc<Bus>, lane: Arc<Lane>) {
    let mut working = Working {
        checks: &lane.checks,
        over: false,
    };
    loop {
        let waiting = {
            let mut queue = lane.checks.0.lock();
            if queue.waiting.is_empty() {
                queue.working = false;
                break;
            }
            std::mem::take(&mut queue.waiting)
        };
        let stamp = bus.stamp().await.map(Arc::<str>::from);
        for tx in waiting {
            // Who has gone need not know.
            let _ = tx.send(stamp.clone());
        }
    }
    working.over = true;
}

/// Lets the next check begin anew if the work breaks off.
struct Working<'a> {
    checks: &'a Checks,
    over: bool,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.checks.0.lock();
            queue.working = false;
            queue.waiting.clear();
        }
    }
}
