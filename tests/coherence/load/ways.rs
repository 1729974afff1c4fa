//! How a writer writes: one function per family of [`Op`]s.

use std::time::Duration;

use super::super::conn::command;
use super::super::history::{Content, Place, SlotId};
use super::super::world::SWAPPED_DBS;
use super::kinds::Kind;
use super::ops::{Effect, Op, Plan, something, write_string};
use super::writer::{Known, Outcome, Writer};
use crate::support::Reply;

impl Writer {
    /// Writes in this way, with what must come before it.
    pub(super) fn write(&mut self, place: Place, slot: SlotId, op: Op) {
        let key = self.world.slot(slot).name.clone();
        let kind = self.world.slot(slot).kind;
        match op {
            // Of two lives, one of the key and one of its fields, nobody here knows which ends first.
            Op::Expire if kind == Kind::Hash && self.load.field_lives => {
                return self.write_typed(place, slot, kind, Op::SetPx);
            }
            Op::Del | Op::Unlink | Op::Expire | Op::Persist | Op::Move | Op::CopyDb
                if kind != Kind::String => {}
            _ if kind != Kind::String => return self.write_typed(place, slot, kind, op),
            _ => {}
        }
        match op {
            Op::Append => {
                if self.delete(place, slot, "DEL") {
                    let (effect, value) = self.fresh(slot, None);
                    let append = command!["APPEND", key, value];
                    self.perform(place, &Plan::new("APPEND", vec![append], vec![effect]));
                }
            }
            Op::SetRange => self.set_range(place, slot),
            Op::Del => drop(self.delete(place, slot, "DEL")),
            Op::Unlink => drop(self.delete(place, slot, "UNLINK")),
            Op::GetDel => {
                let getdel = vec![command!["GETDEL", key]];
                let plan = Plan::new("GETDEL", getdel, vec![nil(slot)]).showing(slot);
                self.perform(place, &plan);
            }
            Op::SetPx | Op::SetEx => self.set_with_ttl(place, slot, op),
            Op::Expire | Op::Persist | Op::GetEx => self.change_ttl(place, slot, op),
            Op::Mset | Op::Exec => self.write_several(place, slot, op),
            Op::Restore => self.restore(place, slot),
            Op::Move => self.move_twin(place, slot),
            Op::CopyDb => self.copy_twin(place, slot),
            Op::Silent => self.write_silently(place, slot),
            Op::Blpop | Op::Blmove | Op::SortStore => self.make_list(place, slot, op),
            _ => {
                let (effect, value) = self.fresh(slot, None);
                let (how, commands) = write_string(op, &key, &self.temp(slot), &value);
                let mut plan = Plan::new(how, commands, vec![effect]);
                match op {
                    Op::GetSet => plan = plan.showing(slot),
                    Op::Copy => plan = plan.if_reply(something),
                    _ => {}
                }
                self.perform(place, &plan);
            }
        }
    }

    fn delete(&mut self, place: Place, slot: SlotId, how: &'static str) -> bool {
        let words = command![how, self.world.slot(slot).name];
        self.perform(place, &Plan::new(how, vec![words], vec![nil(slot)])) == Outcome::Done
    }

    fn set_with_ttl(&mut self, place: Place, slot: SlotId, op: Op) {
        let key = self.world.slot(slot).name.clone();
        let ttl = if op == Op::SetEx && self.random.one_in(4) {
            Duration::from_secs(1)
        } else {
            self.ttl()
        };
        let (effect, value) = self.fresh(slot, Some(ttl));
        let millis = ttl.as_millis().to_string();
        let words = match op {
            Op::SetEx if ttl.as_secs() == 1 => command!["SETEX", key, "1", value],
            Op::SetEx => command!["PSETEX", key, millis, value],
            _ => command!["SET", key, value, "PX", millis],
        };
        self.perform(place, &Plan::new("SET with ttl", vec![words], vec![effect]));
    }

    fn change_ttl(&mut self, place: Place, slot: SlotId, op: Op) {
        let key = self.world.slot(slot).name.clone();
        let known = self.known(slot);
        if !matches!(known.content, Content::Value { .. }) {
            return self.write(place, slot, Op::SetPx);
        }
        let ttl = self.ttl();
        let millis = ttl.as_millis().to_string();
        let effect = |ttl| Effect {
            slot,
            content: known.content,
            size: known.size,
            ttl,
        };
        let plan = match op {
            Op::Persist => Plan::new(
                "PERSIST",
                vec![command!["PERSIST", key]],
                vec![effect(None)],
            ),
            Op::GetEx => {
                let getex = command!["GETEX", key, "PX", millis];
                Plan::new("GETEX", vec![getex], vec![effect(Some(ttl))]).showing(slot)
            }
            _ => {
                let expire = command!["PEXPIRE", key, millis];
                Plan::new("PEXPIRE", vec![expire], vec![effect(Some(ttl))])
            }
        };
        self.perform(place, &plan.if_reply(something));
    }

