//! Orders on their way: sent together as one script, and their answers handed out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::bus::Bus;
use super::error::BusError;
use super::fetch::{Delivered, Delivery, Slot};
use super::id::method_of;
use super::method::Registry;
use super::outcome::{Outcome, Work};
use super::store::{
    Answer, CallAnswer, CallStatus, Done, Exchanged, FetchAnswer, FromAnswer, Granted, Lane,
    MOST_CALLS, NewCall, Operation, Order, Task, Term, Wanted, Words,
};
use crate::random;
use crate::tasks::{self, Kind as TaskKind};

/// The most orders that wait for the backing to come back.
const MOST_LATER: usize = 100_000;
/// How many calls whose time has come the upkeep looks at in one go.
pub(super) const DUE_UPKEEP: usize = 500;

/// Sends what has gathered until nothing is left.
pub(super) async fn work(bus: Arc<Bus>, lane: Arc<Lane>) {
    let mut working = Working {
        lane: &lane,
        over: false,
    };
    while let Some(orders) = lane.batch() {
        exchange(&bus, orders, 0).await;
    }
    // The queue was empty under its lock, and somebody else may work by now.
    working.over = true;
}

/// Lets the next order begin anew if the work breaks off.
struct Working<'a> {
    lane: &'a Lane,
    over: bool,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.lane.break_off();
        }
    }
}

/// Sends orders and hands their answers out. Returns when the next call is due, in milliseconds, if it is
/// known.
pub(super) async fn exchange(bus: &Arc<Bus>, mut orders: Vec<Order>, due: usize) -> Option<u64> {
    {
        let mut taken = bus.taken.lock();
        let most = taken.len().min(MOST_CALLS / 2);
        orders.extend(taken.drain(..most));
    }
    attach_fetches(bus, &mut orders);
    orders.sort_by_key(|order| order.operation.rank());
    let registry = bus.registry();
    let seen = bus.parked.lock().news();
    // What the fetches behind each want of the same method: one read brings the calls for all of them.
    let mut wanted: HashMap<String, usize> = HashMap::new();
    for order in orders.iter_mut().rev() {
        if let Done::Slot(slot, news) = &mut order.done {
            *news = seen;
            let mut ahead = 0;
            if let ([method], false) = (slot.patterns.as_slice(), slot.globs) {
                let wanted = wanted.entry(method.clone()).or_default();
                ahead = *wanted;
                *wanted += slot.count;
            }
            let methods = methods_of(bus, slot, &registry);
            order.operation = Operation::Fetch(wanted_by(bus, slot, ahead, methods));
        }
    }
    match send(bus, &orders, &registry.stamp, due).await {
        Ok(exchanged) => take_up(bus, orders, exchanged),
        Err(failure) => {
            // It may be another Redis, or an empty one, that answers next.
            bus.touched.forget(Instant::now());
            bus.let_go();
            for order in orders {
                fail(bus, order, &failure);
            }
            None
        }
    }
}

/// Has the backing execute what was ordered.
async fn send(bus: &Bus, orders: &[Order], stamp: &str, due: usize) -> Result<Exchanged, BusError> {
    let operations = || orders.iter().map(|order| &order.operation);
    let mut words = Words::new();
    operations().for_each(|operation| operation.encode(&mut words));
    let ttl = bus.touched.alive_ms().to_string();
    let due = due.to_string();
    let mut args: Vec<&[u8]> = vec![ttl.as_bytes(), stamp.as_bytes(), due.as_bytes()];
    args.extend(words.iter().map(|word| &**word));
    let answer = bus.run(Task::Exchange, &args).await?;
    Ok(Exchanged::decode(answer, operations(), stamp))
}

/// Lets waiting fetches have the new calls of this batch at once.
fn attach_fetches(bus: &Arc<Bus>, orders: &mut Vec<Order>) {
    let mut calls: HashMap<&str, usize> = HashMap::new();
    for order in orders.iter() {
        if let Operation::Call(call) = &order.operation {
            *calls.entry(&call.method).or_default() += 1;
        }
    }
    if calls.is_empty() {
        return;
    }
    let mut parked = bus.parked.lock();
    let mut slots = Vec::new();
    for (method, count) in calls {
        slots.extend(parked.take(method, count));
    }
    drop(parked);
    orders.extend(slots.into_iter().map(Order::fetch));
}

