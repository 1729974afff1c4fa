//! `RESPITE.*`: about the server itself.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;

use super::denied::denied;
use super::observer::Observer;
use super::reload::Reloader;
use crate::command::{
    Answer, ArgKind, Call, Categories, Family, Flags, Handling, Local, OwnArg, OwnRow, Rights, help,
};
use crate::doctor;
use crate::latency::Latency;
use crate::resp::{Args, Proto, ReplyWriter};
use crate::slowlog::{Entry, SlowLog};
use crate::tasks::{self, Kind};

/// What only an administrator may do or see, whether the backing is there or not.
const FOR_ADMINS: OwnRow = OwnRow {
    flags: Flags::ADMIN
        .union(Flags::LOADING)
        .union(Flags::STALE)
        .union(Flags::NOSCRIPT),
    categories: Categories::ADMIN
        .union(Categories::SLOW)
        .union(Categories::DANGEROUS),
    ..OwnRow::EMPTY
};

const ROWS: &[OwnRow] = &[
    OwnRow {
        name: "RESPITE.HELP",
        arity: 1,
        flags: Flags::LOADING.union(Flags::STALE),
        categories: Categories::SLOW.union(Categories::CONNECTION),
        summary: "Lists the commands about the server itself",
        syntax: "RESPITE.HELP",
        ..OwnRow::EMPTY
    },
    OwnRow {
        name: "RESPITE.RELOAD",
        arity: -1,
        summary: "Loads the configuration again and puts it in force, or tells what that would change",
        arguments: &[OwnArg::new("diff", ArgKind::Block).optional().of(&[
            OwnArg::new("diff-token", ArgKind::PureToken).token("DIFF"),
            OwnArg::new("toml", ArgKind::String).optional(),
        ])],
        syntax: "RESPITE.RELOAD [DIFF [toml]]",
        ..FOR_ADMINS
    },
    OwnRow {
        name: "RESPITE.SLOWLOG",
        arity: -2,
        summary: "Tells which commands took long, and where their time went",
        arguments: &[OwnArg::new("subcommand", ArgKind::OneOf).of(&[
            OwnArg::new("get", ArgKind::Block).of(&[
                OwnArg::new("get-token", ArgKind::PureToken).token("GET"),
                OwnArg::new("count", ArgKind::Integer).optional(),
            ]),
            OwnArg::new("len", ArgKind::PureToken).token("LEN"),
            OwnArg::new("reset", ArgKind::PureToken).token("RESET"),
        ])],
        syntax: "RESPITE.SLOWLOG GET [n]|LEN|RESET",
        ..FOR_ADMINS
    },
    OwnRow {
        name: "RESPITE.NODE",
        arity: -2,
        summary: "Runs a command at one node of the backing, or lists the nodes",
        arguments: &[OwnArg::new("subcommand", ArgKind::OneOf).of(&[
            OwnArg::new("list", ArgKind::PureToken).token("LIST"),
            OwnArg::new("run", ArgKind::Block).of(&[
                OwnArg::new("id", ArgKind::String),
                OwnArg::new("command", ArgKind::String),
                OwnArg::new("arg", ArgKind::String).optional().multiple(),
            ]),
        ])],
        handling: Some(Handling::Local(Local::Node)),
        syntax: "RESPITE.NODE host:port command [arg ...]|LIST",
        ..FOR_ADMINS
    },
    OwnRow {
        name: "RESPITE.DENIED",
        arity: -1,
        summary: "Tells what was refused to whom by access rules, as ACL LOG does",
        arguments: &[OwnArg::new("what", ArgKind::OneOf).optional().of(&[
            OwnArg::new("count", ArgKind::Integer),
            OwnArg::new("reset", ArgKind::PureToken).token("RESET"),
        ])],
        syntax: "RESPITE.DENIED [count|RESET]",
        ..FOR_ADMINS
    },
    OwnRow {
        name: "RESPITE.DOCTOR",
        arity: 1,
        summary: "Tells what deserves attention, with the numbers it rests on and what to do",
        syntax: "RESPITE.DOCTOR",
        ..FOR_ADMINS
    },
    OwnRow {
        name: "RESPITE.LATENCY",
        arity: -1,
        summary: "Tells how long commands took, by what became of them and by user",
        arguments: &[OwnArg::new("reset", ArgKind::PureToken)
            .token("RESET")
            .optional()],
        syntax: "RESPITE.LATENCY [RESET]",
        ..FOR_ADMINS
    },
];

