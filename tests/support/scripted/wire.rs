//! One connection of the scripted backing: commands in their order, replies in the same, pushes when told.

use std::collections::VecDeque;
use std::fmt;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use super::{FullKey, Shared, State, VERSION, commands};
use crate::support::{Reply, encode, escape, frame};

/// The connections that carry the commands of clients; what others ask for is not there.
const DATA: [&str; 3] = ["respite", "respite-fill", "respite-pinned"];

/// The backing's side of a connection.
pub(super) struct Connection {
    pub(super) index: usize,
    pub(super) stream: TcpStream,
    /// As it introduced itself in `HELLO`.
    pub(super) name: String,
    /// How many times it was asked to `PING`.
    pub(super) pings: usize,
    db: u32,
    resp3: bool,
    open: bool,
    pings_wait: bool,
    selects_wait: bool,
    /// Everything that was asked before the first data command.
    setup: Vec<Vec<String>>,
    /// Commands that the test has not taken yet, by their number.
    waiting: VecDeque<(u64, Vec<Vec<u8>>)>,
    /// Answers from command number `first` on, as far as they are given.
    answers: VecDeque<Option<Vec<u8>>>,
    first: u64,
    /// What is to be written in one piece.
    corked: Option<Vec<u8>>,
}

/// A handle on one connection of the scripted backing.
#[derive(Clone)]
pub(crate) struct Wire {
    shared: Arc<Shared>,
    index: usize,
}

/// A command that waits for its answer.
#[must_use = "nothing behind it is answered before it is"]
pub(crate) struct Asked {
    wire: Wire,
    number: u64,
}

