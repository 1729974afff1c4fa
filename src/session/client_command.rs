//! `CLIENT`: about the clients of Respite, not about its connections to the backing.

use std::sync::Arc;
use std::task::Context;
use std::time::{Duration, Instant};

use super::client::Session;
use super::client_filter::ClientFilter;
use super::client_line::{LineFormat, version};
use super::dispatch::Flow;
use super::hello::{BAD_NAME, LONG_NAME, MOST_NAME, is_name, number};
use super::mailbox::ToWorker;
use super::pause::Paused;
use super::pinned::Expect;
use super::replies::Then;
use super::request::Request;
use super::settings::Settings;
use super::state::{ConnState, ReplyMode};
use super::worker::Worker;
use crate::command::{arity_error, arity_ok, unknown_subcommand};
use crate::resp::{Args, ReplyWriter};

pub(super) const SYNTAX: &str = "ERR syntax error";

/// Whether the backing's version has this subcommand, given in upper case.
pub(super) fn exists(sub: &[u8], settings: &Settings) -> bool {
    let since = match sub {
        b"NO-EVICT" => (7, 0),
        b"SETINFO" | b"NO-TOUCH" => (7, 2),
        _ => return true,
    };
    version(settings.hello.as_deref()).is_none_or(|version| version >= since)
}

/// Whether [`answer`] answers this subcommand, given in upper case.
pub(super) fn answers(sub: &[u8]) -> bool {
    matches!(
        sub,
        b"ID"
            | b"INFO"
            | b"LIST"
            | b"KILL"
            | b"GETNAME"
            | b"SETNAME"
            | b"SETINFO"
            | b"PAUSE"
            | b"UNPAUSE"
            | b"NO-EVICT"
    )
}

/// Answers a subcommand that needs nothing of the backing.
pub(super) fn answer(state: &mut ConnState, worker: &Worker, args: Args<'_>, out: &mut Vec<u8>) {
    let mut reply = ReplyWriter::new(out, state.proto);
    let settings = worker.settings();
    let format = LineFormat::of(&settings);
    let sub = args.get(1).unwrap_or_default().to_ascii_uppercase();
    let result = match sub.as_slice() {
        b"ID" => {
            reply.integer(state.entry.id.cast_signed());
            Ok(())
        }
        b"INFO" => {
            reply.verbatim("txt", format!("{}\n", format.line(&state.entry)).as_bytes());
            Ok(())
        }
        b"GETNAME" => {
            match state.entry.facts().name {
                name if name.is_empty() => reply.null(),
                name => reply.bulk(&name),
            }
            Ok(())
        }
        b"LIST" => list(worker, args, &format, &mut reply),
        b"KILL" => kill(state, worker, args, &mut reply),
        _ => set(state, worker, &sub, args).map(|()| reply.ok()),
    };
    if let Err(text) = result {
        reply.error(text);
    }
}

fn list(
    worker: &Worker,
    args: Args<'_>,
    format: &LineFormat<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), String> {
    let filter = ClientFilter::for_list(args)?;
    let mut text = String::new();
    for client in worker.shared.clients.all() {
        if filter.matches(&client) {
            text.push_str(&format.line(&client));
            text.push('\n');
        }
    }
    reply.verbatim("txt", text.as_bytes());
    Ok(())
}

fn kill(
    state: &ConnState,
    worker: &Worker,
    args: Args<'_>,
    reply: &mut ReplyWriter<'_>,
) -> Result<(), String> {
    let mut killed = 0;
    let by_address = args.len() == 3;
    let filter = if by_address {
        None
    } else {
        let version = version(worker.settings().hello.as_deref());
        Some(ClientFilter::for_kill(args, version)?)
    };
    if let Some(user) = filter.as_ref().and_then(|filter| filter.user.as_deref()) {
        let access = &worker.settings().access;
        let known = access.is_of_backing() || access.user_by_name(user).is_some();
        if user != b"default" && !known {
            return Err(format!(
                "ERR No such user '{}'",
                String::from_utf8_lossy(user)
            ));
        }
    }
    for client in worker.shared.clients.all() {
        let meant = match &filter {
            None => args[2] == *client.addr().as_bytes(),
            Some(filter) => {
                filter.matches(&client) && !(filter.skip_me && client.id == state.entry.id)
            }
        };
        if meant {
            client.kill();
            worker.shared.tell(client.worker, ToWorker::Wake(client.id));
            killed += 1;
        }
    }
    match (by_address, killed) {
        (true, 0) => return Err("ERR No such client".into()),
        (true, _) => reply.ok(),
        (false, n) => reply.integer(n),
    }
    Ok(())
}

/// The subcommands that are answered with `OK`.
fn set(state: &mut ConnState, worker: &Worker, sub: &[u8], args: Args<'_>) -> Result<(), String> {
    let value = args.get(2).unwrap_or_default();
    let text = || String::from_utf8_lossy(value).into_owned();
    match sub {
        b"SETNAME" if value.len() > MOST_NAME => return Err(LONG_NAME.into()),
        b"SETNAME" if is_name(value) => state.entry.update(|facts| facts.name = text()),
        b"SETNAME" => return Err(BAD_NAME.into()),
        b"SETINFO" => set_info(state, args)?,
        b"PAUSE" => {
            let (end, what) = pause(args)?;
            let shared = Arc::clone(&worker.shared);
            let over = move || shared.broadcast(|| ToWorker::WakeAll);
            worker.shared.pause.begin(end, what, over);
        }
        b"UNPAUSE" => {
            worker.shared.pause.clear();
            worker.shared.broadcast(|| ToWorker::WakeAll);
        }
        b"NO-EVICT" => {
            let on = on_or_off(value)?;
            state.entry.update(|facts| facts.no_evict = on);
        }
        _ => return Err(SYNTAX.into()),
    }
    Ok(())
}

