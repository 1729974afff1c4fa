//! How a writer writes values that are no strings.

use std::time::Duration;

use super::super::conn::{Command, command};
use super::super::history::{Content, MOST_ELEMENTS, Place, SlotId};
use super::kinds::{Kind, element, score};
use super::ops::{Effect, Op, Plan, something};
use super::writer::{Known, Writer};
use crate::support::RedisServer;

/// Makes a value anew: each argument that is a number says how many of those behind it are a command.
const ANEW: &str =
    "local key = KEYS[1] or ARGV[1] redis.call('DEL', key) local n = KEYS[1] and 1 or 2
while n <= #ARGV do
  local count, words = tonumber(ARGV[n]), {}
  for i = 1, count do words[i] = ARGV[n + i] end
  redis.call(unpack(words))
  n = n + count + 1
end
return 'done'";

impl Writer {
    /// Writes a value of this kind, or what has another type.
    pub(super) fn write_typed(&mut self, place: Place, slot: SlotId, kind: Kind, op: Op) {
        let known = self.known(slot);
        let certain = self.is_sure(known) && matches!(known.content, Content::Value { .. });
        match op {
            Op::SetPx | Op::SetEx => {
                let ttl = self.ttl();
                self.replace(place, slot, kind, Some(ttl));
            }
            Op::SetOther => {
                let key = self.world.slot(slot).name.clone();
                let other = Effect {
                    slot,
                    content: Content::Other,
                    size: 0,
                    ttl: None,
                };
                let set = match kind {
                    Kind::List => command!["SET", key, "a string"],
                    _ => return self.replace_by_list(place, &key, other),
                };
                self.perform(place, &Plan::new("another type", vec![set], vec![other]));
            }
            Op::FieldLives if certain && kind == Kind::Hash => {
                self.change_lives(place, slot, known);
            }
            // A deadline would have to be known to be kept.
            Op::Head | Op::Grow | Op::Shrink if !certain || known.has_ttl => {
                self.replace(place, slot, kind, None);
            }
            Op::Head if kind != Kind::Set => self.write_head(place, slot, kind, known),
            Op::Grow if known.size < MOST_ELEMENTS => self.grow(place, slot, kind, known),
            Op::Shrink => self.shrink(place, slot, kind, known),
            _ => self.replace(place, slot, kind, None),
        }
    }

    fn replace_by_list(&mut self, place: Place, key: &str, other: Effect) {
        let temp = self.temp(other.slot);
        let commands = vec![
            command!["RPUSH", temp, "an element"],
            command!["RENAME", temp, key],
        ];
        self.perform(place, &Plan::new("another type", commands, vec![other]));
    }

    /// Another value, whatever there was.
    fn replace(&mut self, place: Place, slot: SlotId, kind: Kind, ttl: Option<Duration>) {
        let most = usize::try_from(MOST_ELEMENTS).expect("few");
        let size = u32::try_from(self.random.between(1, most)).expect("few");
        let (effect, head, number) = self.fresh_typed(slot, size, ttl);
        let key = self.world.slot(slot).name.clone();
        let temp = self.temp(slot);
        let millis = ttl.map(|ttl| ttl.as_millis().to_string());
        let made = |key: &str| {
            let mut commands = kind.make(key, &head, number, size);
            commands.extend(millis.iter().map(|ttl| command!["PEXPIRE", key, ttl]));
            commands
        };
        let mut ways = vec!["RENAME", "COPY", "EVAL"];
        if !self.load.cluster {
            ways.push("EVAL hidden");
        }
        if !(self.load.cluster && place == Place::Direct) {
            ways.push("EXEC");
        }
        if ttl.is_none() {
            ways.push("RESTORE");
            match kind {
                Kind::Set => ways.extend(["SUNIONSTORE", "SINTERSTORE"]),
                Kind::Zset => ways.push("ZUNIONSTORE"),
                _ => {}
            }
        }
        let way = *self.random.pick(&ways);
        let mut commands = made(&temp);
        match way {
            "RENAME" => commands.push(command!["RENAME", temp, key]),
            "COPY" => commands.push(command!["COPY", temp, key, "REPLACE"]),
            "SUNIONSTORE" | "SINTERSTORE" => commands.push(command![way, key, temp]),
            "ZUNIONSTORE" => commands.push(command![way, key, "1", temp]),
            "EXEC" => {
                commands = vec![command!["MULTI"], command!["DEL", key]];
                commands.extend(made(&key));
                commands.push(command!["EXEC"]);
            }
            "RESTORE" => {
                let mut made = commands;
                made.push(command!["DUMP", temp]);
                let dumped = self.exchange(place, slot, &made).pop();
                let Some(crate::support::Reply::Bulk(payload)) = dumped else {
                    return;
                };
                commands = vec![command!["RESTORE", key, "0", payload, "REPLACE"]];
            }
            _ => {
                let count = if way == "EVAL" { "1" } else { "0" };
                let mut eval = command!["EVAL", ANEW, count, key];
                for command in made(&key) {
                    eval.extend(command![command.len().to_string()]);
                    eval.extend(command);
                }
                commands = vec![eval];
            }
        }
        let how = match way {
            "RENAME" => "typed RENAME",
            "COPY" => "typed COPY",
            "EXEC" => "typed EXEC",
            "EVAL" => "typed EVAL",
            "RESTORE" => "typed RESTORE",
            "EVAL hidden" => "typed EVAL hidden",
            other => other,
        };
        let plan = Plan::new(how, commands, vec![effect]);
        self.perform(place, &plan.if_reply(something));
    }

