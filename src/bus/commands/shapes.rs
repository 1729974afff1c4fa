//! The shapes of the replies.

use crate::bus::admin::MethodRow;
use crate::bus::error::BusError;
use crate::bus::fetch::Delivered;
use crate::bus::method::Param;
use crate::bus::outcome::Outcome;
use crate::bus::store::{DeadRow, WorkerRow};
use crate::resp::{Proto, ReplyWriter};

/// Writes one reply.
pub(in crate::bus) fn reply(proto: Proto, write: impl FnOnce(&mut ReplyWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut ReplyWriter::new(&mut out, proto));
    out
}

/// Writes what came out, or the error.
pub(in crate::bus) fn answer<T>(
    proto: Proto,
    result: Result<T, BusError>,
    write: impl FnOnce(&mut ReplyWriter<'_>, T),
) -> Vec<u8> {
    reply(proto, |writer| match result {
        Ok(value) => write(writer, value),
        Err(error) => writer.error(error.to_string()),
    })
}

pub(in crate::bus) fn outcome(writer: &mut ReplyWriter<'_>, outcome: &Outcome) {
    match outcome {
        Outcome::Done(payload) => writer.bulk(payload),
        Outcome::Failed(error) => writer.error(error.to_string()),
    }
}

fn text(writer: &mut ReplyWriter<'_>, name: &str, value: &str) {
    writer.bulk(name);
    writer.bulk(value);
}

fn integer(writer: &mut ReplyWriter<'_>, name: &str, value: i64) {
    writer.bulk(name);
    writer.integer(value);
}

fn unsigned(writer: &mut ReplyWriter<'_>, name: &str, value: u64) {
    integer(writer, name, i64::try_from(value).unwrap_or(i64::MAX));
}

/// Seconds: a whole number where they are one.
fn seconds(writer: &mut ReplyWriter<'_>, name: &str, ms: u64) {
    if ms.is_multiple_of(1000) {
        return unsigned(writer, name, ms / 1000);
    }
    writer.bulk(name);
    #[expect(
        clippy::cast_precision_loss,
        reason = "a year of milliseconds is exact in an f64"
    )]
    writer.double(ms as f64 / 1000.0);
}

fn arguments(writer: &mut ReplyWriter<'_>, call: &Delivered) {
    writer.bulk("args");
    match call.body.args() {
        // No call of ours: somebody else wrote into the queue.
        [] => writer.array(0),
        args => writer.raw(args),
    }
    writer.bulk("kwargs");
    let (count, pairs) = call.body.kwargs();
    writer.map(count);
    writer.raw(pairs);
}

pub(in crate::bus) fn fetched(writer: &mut ReplyWriter<'_>, calls: &[Delivered]) {
    writer.array(calls.len());
    for call in calls {
        writer.map(8);
        text(writer, "id", &call.id);
        text(writer, "token", &call.token);
        text(writer, "method", &call.method);
        arguments(writer, call);
        writer.bulk("payload");
        writer.bulk(call.body.payload());
        integer(writer, "deadline_ms", call.deadline_ms);
        integer(writer, "attempt", call.attempt);
    }
}

pub(in crate::bus) fn names(writer: &mut ReplyWriter<'_>, name: &str, names: &[String]) {
    writer.bulk(name);
    writer.array(names.len());
    names.iter().for_each(|name| writer.bulk(name));
}

pub(in crate::bus) fn methods(writer: &mut ReplyWriter<'_>, rows: &[MethodRow]) {
    writer.array(rows.len());
    for row in rows {
        let options = &row.method.options;
        writer.map(13);
        text(writer, "method", &row.method.name);
        integer(writer, "generation", row.method.generation());
        writer.bulk("params");
        match &options.params {
            None => writer.null_array(),
            Some(params) => {
                writer.array(params.len());
                params
                    .iter()
                    .map(Param::text)
                    .for_each(|param| writer.bulk(param));
            }
        }
        writer.bulk("cache");
        match &options.cache {
            None => writer.null(),
            Some(cache) => writer.bulk(&cache.text),
        }
        seconds(writer, "cachettl", options.cache_ms);
        seconds(writer, "resultttl", options.result_ms);
        writer.bulk("idempotent");
        writer.boolean(options.idempotent);
        unsigned(writer, "visibility_ms", options.visibility_ms);
        unsigned(writer, "maxdeliveries", options.max_deliveries);
        unsigned(writer, "maxpending", options.max_pending);
        text(writer, "description", &options.description);
        integer(
            writer,
            "workers",
            i64::try_from(row.workers).unwrap_or(i64::MAX),
        );
        integer(writer, "pending", row.queued);
    }
}

pub(in crate::bus) fn workers(writer: &mut ReplyWriter<'_>, rows: &[WorkerRow]) {
    writer.array(rows.len());
    for row in rows {
        writer.map(4);
        text(writer, "worker", &row.name);
        names(writer, "patterns", &row.patterns);
        integer(writer, "last_seen_ms", row.last_seen_ms);
        integer(writer, "in_flight", row.in_flight);
    }
}

pub(in crate::bus) fn stats(writer: &mut ReplyWriter<'_>, rows: &[MethodRow]) {
    writer.array(rows.len());
    for row in rows {
        let totals = &row.totals;
        writer.map(11);
        text(writer, "method", &row.method.name);
        unsigned(writer, "calls", totals.calls);
        unsigned(writer, "errors", totals.errors);
        integer(writer, "pending", row.queued);
        integer(writer, "in_flight", row.in_flight);
        unsigned(writer, "cache_hits", totals.cache_hits);
        for (name, ms) in [
            ("queue_p50_ms", totals.queue_ms(0.5)),
            ("queue_p99_ms", totals.queue_ms(0.99)),
            ("work_p50_ms", totals.work_ms(0.5)),
            ("work_p99_ms", totals.work_ms(0.99)),
        ] {
            writer.bulk(name);
            writer.double(ms);
        }
        writer.bulk("last_error");
        match totals.last_error.as_str() {
            "" => writer.null(),
            error => writer.bulk(error),
        }
    }
}

pub(in crate::bus) fn dead(writer: &mut ReplyWriter<'_>, rows: &[DeadRow]) {
    writer.array(rows.len());
    for row in rows {
        writer.map(7);
        text(writer, "id", &row.call.id);
        arguments(writer, &row.call);
        writer.bulk("payload");
        writer.bulk(row.call.body.payload());
        text(writer, "code", &row.code);
        text(writer, "message", &row.message);
        integer(writer, "attempts", row.call.attempt);
    }
}
