//! The Respite of the workers, and they, in the simulation.

use std::sync::Arc;
use std::time::Duration;

use super::super::answer::{Cancelled, answer, cancel};
use super::super::worker::FRESH;
use super::{Stored, Told, VISIBILITY, Worker, World, origin, payload_of, serving};
use crate::bus::direct::{Begun, Ended, Keep, PATIENCE, PutBack};
use crate::bus::error::BusError;
use crate::bus::fetch::{Delivered, Slot};
use crate::bus::id::{direct_id, number_of};
use crate::bus::method::Body;
use crate::bus::outcome::Outcome;
use crate::bus::peer::{Message, RemoteCall};

impl World {
    pub(super) fn serve(&mut self, message: Message) {
        self.note(&format!("the workers' Respite hears {message:?}"));
        let is_own = |id: &str| id.starts_with(&self.serving.name);
        match message {
            Message::Ask { id, .. } if !is_own(&id) => {}
            Message::Call(call) => self.accept(call),
            Message::Ask {
                id,
                age_ms,
                withdraw,
                ..
            } => {
                let Some(from) = origin(&id) else { return };
                let direct = &mut self.serving.direct;
                let (answer, handed) = answer(direct, (&id, &from), (self.now, age_ms), withdraw);
                if handed.is_some_and(|handed| self.now >= handed + PATIENCE) {
                    self.keep(number_of(&id));
                }
                self.publish(&from, answer);
            }
            Message::Cancel { id, is_late } => self.cancel(&id, is_late),
            _ => panic!("not for the Respite of the workers"),
        }
    }

    pub(super) fn accept(&mut self, call: RemoteCall) {
        let id = direct_id(&call.number, "m");
        let Some(from) = origin(&id) else { return };
        let age = Duration::from_micros(self.time_us() - call.sent_us);
        let left = Duration::from_micros(call.deadline_us.saturating_sub(self.time_us()));
        if !id.starts_with(&self.serving.name) {
            return;
        }
        if age > FRESH || left.is_zero() || self.fails(20) {
            self.serving.direct.refuse(&call.number);
            return self.publish(&from, Message::Returned { id });
        }
        let sent = self.now.checked_sub(age);
        if !self.serving.direct.is_new(&call.number, sent) {
            return;
        }
        let begun = Begun {
            at: self.now + left - Duration::from_millis(call.timeout_ms),
            timeout_ms: call.timeout_ms,
            origin: Some(from.into()),
            sent,
        };
        let offered = (&self.method, Body::read(call.body));
        self.serving.direct.queue(&call.number, offered, begun);
    }

    pub(super) fn cancel(&mut self, id: &str, is_late: bool) {
        let Some(from) = origin(id) else { return };
        if !id.starts_with(&self.serving.name) {
            return;
        }
        match cancel(&mut self.serving.direct, id) {
            Cancelled::Here { unsure, answer } => {
                self.void(unsure, id);
                if is_late {
                    self.publish(&from, answer);
                }
            }
            Cancelled::Over(Some(answer)) if is_late => self.publish(&from, answer),
            Cancelled::Over(_) => {}
            Cancelled::Stored => self.give_up_stored(id),
            Cancelled::Keeping(_) => {
                self.finish_keeping(Some(number_of(id)));
                self.cancel(id, is_late);
            }
        }
    }

    pub(super) fn void(&mut self, unsure: bool, id: &str) {
        let is_running = |stored: &Stored| stored.outcome.is_none();
        if unsure && self.stored.get(id).is_some_and(is_running) {
            self.stored.remove(id);
        }
    }

    pub(super) fn keep(&mut self, number: &str) {
        if let Keep::Begin(kept, sender) = self.serving.direct.keep(number) {
            self.serving.keeping.push((number.to_owned(), kept, sender));
        }
    }

    /// The backing answers to what it was told: that about one call, or about all.
    pub(super) fn finish_keeping(&mut self, only: Option<&str>) {
        for (number, kept, sender) in std::mem::take(&mut self.serving.keeping) {
            if only.is_some_and(|only| only != number) {
                self.serving.keeping.push((number, kept, sender));
                continue;
            }
            let id = direct_id(&number, "m");
            let (answered, arrived) = (!self.fails(6), !self.fails(2));
            if (answered || arrived) && !self.outcomes.contains_key(&id) {
                let stored = Stored {
                    token: kept.token,
                    till: self.now + VISIBILITY - kept.handed.min(VISIBILITY),
                    deadline: self.now + kept.left,
                    outcome: None,
                };
                self.stored.entry(id.clone()).or_insert(stored);
            }
            if answered {
                self.serving.direct.remove(&number);
                let from = kept.origin.expect("of another Respite");
                self.publish(&from, Message::Stored { id });
            } else {
                self.serving.direct.not_kept(&number);
            }
            drop(sender);
        }
    }

    pub(super) fn end_of_serving(&mut self) {
        self.note("the workers' Respite ends");
        // What it told the backing may have arrived.
        if self.random.bool() {
            self.finish_keeping(None);
        }
        self.incarnation += 1;
        self.ended_serving.push(self.now);
        self.serving = serving(format!("b{:015x}", self.incarnation));
        let workers = std::mem::take(&mut self.workers);
        for worker in workers {
            if let Worker::Working(number, _) = worker {
                let lost = Told::Failed("WORKERLOST".to_owned());
                self.told.insert(number, (lost, self.now));
            }
            self.workers.push(Worker::Idle);
        }
    }

