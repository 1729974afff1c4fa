//! The Respite of the callers, in the simulation.

use std::time::Duration;

use super::{Call, Found, Told, VISIBILITY, World};
use crate::bus::direct::PATIENCE;
use crate::bus::id::{direct_id, number_of};
use crate::bus::method::Body;
use crate::bus::outcome::Outcome;
use crate::bus::peer::{Due, Message, RemoteCall, Watch};

impl World {
    pub(super) fn call(&mut self) {
        let number = self.next;
        self.next += 1;
        let peer = self.serving.name.clone();
        let id = direct_id(&format!("{peer}-{}-{number:x}", self.caller), "m");
        let timeout = Duration::from_millis(self.random.u64(200..8000));
        let deadline = self.now + timeout;
        let call = Call {
            number,
            began: self.now,
            peer: peer.clone(),
            watch: Watch::new(self.now, deadline, VISIBILITY),
            heard: None,
            stored: false,
            next: self.now + PATIENCE,
            late: None,
        };
        self.calls.insert(id.clone(), call);
        let sent_us = self.time_us();
        let message = Message::Call(RemoteCall {
            number: number_of(&id).to_owned(),
            method: "m".to_owned(),
            stamp: "1".to_owned(),
            sent_us,
            deadline_us: sent_us + u64::try_from(timeout.as_micros()).expect("short"),
            timeout_ms: u64::try_from(timeout.as_millis()).expect("short"),
            body: Body::new(&[], &[], number.to_string().as_bytes()).into_bytes(),
        });
        self.publish(&peer, message);
    }

    pub(super) fn tell(&mut self, id: &str, told: Told) {
        if let Some(call) = self.calls.remove(id) {
            let silent = self.now.duration_since(call.heard.unwrap_or(call.began));
            if silent >= VISIBILITY {
                self.silent.insert(call.number);
            }
            self.note(&format!("call {} was told {told:?}", call.number));
            self.told.insert(call.number, (told, self.now));
        }
    }

    pub(super) fn tell_outcome(&mut self, id: &str, outcome: &Outcome) {
        let Some(call) = self.calls.get(id) else {
            return;
        };
        let told = match outcome {
            Outcome::Done(payload) => {
                assert_eq!(&payload[..], call.number.to_string().as_bytes());
                Told::Done
            }
            Outcome::Failed(error) => Told::Failed(error.to_string()),
        };
        self.tell(id, told);
    }

    /// The call goes through the backing.
    pub(super) fn begin_anew(&mut self, id: &str) {
        let Some(call) = self.calls.remove(id) else {
            return;
        };
        self.note(&format!("call {} begins anew", call.number));
        if call.late.is_some() {
            let late = Told::Failed("DEADLINE".to_owned());
            self.told.insert(call.number, (late, self.now));
            return;
        }
        self.queue.push_back((call.number, call.watch.deadline()));
    }

    pub(super) fn hear(&mut self, message: Message) {
        self.note(&format!("the callers' Respite hears {message:?}"));
        match message {
            Message::Outcome { id, outcome } => self.tell_outcome(&id, &outcome),
            Message::Returned { id } => self.begin_anew(&id),
            Message::Lost { id } => self.tell(&id, Told::Failed("WORKERLOST".to_owned())),
            Message::Held { id } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.heard = Some(self.now);
                }
            }
            Message::Stored { id } => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.stored = true;
                    call.next = self.now;
                }
            }
            _ => panic!("not for the Respite of the callers"),
        }
    }

    pub(super) fn watch(&mut self) {
        let due: Vec<String> = self
            .calls
            .iter()
            .filter(|(_, call)| call.next <= self.now || call.watch.deadline() <= self.now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            self.watch_one(&id);
        }
    }

    pub(super) fn watch_one(&mut self, id: &str) {
        let (now, found) = (self.now, self.look(id));
        // Whether a worker waits here, which wants the call back.
        let wanted = self.random.u32(..4) == 0;
        let Some(call) = self.calls.get_mut(id) else {
            return;
        };
        call.next = now + Duration::from_millis(100);
        if call.stored {
            match found {
                Found::Outcome(outcome) => return self.tell_outcome(id, &outcome),
                Found::Pending if call.watch.deadline() <= now => {
                    self.give_up_stored(id);
                    return self.tell(id, Told::Failed("DEADLINE".to_owned()));
                }
                Found::Pending => return,
                Found::Nothing => panic!("{id} is stored and the backing does not know it"),
            }
        }
        if let Some(late) = call.late {
            if now >= late + Duration::from_secs(1) {
                self.tell(id, Told::Failed("DEADLINE".to_owned()));
            }
            return;
        }
        let peer = call.peer.clone();
        let due = call.watch.due(now, call.heard, wanted);
        match due {
            Due::Nothing => {}
            Due::Late => {
                call.late = Some(now);
                let (id, is_late) = (id.to_owned(), true);
                self.publish(&peer, Message::Cancel { id, is_late });
            }
            Due::Look | Due::Lost | Due::Ask => {
                if due != Due::Ask {
                    match found {
                        Found::Outcome(outcome) => return self.tell_outcome(id, &outcome),
                        Found::Pending => {
                            call.stored = true;
                            return;
                        }
                        Found::Nothing => {}
                    }
                }
                if due == Due::Lost {
                    return self.tell(id, Told::Failed("WORKERLOST".to_owned()));
                }
                let question = call.watch.ask(now, id.to_owned(), false);
                self.publish(&peer, question);
            }
        }
    }

    /// A caller goes.
    pub(super) fn leave(&mut self) {
        let ids: Vec<&String> = self.calls.keys().collect();
        if ids.is_empty() {
            return;
        }
        let id = ids[self.random.usize(..ids.len())].clone();
        let call = &self.calls[&id];
        let (peer, is_stored) = (call.peer.clone(), call.stored);
        self.tell(&id, Told::Nothing);
        if is_stored {
            self.give_up_stored(&id);
        } else {
            let is_late = false;
            self.publish(&peer, Message::Cancel { id, is_late });
        }
    }

    pub(super) fn end_of_callers(&mut self) {
        self.note("the callers' Respite ends");
        for id in self.calls.keys().cloned().collect::<Vec<_>>() {
            self.tell(&id, Told::Nothing);
        }
        self.incarnation += 1;
        self.caller = format!("a{:015x}", self.incarnation);
        self.inbox.clear();
        self.hears = true;
    }
}
