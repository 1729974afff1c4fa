//! `respite worker BUS METHOD --exec CMD`: a bus worker that runs a command for each call.
//!
//! How the command gets the call's arguments and payload is in `program`.

use std::collections::HashMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisError, Value};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{interval, sleep};

use super::program::{Made, Program};
use super::server;
use crate::backoff::Backoff;
use crate::cli::WorkerArgs;
use crate::upstream::ControlLink;

/// How long one fetch waits, and so how long a worker without work takes to stop at most.
const FETCH_MS: u64 = 1000;
/// How often a call is extended, at most.
const BEAT: Duration = Duration::from_secs(10);
/// How often is looked whether the method is still registered: a Redis may have lost its data.
const REGISTER: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(100);
const RETRY_MOST: Duration = Duration::from_secs(5);
/// A connection that held for so long was a good one: the next attempt comes soon again.
const GOOD: Duration = Duration::from_secs(10);

/// A call that was fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Call {
    id: String,
    token: String,
    method: String,
    args: Vec<Vec<u8>>,
    payload: Vec<u8>,
}

/// One of the workers of the process.
struct Worker<'a> {
    args: &'a WorkerArgs,
    command: &'a Program,
    link: Arc<ControlLink>,
    name: String,
    stop: watch::Receiver<bool>,
    /// How often calls of a method have to be extended, and since when that is known.
    beats: HashMap<String, (Duration, Instant)>,
}

/// Works until a signal ends it: what is in hand is finished. Returns 0 then, 2 for arguments that make no sense.
#[must_use]
pub fn run(args: &WorkerArgs) -> ExitCode {
    let command = match shell_words::split(&args.exec) {
        Ok(words) if !words.is_empty() => Program::new(words, args),
        Ok(_) => return refused("--exec: the command is empty"),
        Err(error) => return refused(&format!("--exec: {error}")),
    };
    let link = match server::link(&args.server) {
        Ok(link) => link,
        Err(error) => return refused(&error),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work(args, &command, &link)),
        Err(error) => {
            eprintln!("respite: cannot start a runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

fn refused(text: &str) -> ExitCode {
    eprintln!("respite: {text}");
    ExitCode::from(2)
}

async fn work(args: &WorkerArgs, command: &Program, link: &Arc<ControlLink>) -> ExitCode {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        eprintln!("respite: cannot listen for signals");
        return ExitCode::FAILURE;
    };
    let (stopping, stop) = watch::channel(false);
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned());
    let host = host.unwrap_or_else(|_| "worker".to_owned());
    let workers = (0..args.concurrency).map(|number| {
        let worker = Worker {
            args,
            command,
            link: Arc::clone(link),
            name: format!("{host}-{}-{number}", std::process::id()),
            stop: stop.clone(),
            beats: HashMap::new(),
        };
        worker.serve()
    });
    let workers = futures_util::future::join_all(workers);
    let stopped = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stopping.send_replace(true);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = workers => {}
        () = stopped => {}
    }
    ExitCode::SUCCESS
}