/// The longest text that is compared.
const MOST_CONFIGURATION: usize = 1024 * 1024;
/// A command that came before the server was whole.
const STARTING: &str = "ERR the server is starting";

/// The family of commands about the server itself.
pub(super) struct RespiteFamily {
    reloader: Arc<Reloader>,
    control: Handle,
    observer: Arc<OnceLock<Weak<Observer>>>,
}

impl RespiteFamily {
    /// The family, and the place where it looks for who observes, once the server is whole. Must be called on
    /// the control runtime.
    pub(super) fn new(reloader: Arc<Reloader>) -> (Self, Arc<OnceLock<Weak<Observer>>>) {
        let observer = Arc::new(OnceLock::new());
        let family = RespiteFamily {
            reloader,
            control: Handle::current(),
            observer: Arc::clone(&observer),
        };
        (family, observer)
    }
}

impl RespiteFamily {
    fn reload(&self, proto: Proto) -> Answer {
        let reloader = Arc::clone(&self.reloader);
        // Listeners belong to the control runtime.
        let reload = async move { reloader.reload().await };
        let reloading = self.control.spawn(tasks::named(Kind::Upkeep, reload));
        Answer::Later(Box::pin(async move {
            let mut reply = Vec::new();
            let mut writer = ReplyWriter::new(&mut reply, proto);
            match reloading.await {
                Ok(Ok(waiting)) if waiting.is_empty() => writer.ok(),
                Ok(Ok(waiting)) => {
                    writer.array(waiting.len());
                    waiting.iter().for_each(|key| writer.bulk(key));
                }
                Ok(Err(error)) => {
                    writer.error(format!("ERR the old configuration stays: {error}"));
                }
                Err(_) => writer.error("ERR the server is stopping"),
            }
            reply
        }))
    }

    /// `RESPITE.RELOAD DIFF [toml]`
    fn difference(&self, text: Option<String>, proto: Proto) -> Answer {
        let reloader = Arc::clone(&self.reloader);
        // Files are read there.
        let compare = async move { reloader.difference(text.as_deref()).await };
        let comparing = self.control.spawn(tasks::named(Kind::Upkeep, compare));
        Answer::Later(Box::pin(async move {
            let mut reply = Vec::new();
            let mut writer = ReplyWriter::new(&mut reply, proto);
            match comparing.await {
                Ok(Ok(changes)) => {
                    writer.array(changes.len());
                    changes.iter().for_each(|change| writer.bulk(change));
                }
                Ok(Err(error)) => writer.error(format!("ERR {error}")),
                Err(_) => writer.error("ERR the server is stopping"),
            }
            reply
        }))
    }
}

/// The text to compare with, if there is one.
fn reload_text(args: Args<'_>) -> Result<Option<String>, &'static str> {
    match (args.get(1), args.get(2)) {
        (Some(word), text) if args.len() <= 3 && word.eq_ignore_ascii_case(b"DIFF") => {
            if text.is_some_and(|text| text.len() > MOST_CONFIGURATION) {
                return Err("ERR a configuration has at most 1 MiB");
            }
            let text = text.map(std::str::from_utf8).transpose();
            let text = text.map_err(|_| "ERR the configuration is not UTF-8")?;
            Ok(text.map(str::to_owned))
        }
        _ => Err("ERR syntax error"),
    }
}

impl Family for RespiteFamily {
    fn rows(&self) -> &'static [OwnRow] {
        ROWS
    }

    fn key(&self, _call: &Call<'_>) -> Option<String> {
        None
    }

    fn call(&self, call: &Call<'_>, reply: &mut Vec<u8>) -> Answer {
        let args = call.args;
        let Some(row) = ROWS.iter().find(|row| row.is_named(&args[0])) else {
            return Answer::Given;
        };
        let mut writer = ReplyWriter::new(reply, call.proto);
        match (row.name, self.reloader.server()) {
            ("RESPITE.HELP", _) => help(ROWS, reply),
            ("RESPITE.RELOAD", _) if args.len() == 1 => return self.reload(call.proto),
            ("RESPITE.RELOAD", _) => match reload_text(args) {
                Ok(text) => return self.difference(text, call.proto),
                Err(error) => writer.error(error),
            },
            ("RESPITE.LATENCY", Some(server)) => latency(&server.latency, args, &mut writer),
            ("RESPITE.DENIED", Some(server)) => {
                denied(&server.settings().denials, call, &mut writer);
            }
            ("RESPITE.SLOWLOG", Some(server)) => slowlog(&server.slowlog, call, &mut writer),
            ("RESPITE.DOCTOR", _) => match self.observer.get().and_then(Weak::upgrade) {
                Some(observer) => {
                    let findings = doctor::texts(&observer.facts(call.rights));
                    writer.array(findings.len());
                    findings.iter().for_each(|text| writer.bulk(text));
                }
                None => writer.error(STARTING),
            },
            _ => writer.error(STARTING),
        }
        Answer::Given
    }
}

