//! One client: it sends packets of commands, each with the replies that are right for it, and counts what it is told.
//!
//! Every reply names its request (a token, a key, a number of its own), so that one that belongs to another cannot pass.

use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::tally::Tally;
use crate::support::{Client, Random, Reply, encode};

/// The longest wait for a reply that is no failure: longer than any timeout that the tests configure.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Commands in one packet, at most.
const PACKET: usize = 6;
/// Keys of one kind that a client has.
pub(crate) const KEYS: usize = 3;

/// What all clients of a run have in common.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) stop: AtomicBool,
    /// Odd while the backing may lose what it has acknowledged.
    epoch: AtomicU64,
    /// When what was broken was whole again.
    pub(crate) healed: Mutex<Option<Instant>>,
}

impl World {
    /// From now on service has to come back by itself.
    pub(crate) fn note_healed(&self) {
        *self.healed.lock() = Some(Instant::now());
    }

    /// What was acknowledged may be lost from now on.
    pub(crate) fn begin_loss(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// What is acknowledged from now on is kept.
    pub(crate) fn end_loss(&self) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Since when everything that is acknowledged is kept.
    fn kept_since(&self) -> Option<u64> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        epoch.is_multiple_of(2).then_some(epoch)
    }

    /// A moment as a number, never 0.
    pub(crate) fn moment(at: Instant) -> u64 {
        static BEGIN: OnceLock<Instant> = OnceLock::new();
        let begin = BEGIN.get_or_init(|| at);
        let micros = at.saturating_duration_since(*begin).as_micros();
        u64::try_from(micros).expect("not that long") + 1
    }

    pub(crate) fn running(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }
}

/// What one client was told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) tally: Tally,
    /// The longest time from the reply before, or from the packet, to a reply.
    pub(crate) longest: Duration,
    /// When all was whole again, and when the first packet that was sent then was served; of the last fault.
    pub(crate) back: Option<(Instant, Instant)>,
}

impl Told {
    pub(crate) fn add(&mut self, other: &Told) {
        self.tally.add(&other.tally);
        self.longest = self.longest.max(other.longest);
        self.back = self.back.max(other.back);
    }
}

/// A command and what its reply has to be.
#[derive(Debug, Clone)]
enum Asked {
    /// Exactly this reply.
    Exactly(Vec<String>, Reply),
    Set(usize, u64),
    Get(usize),
    /// Two keys at once.
    GetBoth(usize, usize),
    Count,
    Push(u64),
    Pop,
    Multi,
    /// Queued in the transaction.
    Queued(usize, u64),
    Exec(usize, u64),
}

/// What a key may hold.
#[derive(Debug, Default)]
struct Known {
    acked: Option<u64>,
    /// Writes of which nobody knows whether they were executed.
    maybe: Vec<u64>,
    /// Since when what was acknowledged is kept; none: it may be lost.
    epoch: Option<u64>,
    /// The greatest number that was ever sent.
    sent: u64,
}

/// A key of a client; all of them are in one slot.
pub(crate) fn key(client: usize, key: impl Display) -> String {
    format!("{{f{client}}}:{key}")
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Done,
    Refused,
    Unknown,
}

/// One client with keys of its own.
pub(crate) struct Player<'a> {
    number: usize,
    name: String,
    port: u16,
    world: &'a World,
    /// What it may be told, the beginnings of errors.
    allowed: &'a [&'a str],
    random: Random,
    next: u64,
    keys: [Known; KEYS],
    counter: (i64, i64, Option<u64>),
    pub(crate) told: Told,
}

