//! Orders on their way: sent together as one script, and their answers handed out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use redis::Value;

use super::bus::{Bus, Worker};
use super::error::BusError;
use super::id::method_of;
use super::lane::{Lane, MOST_CALLS};
use super::lease::Granted;
use super::order::{Done, Kind, Order, letter, outcome};
use super::outcome::Outcome;
use super::registry::Registry;
use super::slot::{Delivered, Delivery, Slot};
use super::store::{Task, bytes, list, next, number, text};
use super::touched::read_patterns;
use crate::random;
use crate::tasks::{self, Kind as TaskKind};

/// The most orders that wait for the backing to come back.
const MOST_LATER: usize = 100_000;
/// How many calls whose time has come the upkeep looks at in one go.
pub(super) const DUE_UPKEEP: usize = 500;

/// What came back for a batch besides its answers.
struct News {
    ended: Vec<String>,
    failed: Vec<(String, String)>,
    queued: Vec<(String, usize)>,
    /// The registry that they were sent with.
    stamp: String,
}

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
    orders.sort_by_key(|order| order.kind);
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
            order.words = fetch_words(bus, slot, ahead, &methods_of(bus, slot, &registry));
        }
    }
    let ttl = bus.touched.alive_ms().to_string();
    let due = due.to_string();
    let mut args: Vec<&[u8]> = vec![ttl.as_bytes(), registry.stamp.as_bytes(), due.as_bytes()];
    args.extend(
        orders
            .iter()
            .flat_map(|order| order.words.iter().map(Vec::as_slice)),
    );
    match bus.run(Task::Exchange, &args).await {
        Ok(answer) => read(bus, orders, answer, registry.stamp.clone()),
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

/// Lets waiting fetches have the new calls of this batch at once.
fn attach_fetches(bus: &Arc<Bus>, orders: &mut Vec<Order>) {
    let mut calls: HashMap<&[u8], usize> = HashMap::new();
    for order in orders.iter().filter(|order| order.kind == Kind::Call) {
        if let Some(method) = order.words.get(2) {
            *calls.entry(method).or_default() += 1;
        }
    }
    if calls.is_empty() {
        return;
    }
    let mut parked = bus.parked.lock();
    let mut slots = Vec::new();
    for (method, count) in calls {
        if let Ok(method) = std::str::from_utf8(method) {
            slots.extend(parked.take(method, count));
        }
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

fn fetch_words(bus: &Bus, slot: &Slot, ahead: usize, methods: &[String]) -> Vec<Vec<u8>> {
    let token = random::word();
    let mut words = vec![
        b"F".to_vec(),
        slot.worker.as_bytes().to_vec(),
        bus.touched.touch(&slot.worker, &slot.patterns),
        token.into_bytes(),
        slot.count.to_string().into_bytes(),
        if slot.globs {
            b"1".to_vec()
        } else {
            b"0".to_vec()
        },
        ahead.to_string().into_bytes(),
        methods.len().to_string().into_bytes(),
    ];
    words.extend(methods.iter().map(|method| method.as_bytes().to_vec()));
    words
}

fn read(bus: &Arc<Bus>, orders: Vec<Order>, answer: Value, stamp: String) -> Option<u64> {
    let mut parts = list(answer).into_iter();
    let answers = list(next(&mut parts));
    let mut news = News {
        ended: list(next(&mut parts)).into_iter().map(text).collect(),
        failed: pairs(next(&mut parts))
            .map(|(a, b)| (text(a), text(b)))
            .collect(),
        queued: pairs(next(&mut parts))
            .map(|(a, b)| (text(a), usize::try_from(number(&b)).unwrap_or(0)))
            .collect(),
        stamp,
    };
    let workers = list(next(&mut parts));
    if !workers.is_empty() {
        bus.set_workers(
            pairs(Value::Array(workers))
                .map(|(a, b)| worker(a, b))
                .collect(),
        );
    } else if answers.iter().any(|answer| letter(answer) == Some(b'W')) {
        bus.set_workers(Vec::new());
    }
    let due = number(&next(&mut parts));
    if let others @ Value::Int(_) = next(&mut parts) {
        bus.note_others(number(&others));
    }
    for (order, answer) in orders.into_iter().zip(answers) {
        hand_out(bus, order, answer, &mut news);
    }
    for (method, error) in &news.failed {
        bus.tally(method, |tally| tally.error(error));
    }
    for id in news.ended {
        if bus.waiting.lock().has(&id) {
            bus.submit(Order::look(&id));
        }
    }
    for (method, count) in news.queued {
        if count > 0 {
            bus.news(&method, count);
        }
    }
    u64::try_from(due).ok()
}

fn hand_out(bus: &Arc<Bus>, order: Order, answer: Value, news: &mut News) {
    match order.done {
        Done::Nobody => {}
        // Enough was told for once.
        Done::Waiting(id) if letter(&answer) == Some(b'A') => bus.submit(Order::look(&id)),
        Done::Waiting(id) => looked(bus, &id, answer),
        Done::Answer(tx) => {
            if order.kind == Kind::Reply {
                replied(bus, &order.words, &answer, news);
            }
            if let Err(Ok(answer)) = tx.send(Ok(answer))
                && order.kind == Kind::Call
            {
                give_up(bus, &order.words, &answer);
            }
        }
        Done::Slot(slot, seen) => match letter(&answer) {
            Some(b'D') => {
                let mut words = list(answer).into_iter();
                next(&mut words);
                let calls = Delivered::read_all(next(&mut words));
                let delivery = Delivery::new(bus, calls);
                bus.note_stored(&slot);
                bus.offer_to_callers(delivery.calls());
                for call in delivery.calls() {
                    let queued = news
                        .queued
                        .iter_mut()
                        .find(|(method, _)| *method == call.method);
                    if let Some((_, count)) = queued {
                        *count = count.saturating_sub(1);
                    }
                }
                slot.give(Ok(delivery));
            }
            Some(b'G') => {
                let bus = Arc::clone(bus);
                let shared = Arc::clone(&bus.shared);
                shared.spawn(async move {
                    match bus.reload().await {
                        Ok(_) => bus.submit(Order::fetch(slot)),
                        Err(failure) => fail(&bus, Order::fetch(slot), &failure),
                    }
                });
            }
            // Enough was delivered for once; there may be more.
            Some(b'A') => bus.submit(Order::fetch(slot)),
            answer => {
                if answer == Some(b'N') && !slot.limited.load(Ordering::Relaxed) {
                    bus.touched.note_quiet(&slot, news.stamp.clone(), seen);
                }
                bus.park(slot, seen);
            }
        },
        Done::Lease(term) => {
            let granted = Granted::read(answer);
            if granted.stamp == bus.registry().stamp {
                bus.lease.take(&term, granted);
            } else {
                bus.let_go();
                let (own, shared) = (Arc::clone(bus), Arc::clone(&bus.shared));
                // Without it the next call looks for itself.
                shared.spawn(async move { drop(own.reload().await) });
            }
        }
        Done::Parked => {
            for (method, count) in pairs(answer) {
                bus.news(&text(method), usize::try_from(number(&count)).unwrap_or(0));
            }
        }
    }
}

/// A worker's payload goes straight to those who wait for it here: it is kept in the backing by now.
fn replied(bus: &Bus, words: &[Vec<u8>], answer: &Value, news: &mut News) {
    let Value::Array(answer) = answer else { return };
    let ([Value::Int(1), worked], [_, id, _, kind, payload, ..]) = (answer.as_slice(), words)
    else {
        return;
    };
    let Ok(id) = std::str::from_utf8(id) else {
        return;
    };
    bus.tally(method_of(id), |tally| tally.worked(number(worked)));
    if kind.as_slice() == b"d" {
        bus.complete(id, &Outcome::Done(payload.as_slice().into()), true);
        news.ended.retain(|ended| ended != id);
    }
}

fn looked(bus: &Bus, id: &str, answer: Value) {
    let letter = letter(&answer);
    let outcome = match letter {
        Some(b'n') => Some(Outcome::Failed(BusError::Forgotten)),
        _ => outcome(answer),
    };
    if let Some(outcome) = outcome {
        bus.complete(id, &outcome, letter != Some(b'x'));
    }
}

/// The caller has gone while its call was on its way.
fn give_up(bus: &Arc<Bus>, words: &[Vec<u8>], answer: &Value) {
    if let Some(id) = issued_as(words, answer) {
        bus.submit_from_anywhere(vec![Order::gone(&id)]);
    }
}

/// The id under which a `BUS.CALL` waits now; none for a cast, or when it does not wait.
pub(super) fn issued_as(words: &[Vec<u8>], answer: &Value) -> Option<String> {
    let is_cast = words.get(5).is_some_and(|kept| kept == b"1");
    let Value::Array(parts) = answer else {
        return None;
    };
    match letter(answer) {
        Some(b'Q' | b'J') if !is_cast => parts.get(1).cloned().map(text),
        _ => None,
    }
}

fn fail(bus: &Arc<Bus>, order: Order, failure: &BusError) {
    match order.done {
        // Sent again until the backing is there: it does nothing when it was carried out already.
        Done::Nobody if matches!(order.kind, Kind::Lost | Kind::Void) && failure.is_outage() => {
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

fn worker(name: Value, patterns: Value) -> Worker {
    Worker {
        name: text(name),
        patterns: read_patterns(&bytes(patterns)),
    }
}

fn pairs(flat: Value) -> impl Iterator<Item = (Value, Value)> {
    let mut words = list(flat).into_iter();
    std::iter::from_fn(move || Some((words.next()?, words.next().unwrap_or(Value::Nil))))
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

    /// Sends an order and waits for its answer.
    pub(super) async fn ask(
        self: &Arc<Self>,
        kind: Kind,
        words: Vec<Vec<u8>>,
    ) -> Result<Value, BusError> {
        let (order, answer) = Order::asked(kind, words);
        self.submit(order);
        let unasked = || Err(BusError::Interrupted("the bus was not asked"));
        answer.await.unwrap_or_else(|_| unasked())
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
