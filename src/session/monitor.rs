//! `MONITOR`: shows what the clients of Respite send, as they sent it.
//!
//! Sessions make the lines. What is answered here is shown like what goes to the backing, and of
//! Respite's own connections to the backing nothing is. Commands that scripts run are not shown:
//! only the backing knows them. As long as nobody monitors it costs one look at a flag for what was
//! read at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::Mutex;

use super::client::Session;
use super::dispatch::Flow;
use super::monitoring::Monitoring;
use super::monitors::{Lines, Monitor};
use super::paused::may_replicate;
use super::replies::Cut;
use super::request::Request;
use super::settings::Settings;
use crate::command::{Flags, Handling, Local, Pin, Row, arity_error};
use crate::resp::Args;

/// Lines of one transaction; what is queued beyond is not shown.
const QUEUED_BYTES: usize = 16 * 1024 * 1024;
/// What Redis shows in place of a password.
const REDACTED: &str = "(redacted)";
/// Redis hides these where it calls commands and shows them elsewhere.
const SHOWN_ELSEWHERE: [&str; 7] = [
    "exec",
    "eval",
    "eval_ro",
    "evalsha",
    "evalsha_ro",
    "fcall",
    "fcall_ro",
];

impl Session {
    /// Answers `MONITOR`. A second one has no reply, as in Redis.
    pub(super) fn begin_monitoring(&mut self, request: Request<'_>, settings: &Settings) -> Flow {
        if let Some(row) = request.row.filter(|_| !request.arity_ok()) {
            return self.answer_error(arity_error(row));
        }
        if self.monitoring.is_some() {
            return Flow::Done;
        }
        self.answer(|reply| reply.ok());
        let monitor = Arc::new(Monitor {
            worker: self.worker.index,
            session: self.state.entry.id,
            limit: settings.limits.client_output_bytes,
            waiting: Mutex::default(),
        });
        let shared = Arc::clone(&self.worker.shared);
        let mut all = shared.monitors.all.lock();
        all.push(Arc::clone(&monitor));
        shared.monitors.any.store(true, Ordering::Relaxed);
        drop(all);
        self.monitoring = Some(Monitoring { shared, monitor });
        self.state.entry.update(|facts| facts.monitor = true);
        Flow::Done
    }

    /// Takes what there is to show to this client. True when there was something.
    pub(super) fn take_monitored(&mut self) -> bool {
        let Some(monitoring) = &self.monitoring else {
            return false;
        };
        let mut waiting = monitoring.monitor.waiting.lock();
        if waiting.overflown {
            self.replies.cut_off(Cut::SlowReader);
        } else if self.replies.is_full() {
            // It comes back when the client has read.
            return false;
        }
        waiting.told = false;
        let mut bytes = std::mem::take(&mut waiting.bytes);
        drop(waiting);
        let some = !bytes.is_empty();
        if some {
            self.replies.reply(|out| out.append(&mut bytes));
        }
        some
    }

    /// Whether a monitoring client may not run this: as in Redis, nothing about keys.
    pub(super) fn is_barred(&self, request: Request<'_>, settings: &Settings) -> bool {
        self.monitoring.is_some()
            && (request.row.is_some_and(Row::is_readonly) || may_replicate(request, settings))
    }

    /// Whether a request that is about to be handled is shown when it was: as in Redis, what is
    /// refused is not, nor what an administrator does.
    pub(super) fn is_shown(&self, request: Request<'_>, settings: &Settings) -> bool {
        let row = request.leaf();
        self.state.broken.is_none()
            && row.is_some_and(|row| !is_hidden(row))
            && request.arity_ok()
            && self.may_forward(request, settings)
            && !self.is_barred(request, settings)
    }

    /// Shows a request that was handled. One that was queued is shown when `EXEC` has run it.
    pub(super) fn show_request(&mut self, request: Request<'_>, in_multi: bool) {
        let immediate = matches!(
            request.handling(),
            Handling::Pin(Pin::Discard | Pin::Multi | Pin::Watch)
                | Handling::Local(Local::Quit | Local::Reset)
        );
        let line = self.line_of(request);
        if !in_multi || immediate {
            // What is answered here may overtake what the backing is still at.
            let line = match &mut self.pinned {
                Some(pinned) => pinned.show_behind_exec(line),
                None => Some(line),
            };
            if let Some(line) = line {
                self.worker.shared.show(&[line]);
            }
        } else if request.handling() != Handling::Pin(Pin::Exec) {
            let queued = &mut self.queueing.queue.lines;
            let bytes: usize = queued.iter().map(|line| line.len()).sum();
            if bytes + line.len() <= QUEUED_BYTES {
                queued.push(line);
            }
        }
    }

