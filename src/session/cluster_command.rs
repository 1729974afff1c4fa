//! `CLUSTER`, `READONLY`, `READWRITE`, `ASKING`: for clients that insist on a cluster Respite is one of a single
//! node, itself, where `[cluster] announce` says so. Else it is in none, whatever is behind.

use super::announced::Announced;
use super::settings::Settings;
use super::worker::Worker;
use crate::command::slot_of;
use crate::resp::{Args, Proto, ReplyWriter, parse_reply};
use crate::upstream::Backing;

const DISABLED: &str = "ERR This instance has cluster support disabled";
const NOT_A_NUMBER: &str = "ERR value is not an integer or out of range";
const LAST_SLOT: i64 = 16_383;

/// A question about the keys of a slot.
#[derive(Clone, Copy)]
pub(super) enum Question {
    Count,
    /// So many names at most.
    Names(usize),
}

/// Whether Respite answers such commands itself: what a single server says of itself is passed on.
pub(super) fn is_answered(settings: &Settings, backing: &Backing) -> bool {
    settings.announced.is_some() || backing.is_cluster()
}

/// Whether a command can only be answered by asking for keys.
pub(super) fn asks_for_keys(args: Args<'_>) -> bool {
    let sub = args.get(1).unwrap_or_default();
    sub.eq_ignore_ascii_case(b"COUNTKEYSINSLOT") || sub.eq_ignore_ascii_case(b"GETKEYSINSLOT")
}

/// The mode that clients are told, where it is another than the backing's own.
pub(super) fn other_mode(settings: &Settings, backing: &Backing) -> Option<&'static str> {
    match (&settings.announced, backing.is_cluster()) {
        (Some(_), _) => Some("cluster"),
        (None, true) => Some("standalone"),
        (None, false) => None,
    }
}

/// The mode that clients are told.
pub(super) fn mode<'a>(settings: &Settings, backing: &Backing, own: &'a str) -> &'a str {
    other_mode(settings, backing).unwrap_or(own)
}

/// Writes a reply to `INFO` in which the server has this mode.
pub(super) fn with_mode(info: &[u8], mode: &str, proto: Proto, out: &mut Vec<u8>) {
    let reply = parse_reply(info).ok().flatten();
    let text = reply.as_ref().and_then(|(value, _)| value.as_str());
    let Some(text) = text else {
        return out.extend_from_slice(info);
    };
    let mut changed = String::with_capacity(text.len() + mode.len());
    for line in text.split_inclusive('\n') {
        match line.split_once(':') {
            Some((name @ ("redis_mode" | "server_mode"), _)) => {
                changed.extend([name, ":", mode, "\r\n"]);
            }
            Some(("cluster_enabled", _)) => {
                let enabled = if mode == "cluster" { "1" } else { "0" };
                changed.extend(["cluster_enabled:", enabled, "\r\n"]);
            }
            _ => changed.push_str(line),
        }
    }
    ReplyWriter::new(out, proto).verbatim("txt", changed.as_bytes());
}

/// Answers a command that needs no keys.
pub(super) fn answer(worker: &Worker, proto: Proto, args: Args<'_>, out: &mut Vec<u8>) {
    let settings = worker.settings();
    let mut reply = ReplyWriter::new(out, proto);
    let name = args.get(0).unwrap_or_default();
    let of_cluster = name.eq_ignore_ascii_case(b"CLUSTER");
    if of_cluster && is_unknown(args, &settings) {
        return unknown(args, &mut reply);
    }
    match &settings.announced {
        None => reply.error(DISABLED),
        Some(_) if !of_cluster => reply.ok(),
        Some(node) => subcommand(node, worker.shared.backing.is_ready(), args, &mut reply),
    }
}

/// Whether the backing knows no such subcommand; before 7.0 it does not list them.
fn is_unknown(args: Args<'_>, settings: &Settings) -> bool {
    let row = settings.table.get(b"cluster");
    let sub = args.get(1).unwrap_or_default();
    row.is_some_and(|row| !row.subcommands.is_empty() && row.subcommand(sub).is_none())
}

fn unknown(args: Args<'_>, reply: &mut ReplyWriter<'_>) {
    let sub = String::from_utf8_lossy(args.get(1).unwrap_or_default());
    let sub: String = sub.chars().take(128).collect();
    reply.error(format!("ERR unknown subcommand '{sub}'. Try CLUSTER HELP."));
}

fn subcommand(node: &Announced, is_usable: bool, args: Args<'_>, reply: &mut ReplyWriter<'_>) {
    let sub = args.get(1).unwrap_or_default().to_ascii_uppercase();
    match (sub.as_slice(), args.len()) {
        (b"SLOTS", 2) => node.slots(reply),
        (b"SHARDS", 2) => node.shards(reply),
        (b"NODES", 2) => node.nodes(reply),
        (b"INFO", 2) => Announced::info(is_usable, reply),
        (b"MYID", 2) => reply.bulk(node.id()),
        (b"MYSHARDID", 2) => reply.bulk(node.shard_id()),
        (b"LINKS", 2) => reply.array(0),
        (b"HELP", 2) => Announced::help(reply),
        (b"KEYSLOT", 3) => reply.integer(i64::from(slot_of(&args[2]))),
        (b"REPLICAS" | b"SLAVES", 3) if &args[2] == node.id().as_bytes() => reply.array(0),
        (b"REPLICAS" | b"SLAVES", 3) => {
            let id = String::from_utf8_lossy(&args[2]);
            reply.error(format!("ERR Unknown node {id}"));
        }
        (
            b"SLOTS" | b"SHARDS" | b"NODES" | b"INFO" | b"MYID" | b"MYSHARDID" | b"LINKS" | b"HELP"
            | b"KEYSLOT" | b"REPLICAS" | b"SLAVES",
            _,
        ) => {
            let sub = String::from_utf8_lossy(&sub).to_lowercase();
            reply.error(format!(
                "ERR wrong number of arguments for 'cluster|{sub}' command"
            ));
        }
        _ => {
            let sub = String::from_utf8_lossy(&sub);
            let sub: String = sub.chars().take(128).collect();
            reply.error(format!(
                "ERR CLUSTER {sub} is not available through Respite"
            ));
        }
    }
}

/// Reads `COUNTKEYSINSLOT slot` or `GETKEYSINSLOT slot count`; the error is Redis' own.
pub(super) fn question(args: Args<'_>) -> Result<(u16, Question), &'static str> {
    let number = |at| {
        let text = args.get(at).and_then(|text| std::str::from_utf8(text).ok());
        text.and_then(|text| text.parse::<i64>().ok())
            .ok_or(NOT_A_NUMBER)
    };
    let counts = args[1].eq_ignore_ascii_case(b"COUNTKEYSINSLOT");
    let slot = number(2)?;
    let wanted = if counts { 0 } else { number(3)? };
    let valid = (0..=LAST_SLOT).contains(&slot) && wanted >= 0;
    match (u16::try_from(slot), usize::try_from(wanted), counts) {
        (Ok(slot), Ok(_), true) if valid => Ok((slot, Question::Count)),
        (Ok(slot), Ok(most), false) if valid => Ok((slot, Question::Names(most))),
        (_, _, true) => Err("ERR Invalid slot"),
        (_, _, false) => Err("ERR Invalid slot or number of keys"),
    }
}
