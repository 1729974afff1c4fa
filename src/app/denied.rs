//! `RESPITE.DENIED [count|RESET]`: what was refused to whom, as `ACL LOG` tells it.

use std::time::Duration;

use crate::access::{Denials, DeniedEntry, DeniedReason};
use crate::command::{Call, Rights};
use crate::resp::ReplyWriter;

/// So many are shown unless a number is given, as by `ACL LOG`.
const SHOWN: usize = 10;

/// Answers it.
pub(super) fn denied(log: &Denials, call: &Call<'_>, reply: &mut ReplyWriter<'_>) {
    let most = match call.args.get(1) {
        _ if call.args.len() > 2 => return reply.error("ERR syntax error"),
        None => SHOWN,
        Some(word) if word.eq_ignore_ascii_case(b"RESET") => {
            log.clear();
            return reply.ok();
        }
        Some(count) => match std::str::from_utf8(count).map(str::parse::<i64>) {
            // As in Redis: a negative number is none.
            Ok(Ok(count)) => usize::try_from(count).unwrap_or(0),
            _ => return reply.error("ERR value is not an integer or out of range"),
        },
    };
    let entries = log.newest(most);
    reply.array(entries.len());
    for entry in &entries {
        show(entry, call.rights, reply);
    }
}

fn show(entry: &DeniedEntry, rights: &Rights, reply: &mut ReplyWriter<'_>) {
    // Keys and channels of others are not for everybody who may run this.
    let is_name = matches!(entry.reason, DeniedReason::Key | DeniedReason::Channel);
    let object: &[u8] = match is_name && !rights.may_use_all() {
        true => b"",
        false => &entry.object,
    };
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let millis = |since: Duration| i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    reply.map(10);
    reply.bulk("count");
    reply.integer(number(entry.count));
    for (name, text) in [
        ("reason", entry.reason.name().as_bytes()),
        ("context", entry.place.name().as_bytes()),
        ("object", object),
        ("username", &entry.user),
    ] {
        reply.bulk(name);
        reply.bulk(text);
    }
    reply.bulk("age-seconds");
    reply.double(entry.age().as_millis() as f64 / 1000.0);
    reply.bulk("client-info");
    reply.bulk(&entry.client);
    reply.bulk("entry-id");
    reply.integer(number(entry.id));
    reply.bulk("timestamp-created");
    reply.integer(millis(entry.created));
    reply.bulk("timestamp-last-updated");
    reply.integer(millis(entry.updated));
}