/// The two commands of a fetch into the cache.
#[must_use = "nothing behind it is answered before it is"]
pub(crate) struct Fetch {
    pub(crate) pttl: Asked,
    pub(crate) get: Asked,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(index: usize, stream: TcpStream) -> Self {
        Self {
            index,
            stream,
            name: String::new(),
            pings: 0,
            db: 0,
            resp3: false,
            open: true,
            pings_wait: false,
            selects_wait: false,
            setup: Vec::new(),
            waiting: VecDeque::new(),
            answers: VecDeque::new(),
            first: 0,
            corked: None,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Whether Respite fetches from a database with it: it has gone on to its first `PING`.
    pub(super) fn fetches(&self, db: u32) -> bool {
        self.open && self.name == "respite-fill" && self.db == db && self.pings > 0
    }

    /// Whether this is what the test has to take next.
    pub(super) fn asks(&self, command: &[&str]) -> bool {
        let next = self.waiting.front();
        next.is_some_and(|(_, asked)| asked.iter().eq(command.iter().map(|word| word.as_bytes())))
    }

    /// What waits here although the test looks at another connection; a `PING` may come at any time.
    fn elsewhere(&self) -> Option<String> {
        let ping = |command: &[Vec<u8>]| *command == [b"PING"];
        let mut waiting = self.waiting.iter();
        let found = waiting.any(|(_, command)| !ping(command));
        found.then(|| self.to_string())
    }

    /// What is answered without the test.
    fn automatic(
        &mut self,
        command: &[Vec<u8>],
        holds: &impl Fn(&FullKey) -> Option<Option<Vec<u8>>>,
        tracking: &mut impl FnMut(u32) -> Option<String>,
    ) -> Option<Vec<u8>> {
        let word = |at: usize| String::from_utf8_lossy(command.get(at).map_or(b"", |word| word));
        let held = || holds(&(self.db, command.get(1)?.clone()));
        match (word(0).to_uppercase().as_str(), command.len()) {
            ("HELLO", _) => {
                self.resp3 = word(1) == "3";
                let name = command.iter().position(|word| word == b"SETNAME");
                self.name = name.map_or_else(String::new, |at| word(at + 1).into_owned());
                Some(hello(self.resp3))
            }
            ("SELECT", 2) if !self.selects_wait => {
                self.db = word(1).parse().expect("a database");
                Some(b"+OK\r\n".to_vec())
            }
            ("CLIENT", 3) if word(1) == "TRACKING" => Some(match tracking(self.db) {
                None => b"+OK\r\n".to_vec(),
                Some(refusal) => format!("-{refusal}\r\n").into_bytes(),
            }),
            ("CLIENT", _) => Some(b"+OK\r\n".to_vec()),
            // how many keys are tracked; may not be asked
            ("CONFIG", 3) if self.name == "respite-fill" => Some(
                b"-NOPERM this user has no permissions to run the 'config|get' command\r\n"
                    .to_vec(),
            ),
            ("COMMAND", 1) => Some(commands().to_vec()),
            ("INFO", 2) if self.name == "respite-swaps" => {
                self.pings += 1;
                let count = format!("cmdstat_info:calls={},usec=1\r\n", self.pings);
                Some(self.bulk(Some(count.as_bytes())))
            }
            ("PING", 1) => {
                self.pings += 1;
                (!self.pings_wait).then(|| b"+PONG\r\n".to_vec())
            }
            ("PTTL", 2) => Some(
                if held()?.is_some() {
                    ":-1\r\n"
                } else {
                    ":-2\r\n"
                }
                .into(),
            ),
            ("GET", 2) => Some(self.bulk(held()?.as_deref())),
            // not a client's doing
            _ if !DATA.contains(&self.name.as_str()) => Some(self.bulk(None)),
            _ => None,
        }
    }

    fn bulk(&self, value: Option<&[u8]>) -> Vec<u8> {
        match value {
            Some(value) => [format!("${}\r\n", value.len()).as_bytes(), value, b"\r\n"].concat(),
            None if self.resp3 => b"_\r\n".to_vec(),
            None => b"$-1\r\n".to_vec(),
        }
    }

    fn asked(&mut self, command: Vec<Vec<u8>>, answer: Option<Vec<u8>>) {
        let number = self.first + self.answers.len() as u64;
        self.answers.push_back(answer);
        if self.answers.back() == Some(&None) {
            self.waiting.push_back((number, command));
        } else if self.waiting.is_empty() && self.pings == 0 {
            let text = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
            self.setup.push(command.iter().map(text).collect());
        }
        self.write_answers();
    }

    fn answer(&mut self, number: u64, bytes: Vec<u8>) {
        let at = usize::try_from(number - self.first).expect("a small number");
        self.answers[at] = Some(bytes);
        self.write_answers();
    }

    fn write_answers(&mut self) {
        while let Some(Some(_)) = self.answers.front() {
            let bytes = self.answers.pop_front().flatten().expect("just seen");
            self.first += 1;
            self.write(&bytes);
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        match &mut self.corked {
            Some(corked) => corked.extend_from_slice(bytes),
            None => {
                let _ = self.stream.write_all(bytes); // Respite may have given it up
            }
        }
    }
}

impl fmt::Display for Connection {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open = if self.open { "open" } else { "closed" };
        write!(out, "{} db={} {open}, waiting:", self.name, self.db)?;
        for (_, command) in &self.waiting {
            write!(out, " [{}]", escape(&command.join(&b' ')))?;
        }
        Ok(())
    }
}

// === impl Wire ===

impl Wire {
    pub(super) fn new(shared: &Arc<Shared>, index: usize) -> Self {
        Self {
            shared: Arc::clone(shared),
            index,
        }
    }

    /// Its database and its number in the order of accept.
    pub(super) fn place(&self) -> (u32, usize) {
        self.with(|connection| (connection.db, connection.index))
    }

    /// Whether both are the same connection.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.index == other.index
    }

    /// Waits for the next command that is the test's to answer, which has to be this one. Fails at once when one
    /// comes over another connection instead.
    #[track_caller]
    pub(crate) fn expect(&self, command: &[&str]) -> Asked {
        let what = command.join(" ");
        let next = self.shared.wait(&what, |state| {
            let next = state.connections[self.index].waiting.pop_front();
            let elsewhere = || state.connections.iter().find_map(Connection::elsewhere);
            next.map(Ok).or_else(|| elsewhere().map(Err))
        });
        let (number, asked) = next.unwrap_or_else(|other| panic!("not {what} but {other}"));
        assert_eq!(escape(&asked.join(&b' ')), escape(what.as_bytes()));
        Asked {
            wire: self.clone(),
            number,
        }
    }

    /// Waits for the two commands that fetch a key.
    #[track_caller]
    pub(crate) fn fetch(&self, key: &str) -> Fetch {
        Fetch {
            pttl: self.expect(&["PTTL", key]),
            get: self.expect(&["GET", key]),
        }
    }

    /// Sends bytes as they are, behind what was answered.
    pub(crate) fn write(&self, bytes: &str) {
        self.with(|connection| connection.write(bytes.as_bytes()));
    }

    /// Says that a key has changed.
    pub(crate) fn push_invalidate(&self, key: &str) {
        let push = [
            b">2\r\n$10\r\ninvalidate\r\n".as_slice(),
            &encode(&[key.as_bytes()]),
        ];
        self.with(|connection| connection.write(&push.concat()));
    }

    /// Says that everything has changed.
    pub(crate) fn push_flush(&self) {
        self.with(|connection| connection.write(b">2\r\n$10\r\ninvalidate\r\n_\r\n"));
    }

    /// Keeps what is answered and pushed from now on, until [`Wire::uncork`].
    pub(crate) fn cork(&self) {
        self.with(|connection| connection.corked = Some(Vec::new()));
    }

    /// Writes what was kept, in one piece.
    pub(crate) fn uncork(&self) {
        self.with(|connection| {
            let corked = connection.corked.take().unwrap_or_default();
            connection.write(&corked);
        });
    }

    /// Leaves each `PING` to the test from now on.
    pub(crate) fn hold_pings(&self) {
        self.with(|connection| connection.pings_wait = true);
    }

    /// Answers each `PING` by itself again, those that wait included.
    pub(crate) fn answer_pings(&self) {
        self.with(|connection| {
            connection.pings_wait = false;
            let (pings, others): (VecDeque<_>, _) = std::mem::take(&mut connection.waiting)
                .into_iter()
                .partition(|(_, command)| *command == [b"PING"]);
            connection.waiting = others;
            for (number, _) in pings {
                connection.answer(number, b"+PONG\r\n".to_vec());
            }
        });
    }

    /// Leaves each `SELECT` to the test from now on, as in a transaction.
    pub(crate) fn hold_selects(&self) {
        self.with(|connection| connection.selects_wait = true);
    }

    /// What was asked before the first `PING` and the first command for the test.
    pub(crate) fn setup(&self) -> Vec<Vec<String>> {
        self.with(|connection| connection.setup.clone())
    }

    /// Whether neither side has closed it.
    pub(crate) fn is_open(&self) -> bool {
        self.with(|connection| connection.open)
    }

    /// Closes it; what was not answered never will be.
    pub(crate) fn cut(&self) {
        self.with(|connection| {
            connection.open = false;
            let _ = connection.stream.shutdown(Shutdown::Both); // may be closed already
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Connection) -> T) -> T {
        act(&mut self.shared.lock().connections[self.index])
    }
}

impl Asked {
    /// Answers with these bytes.
    pub(crate) fn raw(self, bytes: &str) {
        let number = self.number;
        self.wire
            .with(|connection| connection.answer(number, bytes.into()));
    }

    /// Answers `+OK`.
    pub(crate) fn ok(self) {
        self.raw("+OK\r\n");
    }

    /// Answers with a value.
    pub(crate) fn value(self, value: &str) {
        self.raw(&format!("${}\r\n{value}\r\n", value.len()));
    }

    /// Answers with nil, in the version of the connection.
    pub(crate) fn nil(self) {
        let resp3 = self.wire.with(|connection| connection.resp3);
        self.raw(if resp3 { "_\r\n" } else { "$-1\r\n" });
    }

    /// Answers with a number.
    pub(crate) fn int(self, number: i64) {
        self.raw(&format!(":{number}\r\n"));
    }

    /// Answers `+PONG`.
    pub(crate) fn pong(self) {
        self.raw("+PONG\r\n");
    }
}

impl Fetch {
    /// Brings a value that does not expire.
    pub(crate) fn bring(self, value: &str) {
        self.pttl.int(-1);
        self.get.value(value);
    }

    /// Says that there is no such key.
    pub(crate) fn bring_nil(self) {
        self.pttl.int(-2);
        self.get.raw("_\r\n");
    }
}

/// Reads commands until the connection ends.
pub(super) fn read(shared: &Arc<Shared>, index: usize, mut stream: TcpStream) {
    let mut held = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let count = stream.read(&mut chunk).unwrap_or(0);
        let mut state = shared.lock();
        if count == 0 {
            state.connections[index].open = false;
            shared.changed.notify_all();
            return;
        }
        held.extend_from_slice(&chunk[..count]);
        // a command is an array of bulks, as a reply may be
        while let Some(end) = frame::end(&held).expect("Respite sends whole commands") {
            let command = Reply::parse(&held[..end]);
            held.drain(..end);
            take(&mut state, index, &command);
        }
        shared.changed.notify_all();
    }
}

fn take(state: &mut State, index: usize, command: &Reply) {
    let words = command.items().iter().map(|word| word.as_bytes().to_vec());
    let command: Vec<Vec<u8>> = words.collect();
    let State {
        connections,
        holds,
        refusals,
        refused,
        ..
    } = state;
    let connection = &mut connections[index];
    let mut tracking = |db| {
        let refusal: Option<String> = refusals.get(&db).cloned();
        *refused += usize::from(refusal.is_some());
        refusal
    };
    let answer = connection.automatic(&command, &|key| holds.get(key).cloned(), &mut tracking);
    connection.asked(command, answer);
}

fn hello(resp3: bool) -> Vec<u8> {
    let map = if resp3 { "%6" } else { "*12" };
    let text = |word: &str| format!("${}\r\n{word}\r\n", word.len());
    let fields = [
        ("server", text("redis")),
        ("version", text(VERSION)),
        ("id", ":1\r\n".to_owned()),
        ("mode", text("standalone")),
        ("role", text("master")),
        ("modules", "*0\r\n".to_owned()),
    ];
    let fields = fields.map(|(name, value)| text(name) + &value);
    format!("{map}\r\n{}", fields.concat()).into_bytes()
}
