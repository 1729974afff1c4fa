//! Taking the lease for direct calls that find none: the backing is asked once for all calls of a thread that come while
//! it was being asked for those before.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::bus::Bus;
use super::lane::Lane;
use super::order::{Kind, Order, words};
use super::store::{Failure, text};

/// The calls of one thread that wait for a check.
#[derive(Debug, Default)]
pub(super) struct Asks(Mutex<Queue>);

#[derive(Debug, Default)]
struct Queue {
    waiting: Vec<oneshot::Sender<Result<Arc<str>, Failure>>>,
    /// Whether somebody works it off.
    working: bool,
}

impl Bus {
    /// Takes the lease on the registry; gives its state.
    pub(super) async fn take_lease(self: &Arc<Self>) -> Result<Arc<str>, Failure> {
        let lane = self.lane();
        let (tx, answer) = oneshot::channel();
        let begin = {
            let mut queue = lane.asks.0.lock();
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
        asks: &lane.asks,
        over: false,
    };
    loop {
        let waiting = {
            let mut queue = lane.asks.0.lock();
            if queue.waiting.is_empty() {
                queue.working = false;
                break;
            }
            std::mem::take(&mut queue.waiting)
        };
        let stamp = ask(&bus).await;
        for tx in waiting {
            // Who has gone need not know.
            let _ = tx.send(stamp.clone());
        }
    }
    working.over = true;
}

async fn ask(bus: &Arc<Bus>) -> Result<Arc<str>, Failure> {
    let term = bus.lease.ask();
    let (order, answer) = Order::asked(Kind::Lease, words(&["H"]));
    bus.submit(order);
    let answer = answer
        .await
        .unwrap_or_else(|_| Err(Failure("ERR the bus was not asked".to_owned())))?;
    let stamp = text(answer);
    bus.lease.take(&term, stamp.clone());
    Ok(stamp.into())
}

/// Lets the next check begin anew if the work breaks off.
struct Working<'a> {
    asks: &'a Asks,
    over: bool,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if !self.over {
            let mut queue = self.asks.0.lock();
            queue.working = false;
            queue.waiting.clear();
        }
    }
}