    /// What is shown when this `EXEC` has run: the commands that are queued, then itself.
    pub(super) fn lines_of_exec(&mut self, request: Request<'_>) -> Lines {
        let mut lines = std::mem::take(&mut self.queueing.queue.lines);
        if self.worker.shared.is_monitored() {
            lines.push(self.line_of(request));
        }
        lines
    }

    fn line_of(&self, request: Request<'_>) -> Box<[u8]> {
        let db = self.coherence.last_selected().unwrap_or(self.state.db);
        line(db, self.state.entry.addr(), request.args).into()
    }
}

/// Whether Redis keeps a command from those who monitor.
fn is_hidden(row: &Row) -> bool {
    row.flags.contains(Flags::ADMIN)
        || (row.flags.contains(Flags::SKIP_MONITOR) && !SHOWN_ELSEWHERE.contains(&&*row.name))
}

/// A line as Redis writes it, without the time: `[db address] "name" "argument" …`.
fn line(db: u32, addr: &str, args: Args<'_>) -> Vec<u8> {
    let mut line = format!("[{db} {addr}]").into_bytes();
    let secrets = Secrets::of(&args[0]);
    let mut hidden = 0;
    for (at, arg) in args.iter().enumerate() {
        line.extend_from_slice(b" \"");
        if hidden > 0 || (at > 0 && secrets == Secrets::All) {
            line.extend_from_slice(REDACTED.as_bytes());
            hidden = usize::saturating_sub(hidden, 1);
        } else {
            escape(arg, &mut line);
            hidden = secrets.behind(at, arg);
        }
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

/// Which arguments of a command are secret.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Secrets {
    None,
    /// `AUTH`.
    All,
    /// `HELLO`: two behind the word `AUTH`.
    Login,
    /// `MIGRATE`: one behind the word `AUTH`, two behind `AUTH2`.
    Migrate,
}

impl Secrets {
    fn of(name: &[u8]) -> Self {
        let is = |command: &[u8]| name.eq_ignore_ascii_case(command);
        match name.len() {
            4 if is(b"AUTH") => Self::All,
            5 if is(b"HELLO") => Self::Login,
            7 if is(b"MIGRATE") => Self::Migrate,
            _ => Self::None,
        }
    }

    /// How many arguments behind this one are secret.
    fn behind(self, at: usize, arg: &[u8]) -> usize {
        let is = |word: &[u8]| at > 0 && arg.eq_ignore_ascii_case(word);
        match self {
            Self::Login if is(b"AUTH") => 2,
            Self::Migrate if is(b"AUTH") => 1,
            Self::Migrate if is(b"AUTH2") => 2,
            _ => 0,
        }
    }
}

/// Writes an argument as Redis' `sdscatrepr` does, without the quotation marks.
fn escape(arg: &[u8], line: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in arg {
        match byte {
            b'\\' | b'"' => line.extend([b'\\', byte]),
            b'\n' => line.extend_from_slice(b"\\n"),
            b'\r' => line.extend_from_slice(b"\\r"),
            b'\t' => line.extend_from_slice(b"\\t"),
            0x07 => line.extend_from_slice(b"\\a"),
            0x08 => line.extend_from_slice(b"\\b"),
            b' '..=b'~' => line.push(byte),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 15));
                line.extend([b'\\', b'x', HEX[high], HEX[low]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    fn shown(words: &[&[u8]]) -> String {
        let mut args = ArgVec::default();
        words.iter().for_each(|word| args.push(word));
        let line = line(3, "1.2.3.4:5", args.as_args());
        String::from_utf8(line).expect("printable")
    }

    #[test]
    fn lines_are_those_of_redis() {
        assert_eq!(
            shown(&[b"set", b"a\x01\"\\", b"\r\n\t\x07\x08\xff~ "]),
            "[3 1.2.3.4:5] \"set\" \"a\\x01\\\"\\\\\" \"\\r\\n\\t\\a\\b\\xff~ \"\r\n"
        );
    }

    #[test]
    fn passwords_are_hidden() {
        for (words, line) in [
            ("AUTH pw", r#""AUTH" "(redacted)""#),
            ("auth user pw", r#""auth" "(redacted)" "(redacted)""#),
            (
                "HELLO 3 AUTH u p SETNAME x",
                r#""HELLO" "3" "AUTH" "(redacted)" "(redacted)" "SETNAME" "x""#,
            ),
            (
                "MIGRATE h 1 k 0 1 auth2 u p KEYS a",
                r#""MIGRATE" "h" "1" "k" "0" "1" "auth2" "(redacted)" "(redacted)" "KEYS" "a""#,
            ),
            ("SET AUTH AUTH", r#""SET" "AUTH" "AUTH""#),
        ] {
            let words: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
            assert_eq!(shown(&words), format!("[3 1.2.3.4:5] {line}\r\n"));
        }
    }
}
