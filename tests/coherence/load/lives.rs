//! Lives of the fields of hashes (Redis 7.4): all fields of a hash get the same one, so that at its end the hash is gone.
//!
//! `HLEN`, `EXISTS` and `TYPE` count what has ended until Redis removes it: they are not read of such hashes.

use std::time::Duration;

use super::super::conn::{Command, command};
use super::super::history::{Place, SlotId};
use super::kinds::element;
use super::ops::{Effect, Plan};
use super::writer::{Known, Writer};
use crate::support::{RedisServer, Reply};

/// When it is, only the backing knows to the millisecond.
const AT: &str = "local t = redis.call('TIME')
local at = t[1] * 1000 + math.floor(t[2] / 1000) + ARGV[1]
return redis.call('HPEXPIREAT', KEYS[1], at, 'FIELDS', #ARGV - 1, unpack(ARGV, 2))";

/// Ways to take a field its life, the first, and to give it one, the others; the last two with Redis 8.
const LIVES: [&str; 6] = [
    "HPERSIST",
    "HPEXPIRE",
    "HEXPIRE",
    "HPEXPIREAT",
    "HGETEX",
    "HSETEX",
];

/// Those that the server has.
pub(crate) fn lives() -> &'static [&'static str] {
    let all = RedisServer::version() >= (8, 0, 0);
    if all { &LIVES } else { &LIVES[..4] }
}

impl Writer {
    /// All fields of a hash that is known get a life, or lose it.
    pub(super) fn change_lives(&mut self, place: Place, slot: SlotId, known: Known) {
        let key = self.world.slot(slot).name.clone();
        let mut fields = command!["h"];
        fields.extend((1..known.size).map(|n| element(n).into_bytes()));
        let count = known.size.to_string();
        let listed = |mut words: Command| {
            words.extend(command!["FIELDS", count]);
            words.extend(fields.iter().cloned());
            words
        };
        let ttl = self.ttl();
        let millis = ttl.as_millis().to_string();
        let mut effect = Effect {
            slot,
            content: known.content,
            size: known.size,
            ttl: Some(ttl),
        };
        let way = match known.has_ttl {
            true => "HPERSIST",
            false => *self.random.pick(&lives()[1..]),
        };
        let command = match way {
            "HPERSIST" => {
                effect.ttl = None;
                listed(command!["HPERSIST", key])
            }
            "HEXPIRE" => {
                effect.ttl = Some(Duration::from_secs(1));
                listed(command!["HEXPIRE", key, "1"])
            }
            "HPEXPIREAT" => {
                let mut eval = command!["EVAL", AT, "1", key, millis];
                eval.extend(fields);
                eval
            }
            "HSETEX" => {
                let (fresh, head) = self.fresh(slot, Some(ttl));
                effect.content = fresh.content;
                let mut words = command!["HSETEX", key, "FXX", "PX", millis, "FIELDS", count];
                for field in fields {
                    let value = if field == b"h" {
                        head.clone()
                    } else {
                        b"pad".to_vec()
                    };
                    words.extend([field, value]);
                }
                words
            }
            "HGETEX" => listed(command!["HGETEX", key, "PX", millis]),
            _ => listed(command!["HPEXPIRE", key, millis]),
        };
        let plan = Plan::new(way, vec![command], vec![effect]);
        self.perform(place, &plan.if_reply(of_all));
    }
}

/// It was done to each field.
fn of_all(reply: &Reply) -> bool {
    match reply {
        Reply::Array(items) => items.iter().all(of_all),
        Reply::Int(number) => *number == 1,
        other => *other != Reply::Null,
    }
}