impl<'a> Player<'a> {
    pub(crate) fn new(
        number: usize,
        port: u16,
        world: &'a World,
        allowed: &'a [&'a str],
        random: Random,
    ) -> Self {
        Player {
            number,
            name: format!("f{number}"),
            port,
            world,
            allowed,
            random,
            next: 0,
            keys: Default::default(),
            counter: (0, 0, Some(0)),
            told: Told::default(),
        }
    }

    /// Asks and judges until the run ends; panics with what is wrong.
    pub(crate) fn play(mut self, seen: impl Fn(&Told)) -> Told {
        let Ok(mut client) = Client::try_connect(self.port) else {
            panic!("{}: Respite is gone", self.name);
        };
        client.set_timeout(PATIENCE);
        while self.world.running() {
            self.packet(&mut client);
            seen(&self.told);
        }
        self.told
    }

    fn packet(&mut self, client: &mut Client) {
        let count = self.random.between(1, PACKET);
        let mut asked = Vec::new();
        for _ in 0..count {
            self.ask(&mut asked);
        }
        let packet: Vec<u8> = asked
            .iter()
            .flat_map(|asked| encode(&self.command(asked)))
            .collect();
        // What is sent now and acknowledged is kept if nothing was lost in between.
        let epoch = self.world.kept_since();
        let healed = *self.world.healed.lock();
        let mut before = Instant::now();
        let mut clean = true;
        let sent = client.try_send_raw(&packet);
        sent.unwrap_or_else(|why| panic!("{}: {asked:?}: {why}", self.name));
        for one in &asked {
            let read = client.try_read_reply_raw();
            self.told.longest = self.told.longest.max(before.elapsed());
            before = Instant::now();
            let raw = read.unwrap_or_else(|why| {
                panic!(
                    "{}: {one:?}: nothing, for {PATIENCE:?} at most ({why})",
                    self.name
                )
            });
            clean &= self.judge(one, &Reply::parse(&raw), epoch);
        }
        if let Some(healed) = healed.filter(|_| clean)
            && self.told.back.is_none_or(|(of, _)| of != healed)
        {
            self.told.back = Some((healed, Instant::now()));
        }
    }

    fn ask(&mut self, asked: &mut Vec<Asked>) {
        self.next += 1;
        let (number, at) = (self.next, self.random.below(KEYS));
        let token = format!("{}:{number}", self.name);
        match self.random.below(10) {
            0 => asked.push(Asked::Exactly(
                vec!["PING".to_owned(), token.clone()],
                Reply::Bulk(token.into_bytes()),
            )),
            1 => {
                let key = key(self.number, KEYS);
                let script = "return {KEYS[1], ARGV[1]}".to_owned();
                let command = vec!["EVAL".to_owned(), script, "1".to_owned(), key, token];
                let bulk = |text: &String| Reply::Bulk(text.clone().into_bytes());
                let reply = Reply::Array(vec![bulk(&command[3]), bulk(&command[4])]);
                asked.push(Asked::Exactly(command, reply));
            }
            2 => asked.push(Asked::Count),
            3 => asked.push(Asked::GetBoth(at, (at + 1) % KEYS)),
            4 => asked.extend([Asked::Push(number), Asked::Pop]),
            5 => {
                asked.extend([
                    Asked::Multi,
                    Asked::Queued(at, number),
                    Asked::Exec(at, number),
                ]);
                self.keys[at].sent = number;
            }
            6 | 7 => {
                asked.push(Asked::Set(at, number));
                self.keys[at].sent = number;
            }
            _ => asked.push(Asked::Get(at)),
        }
    }

    fn command(&self, asked: &Asked) -> Vec<String> {
        let key = |name: &dyn Display| key(self.number, name);
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        match asked {
            Asked::Exactly(command, _) => command.clone(),
            Asked::Set(at, number) | Asked::Queued(at, number) => {
                words(&["SET", &key(at), &self.value(*at, *number)])
            }
            Asked::Get(at) => words(&["GET", &key(at)]),
            Asked::GetBoth(one, other) => words(&["MGET", &key(one), &key(other)]),
            Asked::Count => words(&["INCR", &key(&"n")]),
            Asked::Push(number) => words(&["RPUSH", &key(&"l"), &number.to_string()]),
            Asked::Pop => words(&["BLPOP", &key(&"l"), "0.05"]),
            Asked::Multi => words(&["MULTI"]),
            Asked::Exec(..) => words(&["EXEC"]),
        }
    }

    fn value(&self, key: usize, number: u64) -> String {
        format!("{}:{key}:{number}", self.name)
    }

    /// Whether it was served; panics when the reply is not one of those that are right.
    fn judge(&mut self, asked: &Asked, reply: &Reply, epoch: Option<u64>) -> bool {
        if let Reply::Error(text) = reply {
            let text = String::from_utf8_lossy(text).into_owned();
            let fate = if text.ends_with("may have been executed") {
                Fate::Unknown
            } else {
                Fate::Refused
            };
            let name = &self.name;
            let known = self.allowed.iter().any(|error| text.starts_with(error));
            assert!(known, "{name}: {asked:?}: {text}");
            self.told.tally.error(&text);
            self.end(asked, fate, None);
            return false;
        }
        let right = self.is_right(asked, reply);
        assert!(
            right,
            "{}: {asked:?}: {reply:?} with {:?}, {:?}",
            self.name, self.keys, self.counter
        );
        self.told.tally.served += 1;
        self.end(
            asked,
            Fate::Done,
            epoch.filter(|epoch| Some(*epoch) == self.world.kept_since()),
        );
        if let (Asked::Count, Reply::Int(now)) = (asked, reply) {
            let applied = now - self.counter.0 - 1;
            let open = (self.counter.1 - self.counter.0 - applied).max(0);
            self.counter = (*now, now + open, self.counter.2);
        }
        true
    }

    fn is_right(&self, asked: &Asked, reply: &Reply) -> bool {
        match (asked, reply) {
            (Asked::Exactly(_, right), reply) => reply == right,
            (Asked::Set(..) | Asked::Multi, Reply::Simple(text)) => text == b"OK",
            (Asked::Queued(..), Reply::Simple(text)) => text == b"QUEUED",
            (Asked::Get(key), reply) => self.may_be(*key, reply),
            (Asked::GetBoth(one, other), Reply::Array(items)) => {
                items.len() == 2 && self.may_be(*one, &items[0]) && self.may_be(*other, &items[1])
            }
            (Asked::Count, Reply::Int(now)) => {
                let (least, most, epoch) = self.counter;
                let kept = epoch.is_some() && epoch == self.world.kept_since();
                *now >= 1 && (!kept || (least < *now && *now <= most + 1))
            }
            (Asked::Push(_), Reply::Int(length)) => *length >= 1,
            (Asked::Pop, Reply::Null) => true,
            (Asked::Pop, Reply::Array(items)) => {
                let number = items
                    .get(1)
                    .and_then(|item| item.as_str().parse::<u64>().ok());
                items[0].as_str() == key(self.number, "l")
                    && number.is_some_and(|number| number <= self.next)
            }
            (Asked::Exec(..), Reply::Array(items)) => *items == [Reply::Simple(b"OK".to_vec())],
            _ => false,
        }
    }

    /// Whether a key may hold this.
    fn may_be(&self, key: usize, reply: &Reply) -> bool {
        let known = &self.keys[key];
        let number = match reply {
            Reply::Null => None,
            Reply::Bulk(text) => {
                let text = String::from_utf8_lossy(text);
                let prefix = format!("{}:{key}:", self.name);
                let Some(number) = text
                    .strip_prefix(&prefix)
                    .and_then(|text| text.parse().ok())
                else {
                    return false;
                };
                Some(number)
            }
            _ => return false,
        };
        let kept = known.epoch.is_some() && known.epoch == self.world.kept_since();
        let open = number.is_some_and(|number| known.maybe.contains(&number));
        if kept {
            number == known.acked || open
        } else {
            number.is_none_or(|number| number <= known.sent)
        }
    }

    /// What a command has done to what is known.
    fn end(&mut self, asked: &Asked, fate: Fate, epoch: Option<u64>) {
        match (asked, fate) {
            (
                Asked::Set(key, number) | Asked::Queued(key, number) | Asked::Exec(key, number),
                _,
            ) => {
                self.write(asked, *key, *number, fate, epoch);
            }
            (Asked::Count, Fate::Unknown) => self.counter.1 += 1,
            (Asked::Count, Fate::Done) => self.counter.2 = epoch,
            _ => {}
        }
    }

    fn write(&mut self, asked: &Asked, key: usize, number: u64, fate: Fate, epoch: Option<u64>) {
        let known = &mut self.keys[key];
        match (asked, fate) {
            // Queued is not done.
            (Asked::Queued(..), Fate::Done | Fate::Unknown) => known.maybe.push(number),
            (_, Fate::Done) => {
                known.acked = Some(number);
                known.epoch = epoch;
                known.maybe.retain(|maybe| *maybe != number);
            }
            (_, Fate::Unknown) => known.maybe.push(number),
            // Nothing of it was executed.
            (Asked::Exec(..), Fate::Refused) => known.maybe.retain(|maybe| *maybe != number),
            (_, Fate::Refused) => {}
        }
        // What may be executed late is not forgotten soon.
        let extra = known.maybe.len().saturating_sub(4096);
        known.maybe.drain(..extra);
    }
}