/// `RESPITE.SLOWLOG GET [n]|LEN|RESET`
fn slowlog(log: &SlowLog, call: &Call<'_>, reply: &mut ReplyWriter<'_>) {
    let args = call.args;
    let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    match (args[1].to_ascii_uppercase().as_slice(), args.get(2)) {
        (b"LEN", None) => reply.integer(i64::try_from(log.len()).unwrap_or(i64::MAX)),
        (b"RESET", None) => {
            log.clear();
            reply.ok();
        }
        (b"GET", count) if args.len() <= 3 => match count.map_or(Some(10), number) {
            // As in Redis: -1 is all.
            Some(count @ -1..) => {
                let most = usize::try_from(count).unwrap_or(usize::MAX);
                let entries = newest(log, most, call.rights);
                reply.array(entries.len());
                entries.iter().for_each(|entry| slow_entry(entry, reply));
            }
            Some(_) => reply.error("ERR count should be greater than or equal to -1"),
            None => reply.error("ERR value is not an integer or out of range"),
        },
        _ => reply.error("ERR syntax error"),
    }
}

/// The newest slow commands, as far as somebody may see them: with the keys of others only if he may use all.
pub(super) fn newest(log: &SlowLog, most: usize, rights: &Rights) -> Vec<Entry> {
    let entries = log.newest(most).into_iter();
    if rights.may_use_all() {
        return entries.collect();
    }
    entries.map(Entry::without_arguments).collect()
}

fn slow_entry(entry: &Entry, reply: &mut ReplyWriter<'_>) {
    let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX);
    let spent = &entry.spent;
    reply.map(10);
    for (name, value) in [
        ("id", i64::try_from(entry.id).unwrap_or(i64::MAX)),
        (
            "time",
            i64::try_from(entry.time_ms / 1000).unwrap_or(i64::MAX),
        ),
        ("duration_us", micros(spent.total())),
        ("queued_us", micros(spent.queued)),
        ("backing_us", micros(spent.backing)),
        ("client_us", micros(spent.client)),
    ] {
        reply.bulk(name);
        reply.integer(value);
    }
    reply.bulk("args");
    reply.array(entry.args.len());
    entry.args.iter().for_each(|arg| reply.bulk(arg));
    let client = &entry.client;
    for (name, text) in [
        ("client", &client.addr),
        ("name", &client.name),
        ("user", &client.user),
    ] {
        reply.bulk(name);
        reply.bulk(text);
    }
}

/// `RESPITE.LATENCY [RESET]`
fn latency(latency: &Latency, args: Args<'_>, reply: &mut ReplyWriter<'_>) {
    match args.get(1) {
        None => {}
        Some(word) if args.len() == 2 && word.eq_ignore_ascii_case(b"RESET") => {
            latency.reset();
            return reply.ok();
        }
        Some(_) => return reply.error("ERR syntax error"),
    }
    let lines = latency.lines();
    reply.array(lines.len());
    for line in lines {
        reply.map(6);
        for (name, value) in [("kind", &line.kind), ("user", &line.user)] {
            reply.bulk(name);
            reply.bulk(value);
        }
        let counts = &line.counts;
        let micros = |time: Option<Duration>| time.map_or(0, |time| time.as_nanos().div_ceil(1000));
        for (name, value) in [
            ("count", u128::from(counts.count())),
            ("p50_us", micros(counts.quantile(0.5))),
            ("p99_us", micros(counts.quantile(0.99))),
            ("max_us", micros(counts.max())),
        ] {
            reply.bulk(name);
            reply.integer(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