    pub(super) fn let_go(&mut self) {
        for call in self.serving.direct.drain() {
            let origin = call.origin.expect("of another Respite");
            let id = direct_id(&call.number, "m");
            self.publish(&origin, Message::Returned { id });
        }
    }

    pub(super) fn work(&mut self, at: usize) {
        match std::mem::replace(&mut self.workers[at], Worker::Idle) {
            Worker::Idle => {
                let (slot, _) = Slot::new(format!("w{at}"), vec!["m".to_owned()], 1);
                // Nobody receives from it here: it is looked at while it is open.
                self.workers[at] = Worker::Fetching(slot);
            }
            Worker::Fetching(slot) => self.fetch(at, slot),
            Worker::Holding(call) => self.reply(&call),
            Worker::Working(number, deadline) => {
                let told = if deadline <= self.now {
                    Told::Failed("DEADLINE".to_owned())
                } else {
                    Told::Done
                };
                self.told.insert(number, (told, self.now));
            }
        }
    }

    pub(super) fn fetch(&mut self, at: usize, slot: Arc<Slot>) {
        if let Some(call) = self.serving.direct.take(&slot).pop() {
            if self.fails(8) {
                self.note("a fetch breaks off");
                let (id, token) = (call.id.clone(), call.token.clone());
                if let PutBack::Keeping = self.serving.direct.put_back(number_of(&id), call) {
                    self.lose(&id, &token);
                }
                return;
            }
            let number = payload_of(&call);
            assert!(
                call.deadline_ms > 0,
                "call {number} came after its deadline"
            );
            self.note(&format!("worker {at} has call {number}"));
            *self.executed.entry(number).or_default() += 1;
            self.workers[at] = Worker::Holding(call);
        } else if let Some((number, deadline)) = self.queue.pop_front() {
            self.note(&format!("worker {at} has call {number} of the backing"));
            *self.executed.entry(number).or_default() += 1;
            self.workers[at] = Worker::Working(number, deadline);
        } else {
            self.workers[at] = Worker::Fetching(slot);
        }
    }

    pub(super) fn reply(&mut self, call: &Delivered) {
        let number = payload_of(call);
        let outcome = Outcome::Done(number.to_string().into_bytes().into());
        let mut asked = false;
        loop {
            let direct = &mut self.serving.direct;
            match direct.end(number_of(&call.id), &call.token, asked) {
                Ended::Here { unsure, origin, .. } => {
                    self.accepted.insert(number, self.now);
                    let origin = origin.expect("of another Respite");
                    return self.complete(&call.id, outcome, unsure, &origin);
                }
                Ended::Keeping(_) => self.finish_keeping(Some(number_of(&call.id))),
                Ended::Unsure => {
                    asked = true;
                    self.keep(number_of(&call.id));
                    self.finish_keeping(Some(number_of(&call.id)));
                }
                Ended::TooLate => return,
                Ended::Unknown => {
                    if let Some(stored) = self.stored.get_mut(&call.id)
                        && stored.token == call.token
                        && stored.outcome.is_none()
                    {
                        stored.outcome = Some(outcome);
                        self.accepted.insert(number, self.now);
                    }
                    return;
                }
            }
        }
    }

    pub(super) fn complete(&mut self, id: &str, outcome: Outcome, unsure: bool, origin: &str) {
        if unsure {
            return self.store_outcome(id.to_owned(), outcome, origin);
        }
        self.serving.direct.note_outcome(number_of(id), &outcome);
        let id = id.to_owned();
        self.publish(origin, Message::Outcome { id, outcome });
    }

    /// The backing gets the outcome of a call, which it may have heard of.
    pub(super) fn store_outcome(&mut self, id: String, outcome: Outcome, origin: &str) {
        self.void(true, &id);
        if !self.stored.contains_key(&id) {
            self.outcomes.entry(id.clone()).or_insert(outcome);
        }
        self.serving.direct.note_stored(number_of(&id));
        self.publish(origin, Message::Stored { id });
    }

    pub(super) fn lose(&mut self, id: &str, token: &str) {
        let lost = Outcome::Failed(BusError::told("WORKERLOST"));
        match self.serving.direct.end(number_of(id), token, true) {
            Ended::Here { unsure, origin, .. } => {
                self.complete(id, lost, unsure, &origin.expect("of another Respite"));
            }
            Ended::Keeping(_) => {
                self.finish_keeping(Some(number_of(id)));
                self.lose(id, token);
            }
            Ended::TooLate | Ended::Unsure => {}
            Ended::Unknown => {
                if let Some(stored) = self.stored.get_mut(id)
                    && stored.outcome.is_none()
                {
                    stored.outcome = Some(lost);
                }
            }
        }
    }

    pub(super) fn end_of_worker(&mut self, at: usize) {
        self.note(&format!("worker {at} ends"));
        match std::mem::replace(&mut self.workers[at], Worker::Idle) {
            Worker::Holding(call) => self.lose(&call.id, &call.token),
            Worker::Working(number, _) => {
                let lost = Told::Failed("WORKERLOST".to_owned());
                self.told.insert(number, (lost, self.now));
            }
            Worker::Idle | Worker::Fetching(_) => {}
        }
    }
}