/// What a fetch looks for. Not for what comes after a call that waits for it here.
fn methods_of(bus: &Bus, slot: &Slot, registry: &Registry) -> Arc<Vec<String>> {
    let first = bus.direct.lock().first_wanted(&slot.patterns);
    let own = usize::from(!slot.yields.swap(false, Ordering::Relaxed));
    let limit = first
        .map(|first| first + own)
        .filter(|limit| (1..slot.patterns.len()).contains(limit));
    slot.limited.store(limit.is_some(), Ordering::Relaxed);
    match limit {
        Some(limit) => Arc::new(registry.matching(&slot.patterns[..limit])),
        None => slot.methods(registry),
    }
}

fn wanted_by(bus: &Bus, slot: &Slot, ahead: usize, methods: Arc<Vec<String>>) -> Wanted {
    Wanted {
        worker: slot.worker.clone(),
        patterns: bus.touched.touch(&slot.worker, &slot.patterns),
        token: random::word(),
        count: slot.count,
        globs: slot.globs,
        ahead,
        methods,
    }
}

/// Hands out what came back.
fn take_up(bus: &Arc<Bus>, orders: Vec<Order>, mut exchanged: Exchanged) -> Option<u64> {
    if let Some(workers) = exchanged.workers.take() {
        bus.set_workers(workers);
    }
    if let Some(others) = exchanged.others {
        bus.note_others(others);
    }
    let answers = std::mem::take(&mut exchanged.answers);
    for (order, answer) in orders.into_iter().zip(answers) {
        hand_out(bus, order, answer, &mut exchanged);
    }
    for (method, error) in &exchanged.failed {
        bus.tally(method, |tally| tally.error(error));
    }
    for id in exchanged.ended {
        if bus.waiting.lock().has(&id) {
            bus.submit(Order::look(&id));
        }
    }
    for (method, count) in exchanged.queued {
        if count > 0 {
            bus.news(&method, count);
        }
    }
    exchanged.due_ms
}

fn hand_out(bus: &Arc<Bus>, order: Order, answer: Answer, exchanged: &mut Exchanged) {
    let Order { operation, done } = order;
    match (done, answer) {
        (Done::Answer(tx), answer) => {
            replied(bus, &operation, &answer, exchanged);
            if let Err(Ok(Answer::Call(answer))) = tx.send(Ok(answer))
                && let Operation::Call(call) = &operation
            {
                give_up(bus, call, &answer);
            }
        }
        (Done::Waiting(id), Answer::Status(status)) => looked(bus, &id, status),
        (Done::Slot(slot, seen), Answer::Fetch(answer)) => {
            fetched(bus, (slot, seen), answer, exchanged);
        }
        (Done::Lease(term), Answer::Lease(granted)) => leased(bus, &term, granted),
        (Done::Parked, Answer::Ready(ready)) => {
            for (method, count) in ready {
                bus.news(&method, count);
            }
        }
        _ => {}
    }
}

/// A worker's payload goes straight to those who wait for it here: it is kept in the backing by now.
fn replied(bus: &Bus, operation: &Operation, answer: &Answer, exchanged: &mut Exchanged) {
    let (Operation::Reply { id, work, .. }, Answer::Reply(answer)) = (operation, answer) else {
        return;
    };
    if !answer.accepted {
        return;
    }
    bus.tally(method_of(id), |tally| tally.worked(answer.worked_us));
    if let Work::Done(payload) = work {
        bus.complete(id, &Outcome::Done(payload.as_slice().into()), true);
        exchanged.ended.retain(|ended| ended != id);
    }
}

fn looked(bus: &Arc<Bus>, id: &str, status: CallStatus) {
    match status {
        CallStatus::Later => bus.submit(Order::look(id)),
        CallStatus::Unknown => bus.complete(id, &Outcome::Failed(BusError::Forgotten), true),
        CallStatus::Ended { outcome, is_kept } => bus.complete(id, &outcome, !is_kept),
        CallStatus::Pending | CallStatus::Cancelled(_) | CallStatus::Unclear => {}
    }
}

