//! The scenario files: what they mean and how they are read.
//!
//! ```text
//! === name [nopipe]            a scenario; also [resp2] or [resp3]: only in that protocol
//! SET k "a\x00"                a step: a command in redis-cli's quoting, sent by client a; one reply
//! b: GET k                     sent by client b
//! a: [2] SUBSCRIBE x y         two replies; [0]: none is awaited here
//! a: [1]                       nothing is sent, one more reply (a message) is read
//! [sort] KEYS *                a normaliser, see `normalise`; [3,sort] is both
//! [raw,1] "PING\r\n"           bytes as they are instead of a command
//! [eof]                        the server closes the connection
//! [blocked=1]                  waits until so many clients are blocked in each Redis
//! @big(1000) @many(DEL,9)      1000 bytes; a command with 9 keys
//! ```

use std::str::FromStr;

use super::Protocol;
use super::normalise::Normaliser;
use crate::support::encode;

/// Steps that belong together and start on empty servers.
#[derive(Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    only: Option<Protocol>,
    no_pipe: bool,
}

/// One line of a scenario.
#[derive(Debug)]
pub(crate) struct Step {
    /// The line in the file, for messages.
    pub(crate) text: String,
    /// The client, `a` to `z`.
    pub(crate) client: char,
    pub(crate) action: Action,
}

#[derive(Debug)]
pub(crate) enum Action {
    /// Send these bytes (perhaps none), then read so many replies.
    Exchange {
        bytes: Vec<u8>,
        /// The command that they are, unless they were given as they are.
        words: Vec<Vec<u8>>,
        replies: usize,
        normalisers: Vec<Normaliser>,
    },
    /// The connection is closed by the server.
    Eof,
    /// So many clients are blocked.
    Blocked(usize),
}

/// What version 7.0 brought, of the commands that clients wait with.
const SINCE_7: [&str; 3] = ["SSUBSCRIBE", "BLMPOP", "BZMPOP"];

impl Scenario {
    /// Whether an older server has not what its clients wait with.
    pub(crate) fn needs_7(&self) -> bool {
        let mut steps = self.steps.iter();
        steps.any(|step| SINCE_7.iter().any(|command| step.text.contains(command)))
    }

    /// Reads a file. Mistakes in it panic with the line.
    pub(crate) fn parse_file(text: &str) -> Vec<Self> {
        let mut scenarios: Vec<Self> = Vec::new();
        let lines = text.lines().map(str::trim_end);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with("# ")) {
            if let Some(header) = line.strip_prefix("=== ") {
                scenarios.push(Self::from_header(header));
            } else {
                let scenario = scenarios
                    .last_mut()
                    .expect("a step before the first scenario");
                scenario.steps.push(Step::parse(line));
            }
        }
        scenarios
    }

    /// Puts so many of the words of its commands in other words.
    pub(crate) fn reword(&mut self, reworded: impl Fn(&[u8]) -> Option<Vec<u8>>) {
        for step in &mut self.steps {
            let Action::Exchange { bytes, words, .. } = &mut step.action else {
                continue;
            };
            for word in words.iter_mut().skip(1) {
                if let Some(new) = reworded(word) {
                    *word = new;
                }
            }
            if !words.is_empty() {
                *bytes = encode(words);
            }
        }
    }

    fn from_header(header: &str) -> Self {
        let (name, flags) = header.split_once(" [").unwrap_or((header, ""));
        let mut scenario = Self {
            name: name.to_owned(),
            steps: Vec::new(),
            only: None,
            no_pipe: false,
        };
        for flag in flags
            .trim_end_matches(']')
            .split(',')
            .filter(|flag| !flag.is_empty())
        {
            match flag {
                "nopipe" => scenario.no_pipe = true,
                "resp2" => scenario.only = Some(Protocol::Resp2),
                "resp3" => scenario.only = Some(Protocol::Resp3),
                other => panic!("unknown flag {other} in {header}"),
            }
        }
        scenario
    }

    /// Whether it is meant for this protocol.
    pub(crate) fn speaks(&self, protocol: Protocol) -> bool {
        self.only.is_none_or(|only| only == protocol)
    }

    /// Whether its steps make sense in a single packet.
    pub(crate) fn fits_one_packet(&self) -> bool {
        let last = self.steps.len() - 1;
        let fits = |(index, step): (usize, &Step)| {
            let allowed = match step.action {
                Action::Exchange { .. } => true,
                Action::Eof => index == last,
                Action::Blocked(_) => false,
            };
            allowed && step.client == 'a'
        };
        !self.no_pipe && self.steps.iter().enumerate().all(fits)
    }
}

