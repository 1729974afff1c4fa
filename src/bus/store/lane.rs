//! A thread's orders for a bus: while the backing works on some, the next ones gather here.

use parking_lot::Mutex;

use super::order::Order;

/// The most orders that are sent together.
const MOST_ORDERS: usize = 256;
/// The most bytes, one order apart.
const MOST_BYTES: usize = 8 * 1024 * 1024;
/// The most calls that they may bring.
pub(in crate::bus) const MOST_CALLS: usize = 2000;

/// Orders of one thread for one bus.
#[derive(Debug, Default)]
pub(in crate::bus) struct Lane {
    queue: Mutex<Queue>,
}

#[derive(Debug, Default)]
struct Queue {
    orders: Vec<Order>,
    /// Whether somebody works it off.
    working: bool,
}

impl Lane {
    /// Adds an order; true when somebody has to begin working.
    pub(in crate::bus) fn push(&self, order: Order) -> bool {
        let mut queue = self.queue.lock();
        queue.orders.push(order);
        !std::mem::replace(&mut queue.working, true)
    }

    /// Takes the next batch; none when there is nothing left to do.
    pub(in crate::bus) fn batch(&self) -> Option<Vec<Order>> {
        let mut queue = self.queue.lock();
        queue.orders.retain(|order| !order.is_void());
        let (mut bytes, mut calls) = (0, 0);
        let first = queue.orders.iter().take(MOST_ORDERS);
        let fitting = first.take_while(|order| {
            bytes += order.operation.size();
            calls += order.calls();
            bytes < MOST_BYTES && calls < MOST_CALLS
        });
        // One order goes, however large it is.
        let count = fitting.count().max(1).min(queue.orders.len());
        if count == 0 {
            queue.working = false;
            return None;
        }
        Some(queue.orders.drain(..count).collect())
    }

    /// Nobody works it off any more: the next order begins anew.
    pub(in crate::bus) fn break_off(&self) {
        self.queue.lock().working = false;
    }
}