/// A fetch is given its calls, or goes on waiting. `seen`: how much news there had been when it was sent.
fn fetched(
    bus: &Arc<Bus>,
    (slot, seen): (Arc<Slot>, u64),
    answer: FetchAnswer,
    exchanged: &mut Exchanged,
) {
    match answer {
        FetchAnswer::Calls(calls) => {
            take_off(&mut exchanged.queued, &calls);
            let delivery = Delivery::new(bus, calls);
            bus.note_stored(&slot);
            bus.offer_to_callers(delivery.calls());
            slot.give(Ok(delivery));
        }
        FetchAnswer::Changed => {
            let bus = Arc::clone(bus);
            let shared = Arc::clone(&bus.shared);
            shared.spawn(async move {
                match bus.reload().await {
                    Ok(_) => bus.submit(Order::fetch(slot)),
                    Err(failure) => fail(&bus, Order::fetch(slot), &failure),
                }
            });
        }
        FetchAnswer::Later => bus.submit(Order::fetch(slot)),
        FetchAnswer::Nothing => {
            if !slot.limited.load(Ordering::Relaxed) {
                bus.touched.note_quiet(&slot, exchanged.stamp.clone(), seen);
            }
            bus.park(slot, seen);
        }
    }
}

/// Nobody need be woken for calls that were queued and are fetched already.
fn take_off(queued: &mut [(String, usize)], calls: &[Delivered]) {
    for call in calls {
        let queued = queued.iter_mut().find(|(method, _)| *method == call.method);
        if let Some((_, count)) = queued {
            *count = count.saturating_sub(1);
        }
    }
}

fn leased(bus: &Arc<Bus>, term: &Term, granted: Granted) {
    if granted.stamp == bus.registry().stamp {
        bus.lease.take(term, granted);
    } else {
        bus.let_go();
        let (own, shared) = (Arc::clone(bus), Arc::clone(&bus.shared));
        // Without it the next call looks for itself.
        shared.spawn(async move { drop(own.reload().await) });
    }
}

/// The caller has gone while its call was on its way.
fn give_up(bus: &Arc<Bus>, call: &NewCall, answer: &CallAnswer) {
    if let Some(id) = answer.issued().filter(|_| !call.is_cast) {
        bus.submit_from_anywhere(vec![Order::gone(id)]);
    }
}

fn fail(bus: &Arc<Bus>, order: Order, failure: &BusError) {
    let is_repeated = matches!(
        order.operation,
        Operation::Lost { .. } | Operation::Void { .. }
    );
    match order.done {
        // Sent again until the backing is there: it does nothing when it was carried out already.
        Done::Nobody if is_repeated && failure.is_outage() => {
            let mut taken = bus.taken.lock();
            if taken.len() < MOST_LATER {
                taken.push(order);
            }
        }
        Done::Nobody | Done::Waiting(_) | Done::Parked | Done::Lease(_) => {}
        Done::Answer(tx) => drop(tx.send(Err(failure.clone()))),
        Done::Slot(slot, seen) => {
            if slot.waited.load(Ordering::Relaxed) {
                bus.park(slot, seen);
            } else {
                slot.give(Err(failure.clone()));
            }
        }
    }
}

impl Bus {
    /// Sends an order with the next ones of this thread. Needs a runtime.
    pub(super) fn submit(self: &Arc<Self>, order: Order) {
        let lane = self.lane();
        if lane.push(order) {
            let bus = Arc::clone(self);
            tokio::spawn(tasks::keep(TaskKind::Bus, move || {
                work(Arc::clone(&bus), Arc::clone(&lane))
            }));
        }
    }

    /// Has an operation executed and waits for its answer.
    pub(super) async fn ask<T: FromAnswer>(
        self: &Arc<Self>,
        operation: Operation,
    ) -> Result<T, BusError> {
        let (order, answer) = Order::asked(operation);
        self.submit(order);
        let unasked = || BusError::Interrupted("the bus was not asked");
        let answer = answer.await.unwrap_or_else(|_| Err(unasked()))?;
        T::from_answer(answer).ok_or_else(unasked)
    }

    /// As [`Bus::submit`], from where there may be no runtime, or one that is about to end.
    pub(super) fn submit_from_anywhere(self: &Arc<Self>, orders: Vec<Order>) {
        if orders.is_empty() {
            return;
        }
        let bus = Arc::clone(self);
        self.shared.spawn(async move {
            let lane = Arc::new(Lane::default());
            for order in orders {
                lane.push(order);
            }
            work(bus, lane).await;
        });
    }
}