    /// Another head, by one command.
    fn write_head(&mut self, place: Place, slot: SlotId, kind: Kind, known: Known) {
        let key = self.world.slot(slot).name.clone();
        let temp = self.temp(slot);
        let one_more = known.size < MOST_ELEMENTS;
        let (mut effect, head, number) = self.fresh_typed(slot, known.size, None);
        let (how, commands) = match (kind, self.random.below(4)) {
            (Kind::Hash, 0) => ("HMSET", vec![command!["HMSET", key, "h", head]]),
            (Kind::Hash, _) => ("HSET", vec![command!["HSET", key, "h", head]]),
            (Kind::List, 0) if one_more => ("LPUSH", vec![command!["LPUSH", key, head]]),
            (Kind::List, way @ 1..) if one_more => {
                let push = command!["RPUSH", temp, head];
                let (how, shift) = match way {
                    1 => ("RPOPLPUSH", command!["RPOPLPUSH", temp, key]),
                    2 if !self.load.cluster => (
                        "BLMOVE head",
                        command!["BLMOVE", temp, key, "LEFT", "LEFT", "1"],
                    ),
                    _ => ("LMOVE", command!["LMOVE", temp, key, "LEFT", "LEFT"]),
                };
                (how, vec![push, shift])
            }
            (Kind::List, _) => ("LSET", vec![command!["LSET", key, "0", head]]),
            (Kind::Zset, 0) => match known.content {
                Content::Value { origin, version } if number > score(origin, version) => {
                    let by = (number - score(origin, version)).to_string();
                    ("ZINCRBY", vec![command!["ZINCRBY", key, by, "h"]])
                }
                _ => ("ZADD", vec![command!["ZADD", key, number.to_string(), "h"]]),
            },
            (Kind::Zset, 1) => {
                let add = command!["ZADD", key, "XX", number.to_string(), "h"];
                ("ZADD XX", vec![add])
            }
            (Kind::Zset, _) => ("ZADD", vec![command!["ZADD", key, number.to_string(), "h"]]),
            (Kind::Stream, 0) if one_more => ("XADD", vec![command!["XADD", key, "*", "f", head]]),
            (Kind::Stream, _) => {
                effect.size = 2.min(known.size);
                let add = command!["XADD", key, "MAXLEN", "=", "2", "*", "f", head];
                ("XADD MAXLEN", vec![add])
            }
            (Kind::String | Kind::Set, _) => unreachable!("has no head of its own"),
        };
        let grows = ["LPUSH", "RPOPLPUSH", "BLMOVE head", "LMOVE", "XADD"];
        effect.size += u32::from(grows.contains(&how));
        if how == "XADD MAXLEN" {
            effect.size = 2.min(known.size + 1);
        }
        let plan = Plan::new(how, commands, vec![effect]);
        let zero_is_done = matches!(kind, Kind::Hash | Kind::Zset);
        self.perform(
            place,
            &if zero_is_done {
                plan
            } else {
                plan.if_reply(something)
            },
        );
    }