impl Worker<'_> {
    async fn serve(mut self) {
        let mut backoff = Backoff::new(RETRY, RETRY_MOST);
        while !*self.stop.borrow() {
            let began = Instant::now();
            match self.session().await {
                Ok(()) => return,
                Err(error) => eprintln!("respite: {}: {error}", self.args.server.server),
            }
            if began.elapsed() > GOOD {
                backoff.reset();
            }
            tokio::select! {
                () = sleep(backoff.next()) => {}
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Works over one connection until it is lost or the worker is to stop.
    async fn session(&mut self) -> Result<(), String> {
        let opened = self.link.dedicated("respite-worker").await;
        let mut conn = opened.map_err(|error| error.client_text())?;
        self.work_over(&mut conn)
            .await
            .map_err(|error| error.to_string())
    }

    async fn work_over(&mut self, conn: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let bus = self.args.bus.as_str();
        let mut registered: Option<Instant> = None;
        while !*self.stop.borrow() {
            if registered.is_none_or(|at| at.elapsed() > REGISTER) {
                self.register(conn).await?;
                registered = Some(Instant::now());
            }
            let mut fetch = redis::cmd("BUS.FETCH");
            fetch.arg(bus).arg(&self.name).arg(&self.args.method);
            let reply: Value = fetch.arg("TIMEOUT").arg(FETCH_MS).query_async(conn).await?;
            for call in read_calls(reply) {
                let made = self.make(&call, conn).await?;
                let mut reply = redis::cmd(if matches!(made, Made::Reply(_)) {
                    "BUS.REPLY"
                } else {
                    "BUS.FAIL"
                });
                reply.arg(bus).arg(&call.id).arg(&call.token);
                match made {
                    Made::Reply(payload) => reply.arg(payload),
                    Made::Failure(code, message) => reply.arg(code).arg(message),
                    Made::Nothing => continue,
                };
                let _: i64 = reply.query_async(conn).await?;
            }
        }
        Ok(())
    }

    /// Registers the method unless somebody has, or it stands for several.
    async fn register(&self, conn: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let method = self.args.method.as_str();
        if method.contains(['*', '?', '[', '\\']) {
            return Ok(());
        }
        let mut methods = redis::cmd("BUS.METHODS");
        let known: Value = methods
            .arg(&self.args.bus)
            .arg("MATCH")
            .arg(method)
            .query_async(conn)
            .await?;
        if matches!(&known, Value::Array(rows) if rows.is_empty()) {
            let mut register = redis::cmd("BUS.REGISTER");
            let _: Value = register
                .arg(&self.args.bus)
                .arg(method)
                .query_async(conn)
                .await?;
        }
        Ok(())
    }

    /// How often the calls of a method have to be extended.
    async fn beat_every(
        &mut self,
        method: &str,
        conn: &mut MultiplexedConnection,
    ) -> Result<Duration, RedisError> {
        match self.beats.get(method) {
            Some((every, since)) if since.elapsed() < BEAT => return Ok(*every),
            _ => self.beats.clear(),
        }
        let mut methods = redis::cmd("BUS.METHODS");
        let rows: Value = methods.arg(&self.args.bus).query_async(conn).await?;
        let Value::Array(rows) = rows else {
            return Ok(BEAT);
        };
        let mut rows = rows.iter();
        let row = rows.find(|row| text(field(row, "method")) == method);
        let visibility = row.and_then(|row| field(row, "visibility_ms").cloned());
        let ms = visibility.and_then(|ms| u64::from_redis_value(ms).ok());
        let third = |ms: u64| Duration::from_millis((ms / 3).max(1)).min(BEAT);
        let every = ms.map_or(BEAT, third);
        self.beats
            .insert(method.to_owned(), (every, Instant::now()));
        Ok(every)
    }

    /// Runs the command, and keeps the call alive meanwhile.
    async fn make(
        &mut self,
        call: &Call,
        conn: &mut MultiplexedConnection,
    ) -> Result<Made, RedisError> {
        let mut child = match self.command.start(&call.args) {
            Ok(child) => child,
            Err(error) => {
                let message = format!("cannot start {}: {error}", self.command.program());
                return Ok(Made::Failure("EXEC".to_owned(), message.into_bytes()));
            }
        };
        let every = self.beat_every(&call.method, conn).await?;
        let running = child.finish(&call.payload);
        tokio::pin!(running);
        let mut beats = interval(every);
        beats.tick().await;
        loop {
            tokio::select! {
                made = &mut running => return Ok(made),
                _ = beats.tick() => {
                    let mut beat = redis::cmd("BUS.BEAT");
                    let beat = beat.arg(&self.args.bus).arg(&self.name).arg("EXTEND").arg(1).arg(&call.id);
                    let told: Value = beat.query_async(conn).await?;
                    let over = ["lost", "cancelled"].iter().any(|list| {
                        matches!(field(&told, list), Some(Value::Array(ids)) if !ids.is_empty())
                    });
                    if over {
                        // Dropping the command kills it.
                        return Ok(Made::Nothing);
                    }
                }
            }
        }
    }
}

fn read_calls(reply: Value) -> Vec<Call> {
    let Value::Array(calls) = reply else {
        return Vec::new();
    };
    let bytes = |value: Option<&Value>| match value {
        Some(Value::BulkString(bytes)) => bytes.clone(),
        _ => Vec::new(),
    };
    let args = |value: Option<&Value>| match value {
        Some(Value::Array(args)) => args.iter().map(|arg| bytes(Some(arg))).collect(),
        _ => Vec::new(),
    };
    let read = |call: &Value| Call {
        id: text(field(call, "id")),
        token: text(field(call, "token")),
        method: text(field(call, "method")),
        args: args(field(call, "args")),
        payload: bytes(field(call, "payload")),
    };
    calls.iter().map(read).collect()
}

/// The value of a field of a map, or of RESP2's flat array.
fn field<'v>(map: &'v Value, name: &str) -> Option<&'v Value> {
    let is_named = |key: &Value| matches!(key, Value::BulkString(key) if key == name.as_bytes());
    match map {
        Value::Array(flat) => {
            let mut pairs = flat.chunks_exact(2);
            pairs.find(|pair| is_named(&pair[0])).map(|pair| &pair[1])
        }
        Value::Map(pairs) => pairs
            .iter()
            .find(|(key, _)| is_named(key))
            .map(|(_, value)| value),
        _ => None,
    }
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::BulkString(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetched_call_is_read() {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let call = Value::Array(vec![
            bulk("id"),
            bulk("i"),
            bulk("args"),
            Value::Array(vec![bulk("1")]),
        ]);
        let calls = read_calls(Value::Array(vec![call]));
        assert_eq!(calls[0].args, [b"1".to_vec()]);
        assert_eq!(calls[0].id, "i");
        assert!(read_calls(Value::Nil).is_empty());
    }
}