fn set_info(state: &ConnState, args: Args<'_>) -> Result<(), String> {
    let (option, value) = (
        args.get(2).unwrap_or_default(),
        args.get(3).unwrap_or_default(),
    );
    let name = String::from_utf8_lossy(option).to_ascii_lowercase();
    if name != "lib-name" && name != "lib-ver" {
        let option = String::from_utf8_lossy(option);
        return Err(format!("ERR Unrecognized option '{option}'"));
    }
    if value.len() > MOST_NAME {
        return Err(format!(
            "ERR {name} cannot be longer than {MOST_NAME} bytes"
        ));
    }
    if !is_name(value) {
        return Err(format!(
            "ERR {name} cannot contain spaces, newlines or special characters."
        ));
    }
    let value = String::from_utf8_lossy(value).into_owned();
    state.entry.update(|facts| {
        *(if name == "lib-name" {
            &mut facts.lib_name
        } else {
            &mut facts.lib_ver
        }) = value;
    });
    Ok(())
}

fn pause(args: Args<'_>) -> Result<(Instant, Paused), String> {
    let what = match args.get(3) {
        None => Paused::All,
        Some(mode) if mode.eq_ignore_ascii_case(b"ALL") => Paused::All,
        Some(mode) if mode.eq_ignore_ascii_case(b"WRITE") => Paused::Writes,
        Some(_) => return Err("ERR CLIENT PAUSE mode must be WRITE or ALL".into()),
    };
    let millis = args.get(2).and_then(number);
    let millis = millis.ok_or("ERR timeout is not an integer or out of range")?;
    let millis = u64::try_from(millis).map_err(|_| "ERR timeout is negative")?;
    let end = Instant::now().checked_add(Duration::from_millis(millis));
    Ok((end.ok_or("ERR timeout is out of range")?, what))
}

pub(super) fn on_or_off(word: &[u8]) -> Result<bool, &'static str> {
    if word.eq_ignore_ascii_case(b"ON") {
        Ok(true)
    } else if word.eq_ignore_ascii_case(b"OFF") {
        Ok(false)
    } else {
        Err(SYNTAX)
    }
}

impl Session {
    pub(super) fn client(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        let Request { args, raw, sub, .. } = request;
        if args
            .get(1)
            .is_some_and(|sub| !exists(&sub.to_ascii_uppercase(), settings))
        {
            return self.answer_error(unknown_subcommand(&args[0], &args[1]));
        }
        if let Some(row) = sub.filter(|row| !arity_ok(row, args.len())) {
            return self.answer_error(arity_error(row));
        }
        let sub = args[1].to_ascii_uppercase();
        if answers(&sub) {
            // What is shown of this client is this command.
            self.state.entry.update(|facts| facts.set_request(raw));
            let mut out = Vec::new();
            answer(&mut self.state, &self.worker, args, &mut out);
            self.answer(|reply| reply.raw(&out));
            self.killed_itself = self.state.entry.is_killed();
            self.front.closing |= self.killed_itself;
            return Flow::Done;
        }
        match sub.as_slice() {
            b"REPLY" => self.client_reply(args),
            b"UNBLOCK" => self.client_unblock(args),
            b"TRACKING" => self.client_tracking(request, settings, cx),
            b"NO-TOUCH" => match on_or_off(args.get(2).unwrap_or_default()) {
                Ok(on) => self.on_own_connection(raw, Expect::NoTouch(on), settings, cx),
                Err(text) => self.answer_error(text),
            },
            b"CACHING" | b"TRACKINGINFO" | b"GETREDIR" | b"HELP" => {
                if self.pinned.is_some() {
                    self.send(raw, Expect::ShowsId, cx)
                } else {
                    self.forward(raw, Then::Pass, cx)
                }
            }
            _ if request.sub.is_some() => {
                let name = String::from_utf8_lossy(&sub).to_lowercase();
                self.answer_error(format!(
                    "ERR 'client|{name}' is not available through Respite"
                ))
            }
            _ => self.answer_error(unknown_subcommand(&args[0], &args[1])),
        }
    }

    fn client_reply(&mut self, args: Args<'_>) -> Flow {
        match args
            .get(2)
            .unwrap_or_default()
            .to_ascii_uppercase()
            .as_slice()
        {
            b"ON" => {
                self.state.reply = ReplyMode::On;
                self.answer(|reply| reply.ok());
            }
            b"OFF" => self.state.reply = ReplyMode::Off,
            b"SKIP" if self.state.reply != ReplyMode::Off => {
                // The skip is for the command after this one.
                self.state.reply = ReplyMode::SkipAfterThis;
            }
            b"SKIP" => {}
            _ => return self.answer_error(SYNTAX),
        }
        Flow::Done
    }

    /// Sends a command that changes its connection, on one that is this session's own.
    pub(super) fn on_own_connection(
        &mut self,
        raw: &[u8],
        expect: Expect,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        if self.pinned.is_none() {
            match self.take_connection(settings) {
                Ok(true) => {}
                Ok(false) => return Flow::Wait,
                Err(text) => return self.answer_error(text),
            }
        }
        self.send(raw, expect, cx)
    }
}