    /// One more element; a stream has them by its heads.
    fn grow(&mut self, place: Place, slot: SlotId, kind: Kind, known: Known) {
        let key = self.world.slot(slot).name.clone();
        let (new, score) = (element(known.size), format!("-{}", known.size));
        let temp = self.temp(slot);
        let way = self.random.below(3);
        let (how, commands): (_, Vec<Command>) = match (kind, way) {
            (Kind::Hash, 0) => ("HSETNX", vec![command!["HSETNX", key, new, "pad"]]),
            (Kind::Hash, _) => ("HSET element", vec![command!["HSET", key, new, "pad"]]),
            (Kind::List, 0) => ("RPUSHX", vec![command!["RPUSHX", key, new]]),
            (Kind::List, 1) => {
                let add = command!["RPUSH", temp, new];
                let shift = command!["LMOVE", temp, key, "LEFT", "RIGHT"];
                ("LMOVE element", vec![add, shift])
            }
            (Kind::List, _) => ("RPUSH element", vec![command!["RPUSH", key, new]]),
            (Kind::Set, 0) => {
                let add = command!["SADD", temp, new];
                ("SMOVE", vec![add, command!["SMOVE", temp, key, new]])
            }
            (Kind::Set, _) => ("SADD", vec![command!["SADD", key, new]]),
            (Kind::Zset, 0) => ("ZADD NX", vec![command!["ZADD", key, "NX", score, new]]),
            (Kind::Zset, _) => ("ZADD element", vec![command!["ZADD", key, score, new]]),
            (Kind::String | Kind::Stream, _) => {
                return self.write_head(place, slot, kind, known);
            }
        };
        let effect = Effect {
            slot,
            content: known.content,
            size: known.size + 1,
            ttl: None,
        };
        let plan = Plan::new(how, commands, vec![effect]);
        self.perform(place, &plan.if_reply(something));
    }

    /// One element less; with the last one the key is gone.
    fn shrink(&mut self, place: Place, slot: SlotId, kind: Kind, known: Known) {
        let key = self.world.slot(slot).name.clone();
        let left = known.size - 1;
        let blocking = !self.load.cluster && self.random.one_in(4);
        let last = element(left);
        let way = self.random.below(3);
        let (how, command) = match (kind, way) {
            (Kind::Stream, _) if left == 0 => ("DEL", command!["DEL", key]),
            (Kind::Stream, _) => {
                let trim = command!["XTRIM", key, "MAXLEN", "=", left.to_string()];
                ("XTRIM", trim)
            }
            (Kind::Hash, _) if left == 0 => ("HDEL head", command!["HDEL", key, "h"]),
            (Kind::Hash, 0) if self.load.field_lives && RedisServer::version() >= (8, 0, 0) => {
                ("HGETDEL", command!["HGETDEL", key, "FIELDS", "1", last])
            }
            (Kind::Hash, _) => ("HDEL", command!["HDEL", key, last]),
            (Kind::List, _) if blocking => ("BRPOP", command!["BRPOP", key, "1"]),
            (Kind::List, 0) if left > 0 => {
                // It answers OK, whatever was there.
                ("LTRIM", command!["LTRIM", key, "0", "-2"])
            }
            (Kind::List, _) => ("RPOP", command!["RPOP", key]),
            (Kind::Set, _) if left == 0 => ("SPOP", command!["SPOP", key]),
            (Kind::Set, _) => ("SREM", command!["SREM", key, last]),
            (Kind::Zset, _) if blocking => ("BZPOPMIN", command!["BZPOPMIN", key, "1"]),
            (Kind::Zset, 0) => ("ZPOPMIN", command!["ZPOPMIN", key]),
            (Kind::Zset, 1) => {
                let remove = command!["ZREMRANGEBYRANK", key, "0", "0"];
                ("ZREMRANGEBYRANK", remove)
            }
            (Kind::Zset, _) if left == 0 => ("ZREM head", command!["ZREM", key, "h"]),
            (Kind::Zset, _) => ("ZREM", command!["ZREM", key, last]),
            (Kind::String, _) => unreachable!("has no elements"),
        };
        let effect = Effect {
            slot,
            content: match left {
                0 => Content::Nil,
                _ => known.content,
            },
            size: left,
            ttl: None,
        };
        let plan = Plan::new(how, vec![command], vec![effect]);
        self.perform(place, &plan.if_reply(something));
    }

    /// The effect of a value that was never written, its head, and the head as a score.
    fn fresh_typed(
        &mut self,
        slot: SlotId,
        size: u32,
        ttl: Option<Duration>,
    ) -> (Effect, Vec<u8>, u64) {
        let (effect, head) = self.fresh(slot, ttl);
        let Content::Value { origin, version } = effect.content else {
            unreachable!("a fresh value")
        };
        (Effect { size, ..effect }, head, score(origin, version))
    }
}