impl Step {
    fn parse(line: &str) -> Self {
        let (client, rest) = match line.as_bytes() {
            [client @ b'a'..=b'z', b':', b' ', ..] => (char::from(*client), &line[3..]),
            _ => ('a', line),
        };
        let (options, command) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']'))
        {
            Some((options, command)) => (options, command.trim_start()),
            None => ("", rest),
        };
        let action = parse_action(options, command).unwrap_or_else(|why| panic!("{why} in {line}"));
        Self {
            text: line.chars().take(120).collect(),
            client,
            action,
        }
    }
}

fn parse_action(options: &str, command: &str) -> Result<Action, String> {
    let (mut raw, mut replies, mut normalisers) = (false, 1, Vec::new());
    for option in options.split(',').filter(|option| !option.is_empty()) {
        if option == "eof" {
            return Ok(Action::Eof);
        } else if let Some(count) = option.strip_prefix("blocked=") {
            return count
                .parse()
                .map(Action::Blocked)
                .map_err(|_| format!("bad number {count}"));
        } else if option == "raw" {
            raw = true;
        } else if let Ok(count) = option.parse() {
            replies = count;
        } else {
            normalisers.push(Normaliser::from_str(option)?);
        }
    }
    let words = split_words(&expand(command)?)?;
    let (bytes, words) = match (words.is_empty(), raw) {
        (true, _) => (Vec::new(), Vec::new()),
        (false, true) => (words.concat(), Vec::new()),
        (false, false) => (encode(&words), words),
    };
    Ok(Action::Exchange {
        bytes,
        words,
        replies,
        normalisers,
    })
}

/// Replaces `@big(n)` and `@many(command,n)`.
fn expand(command: &str) -> Result<String, String> {
    let mut text = command.to_owned();
    while let Some(start) = text.find("@big(").or_else(|| text.find("@many(")) {
        let open = start + text[start..].find('(').ok_or("no (")?;
        let close = open + text[open..].find(')').ok_or("no )")?;
        let inside = &text[open + 1..close];
        let (word, count) = inside.rsplit_once(',').unwrap_or(("", inside));
        let count: usize = count.parse().map_err(|_| format!("bad number {count}"))?;
        let expansion = if word.is_empty() {
            (b'a'..=b'z').cycle().take(count).map(char::from).collect()
        } else {
            (0..count).fold(word.to_owned(), |all, n| format!("{all} k{n}"))
        };
        text.replace_range(start..=close, &expansion);
    }
    Ok(text)
}

/// Splits a line into words as redis-cli does.
fn split_words(line: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut words = Vec::new();
    let mut bytes = line.bytes().peekable();
    loop {
        while bytes.next_if_eq(&b' ').is_some() {}
        let mut word = Vec::new();
        match bytes.peek() {
            None => return Ok(words),
            Some(b'"') => {
                bytes.next();
                loop {
                    match bytes.next().ok_or("unbalanced quotes")? {
                        b'"' => break,
                        b'\\' => word.push(unescape(&mut bytes)?),
                        byte => word.push(byte),
                    }
                }
            }
            Some(b'\'') => {
                bytes.next();
                word.extend(bytes.by_ref().take_while(|byte| *byte != b'\''));
            }
            Some(_) => {
                while let Some(byte) = bytes.next_if(|byte| *byte != b' ') {
                    word.push(byte);
                }
            }
        }
        words.push(word);
    }
}

fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, String> {
    let mut next = || bytes.next().ok_or("unfinished escape");
    Ok(match next()? {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'x' => {
            let digits = [next()?, next()?];
            let text = std::str::from_utf8(&digits).map_err(|_| "bad escape")?;
            u8::from_str_radix(text, 16).map_err(|_| format!("bad escape \\x{text}"))?
        }
        other => other,
    })
}