    fn set_range(&mut self, place: Place, slot: SlotId) {
        let known = self.known(slot);
        if known.has_ttl || !matches!(known.content, Content::Value { .. } | Content::Nil) {
            return self.write(place, slot, Op::Set);
        }
        let key = self.world.slot(slot).name.clone();
        // the whole of the old value is covered
        let (effect, value) = self.fresh_of(slot, None, known.size as usize + 1);
        let words = command!["SETRANGE", key, "0", value];
        self.perform(place, &Plan::new("SETRANGE", vec![words], vec![effect]));
    }

    /// Several keys of one database at once.
    fn write_several(&mut self, place: Place, slot: SlotId, op: Op) {
        let beside = |id: &&SlotId| self.is_beside(slot, **id);
        let others: Vec<SlotId> = self.own.iter().filter(beside).copied().collect();
        if others.is_empty() {
            return self.write(place, slot, Op::Set);
        }
        let (mut effects, mut mset, mut sets) = (Vec::new(), command!["MSET"], Vec::new());
        let other = *self.random.pick(&others);
        for slot in [slot, other] {
            let (effect, value) = self.fresh(slot, None);
            let key = self.world.slot(slot).name.clone();
            sets.push(command!["SET", key, value]);
            mset.extend(command![key, value]);
            effects.push(effect);
        }
        let plan = if op == Op::Mset {
            Plan::new("MSET", vec![mset], effects)
        } else {
            sets.insert(0, command!["MULTI"]);
            sets.push(command!["EXEC"]);
            Plan::new("EXEC", sets, effects)
        };
        self.perform(place, &plan);
    }

    /// Whether a command may write both of these strings.
    fn is_beside(&self, slot: SlotId, other: SlotId) -> bool {
        let [this, that] = [slot, other].map(|id| self.world.slot(id));
        let together = this.db == that.db && (!self.load.cluster || this.tag == that.tag);
        together && that.kind == Kind::String && other != slot
    }

    fn restore(&mut self, place: Place, slot: SlotId) {
        let (key, temp) = (self.world.slot(slot).name.clone(), self.temp(slot));
        let (effect, value) = self.fresh(slot, None);
        let dump = [command!["SET", temp, value], command!["DUMP", temp]];
        if let Some(Reply::Bulk(payload)) = self.exchange(place, slot, &dump).pop() {
            let restore = command!["RESTORE", key, "0", payload, "REPLACE"];
            self.perform(place, &Plan::new("RESTORE", vec![restore], vec![effect]));
        }
    }

    /// Moves the value of the same key in the other database here.
    fn move_twin(&mut self, place: Place, slot: SlotId) {
        let (key, twin) = (
            self.world.slot(slot).name.clone(),
            self.world.slot(slot).twin,
        );
        let known = self.known(twin);
        let certain = known.certain && !known.has_ttl;
        if !certain || !matches!(known.content, Content::Value { .. }) {
            return self.write(place, twin, Op::Set);
        }
        if !self.delete(place, slot, "DEL") {
            return;
        }
        let here = Effect {
            slot,
            content: known.content,
            size: known.size,
            ttl: None,
        };
        let words = command!["MOVE", key, self.world.slot(slot).db.to_string()];
        let plan = Plan::new("MOVE", vec![words], vec![nil(twin), here]).if_reply(something);
        self.perform(place, &plan);
    }

    /// Copies the value of the same key in the other database here. Of two databases Redis takes the last.
    fn copy_twin(&mut self, place: Place, slot: SlotId) {
        let (key, twin) = (
            self.world.slot(slot).name.clone(),
            self.world.slot(slot).twin,
        );
        let known = self.known(twin);
        let certain = known.certain && !known.has_ttl;
        if !certain || !matches!(known.content, Content::Value { .. }) {
            return self.write(place, twin, Op::Set);
        }
        let [from, to] = [twin, slot].map(|slot| self.world.slot(slot).db.to_string());
        let words = command!["COPY", key, key, "DB", from, "REPLACE", "DB", to];
        let effect = |slot| Effect {
            slot,
            content: known.content,
            size: known.size,
            ttl: None,
        };
        // What it is copied from stays as it is.
        let effects = vec![effect(twin), effect(slot)];
        let plan = Plan::new("COPY DB", vec![words], effects).if_reply(something);
        self.perform(place, &plan);
    }

    /// The client wants no reply to a script that writes what it does not declare, and then one to what it
    /// reads of it in another key.
    fn write_silently(&mut self, place: Place, slot: SlotId) {
        const SCRIPT: &str =
            "redis.call('SET', ARGV[1], ARGV[3]) redis.call('SET', ARGV[2], 'done')";
        let (key, temp) = (self.world.slot(slot).name.clone(), self.temp(slot));
        let (effect, value) = self.fresh(slot, None);
        let commands = vec![
            command!["CLIENT", "REPLY", "SKIP"],
            command!["EVAL", SCRIPT, "0", key, temp, value],
            command!["GET", temp],
        ];
        let mut plan = Plan::new("silent EVAL", commands, vec![effect]).if_reply(something);
        plan.silent = 2;
        self.perform(place, &plan);
    }

    /// Makes the key a list, and no key again.
    fn make_list(&mut self, place: Place, slot: SlotId, op: Op) {
        let (key, temp) = (self.world.slot(slot).name.clone(), self.temp(slot));
        let list = Effect {
            slot,
            content: Content::Other,
            size: 0,
            ttl: None,
        };
        if !self.delete(place, slot, "DEL") {
            return;
        }
        let made = match op {
            Op::SortStore => {
                self.exchange(place, slot, &[command!["RPUSH", temp, "3", "1", "2"]]);
                let sort = command!["SORT", temp, "STORE", key];
                // 0: the list is gone, and so is the key, as it was
                let plan = Plan::new("SORT STORE", vec![sort], vec![list]).if_reply(something);
                self.perform(place, &plan)
            }
            Op::Blmove => self.blocked_move(place, &key, &temp, list),
            _ => {
                let push = command!["RPUSH", key, "element"];
                self.perform(place, &Plan::new("RPUSH", vec![push], vec![list]))
            }
        };
        if made == Outcome::Done && op == Op::Blpop {
            let pop = command!["BLPOP", key, "1"];
            let plan = Plan::new("BLPOP", vec![pop], vec![nil(slot)]).if_reply(something);
            self.perform(place, &plan);
        }
    }

    /// A client waits to move an element to the key; another one's push lets it.
    fn blocked_move(&mut self, place: Place, key: &str, temp: &str, list: Effect) -> Outcome {
        let db = self.world.slot(list.slot).db;
        if !self.blocked[place as usize].ready(db) {
            return Outcome::Nothing;
        }
        let wait = command!["BLMOVE", temp, key, "LEFT", "LEFT", "1"];
        let start = self.world.clock.now();
        self.blocked[place as usize].send(&[wait]);
        self.exchange(place, list.slot, &[command!["RPUSH", temp, "element"]]);
        let replies = self.blocked[place as usize].receive(1);
        let plan = Plan::new("BLMOVE", Vec::new(), vec![list]).if_reply(something);
        self.record(place, &plan, start, replies.as_deref())
    }

    /// Swaps the databases that this writer owns, if it knows all that is in them.
    pub(super) fn swap(&mut self) {
        if self.own.iter().any(|slot| !self.known(*slot).certain) {
            return;
        }
        let own = self.own.clone();
        let before: Vec<Known> = own
            .iter()
            .map(|slot| self.known(self.world.slot(*slot).twin))
            .collect();
        let effect = |(slot, twin): (&SlotId, &Known)| Effect {
            slot: *slot,
            content: twin.content,
            size: twin.size,
            ttl: None,
        };
        let effects = own.iter().zip(&before).map(effect).collect();
        let dbs = SWAPPED_DBS.map(|db| db.to_string());
        let swap = command!["SWAPDB", dbs[0], dbs[1]];
        let hidden = "return redis.call('SWAPDB', ARGV[1], ARGV[2])";
        let commands = match self.random.below(4) {
            0 => vec![swap],
            1 => vec![command!["MULTI"], swap, command!["EXEC"]],
            _ => vec![command!["EVAL", hidden, "0", dbs[0], dbs[1]]],
        };
        self.perform(Place::A, &Plan::new("SWAPDB", commands, effects));
    }

    pub(super) fn ttl(&mut self) -> Duration {
        let longest = self.load.longest_ttl.as_millis();
        let longest = usize::try_from(longest).expect("a short ttl");
        Duration::from_millis(self.random.between(1, longest) as u64)
    }
}

fn nil(slot: SlotId) -> Effect {
    Effect {
        slot,
        content: Content::Nil,
        size: 0,
        ttl: None,
    }
}
