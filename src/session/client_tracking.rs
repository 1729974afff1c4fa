//! `CLIENT TRACKING`: its options as Redis reads them, and whose connection `REDIRECT` names.
//!
//! A client names a client of Respite; the backing knows only Respite's connections. The id is
//! translated or refused here, so that no id that a client sends ever reaches the backing. The
//! client that is named keeps a connection of its own from then on, which its later `SUBSCRIBE`
//! uses as well.

use std::sync::Arc;
use std::task::Context;

use super::client::Session;
use super::client_command::{SYNTAX, on_or_off};
use super::dispatch::Flow;
use super::hello::number;
use super::mailbox::ToWorker;
use super::pinned::{Expect, Pinned, Queued, Tracking};
use super::registry::{ClientEntry, Kept, Wish};
use super::replies::Then;
use super::request::Request;
use super::settings::Settings;
use super::state::SameClient;
use crate::resp::{Args, write_command};

const NO_SUCH_CLIENT: &str = "ERR The client ID you want redirect to does not exist";
const TWO_CLIENTS: &str = "ERR A client can only redirect to a single other client";
const NOT_A_NUMBER: &str = "ERR value is not an integer or out of range";

/// What `CLIENT TRACKING` asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    on: bool,
    broadcast: bool,
    /// The position of the id behind `REDIRECT`, and the id.
    redirect: Option<(usize, u64)>,
}

/// What is sent to the backing.
struct Translated {
    request: Vec<u8>,
    tracking: Option<Tracking>,
}

/// Why there is nothing to send.
enum Not {
    /// The redirection has to wait for the connection of the client that it names.
    Yet,
    Valid(String),
}

impl Asked {
    /// Reads the options one by one, as Redis does: a word that belongs to an option before it is
    /// no option. The error is Redis' own.
    fn parse(args: Args<'_>, exists: impl Fn(i64) -> bool) -> Result<Self, &'static str> {
        let mut asked = Asked {
            on: false,
            broadcast: false,
            redirect: None,
        };
        let mut at = 3;
        while let Some(option) = args.get(at) {
            let is = |word: &[u8]| option.eq_ignore_ascii_case(word);
            match args.get(at + 1) {
                Some(id) if is(b"REDIRECT") => {
                    if asked.redirect.is_some() {
                        return Err(TWO_CLIENTS);
                    }
                    let id = number(id).ok_or(NOT_A_NUMBER)?;
                    let known = u64::try_from(id).ok().filter(|_| exists(id));
                    asked.redirect = Some((at + 1, known.ok_or(NO_SUCH_CLIENT)?));
                    at += 1;
                }
                Some(_) if is(b"PREFIX") => at += 1,
                _ if is(b"BCAST") => asked.broadcast = true,
                _ if is(b"OPTIN") || is(b"OPTOUT") || is(b"NOLOOP") => {}
                _ => return Err(SYNTAX),
            }
            at += 1;
        }
        asked.on = on_or_off(args.get(2).unwrap_or_default())?;
        Ok(asked)
    }
}

impl Session {
    pub(super) fn client_tracking(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        match self.translate_tracking(request.args, settings) {
            Ok(Translated { tracking: None, .. }) if self.pinned.is_none() => {
                let mut off = Vec::new();
                write_command(&mut off, &[b"CLIENT".as_slice(), b"TRACKING", b"OFF"]);
                self.forward(&off, Then::Pass, cx)
            }
            Ok(translated) => {
                let expect = Expect::Tracking(translated.tracking);
                self.on_own_connection(&translated.request, expect, settings, cx)
            }
            Err(Not::Yet) => Flow::Wait,
            Err(Not::Valid(error)) => self.answer_error(error),
        }
    }

    /// The same in a transaction, where an error is part of the reply of `EXEC`.
    pub(super) fn queue_tracking(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &mut Context<'_>,
    ) -> Flow {
        match self.translate_tracking(request.args, settings) {
            Ok(translated) => {
                let expect = Expect::Queued(Queued::Tracking(translated.tracking));
                self.send(&translated.request, expect, cx)
            }
            Err(Not::Yet) => Flow::Wait,
            Err(Not::Valid(error)) => self.queue_answer(error, cx),
        }
    }

    fn translate_tracking(
        &mut self,
        args: Args<'_>,
        settings: &Settings,
    ) -> Result<Translated, Not> {
        let find = |id: u64| self.worker.shared.clients.get(id);
        let exists = |id: i64| u64::try_from(id).is_ok_and(|id| find(id).is_some());
        let asked = Asked::parse(args, exists).map_err(|error| Not::Valid(error.to_owned()))?;
        let mut words: Vec<&[u8]> = args.iter().collect();
        let redirect = match asked.redirect {
            None => None,
            Some((_, own)) => {
                let client = find(own).ok_or_else(|| Not::Valid(NO_SUCH_CLIENT.to_owned()))?;
                Some(SameClient {
                    own,
                    backing: self.backing_id_of(&client, settings)?,
                })
            }
        };
        let id = redirect.map(|redirect| redirect.backing.to_string());
        if let (Some((at, _)), Some(id)) = (asked.redirect, &id) {
            words[at] = id.as_bytes();
        }
        let mut request = Vec::new();
        write_command(&mut request, &words);
        let tracking = asked.on.then_some(Tracking {
            broadcast: asked.broadcast,
            redirect,
        });
        Ok(Translated { request, tracking })
    }

    /// The backing's id of a connection that a client has and keeps.
    fn backing_id_of(
        &mut self,
        client: &Arc<ClientEntry>,
        settings: &Settings,
    ) -> Result<u64, Not> {
        let limit = settings.limits.pinned;
        let refused = || {
            Not::Valid(format!(
                "ERR no connection of its own for the client that is redirected to: {limit} are in \
                 use (limits.pinned)"
            ))
        };
        if client.id == self.state.entry.id {
            if self.pinned.is_none() && !self.take_connection(settings).map_err(Not::Valid)? {
                return Err(Not::Yet);
            }
            let id = self.pinned.as_ref().and_then(|pinned| pinned.backing_id());
            return id.ok_or(Not::Yet);
        }
        match client.kept() {
            Kept::Id(id) => return Ok(id),
            Kept::Refused => {
                client.set_kept(Kept::NotYet);
                return Err(refused());
            }
            Kept::NotYet => {}
        }
        let wish = Wish::Keep {
            worker: self.worker.index,
            session: self.state.entry.id,
        };
        if client.wish(wish).is_err() {
            return Err(Not::Valid(NO_SUCH_CLIENT.to_owned()));
        }
        let wake = ToWorker::Wake(client.id);
        self.worker.shared.tell(client.worker, wake);
        Err(Not::Yet)
    }

    /// Others want to redirect invalidations to this client. True when that is settled.
    pub(super) fn keep_connection(&mut self, settings: &Settings) -> bool {
        if self.pinned.is_none() {
            match self.take_connection(settings) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(_) => {
                    self.state.entry.set_kept(Kept::Refused);
                    return true;
                }
            }
        }
        self.with_pinned(Pinned::keep);
        let id = self.pinned.as_ref().and_then(|pinned| pinned.backing_id());
        if let Some(id) = id {
            self.state.entry.set_kept(Kept::Id(id));
        }
        id.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    fn parse(options: &str) -> Result<Asked, &'static str> {
        let mut args = ArgVec::default();
        let words = format!("CLIENT TRACKING {options}");
        words.split(' ').for_each(|word| args.push(word.as_bytes()));
        Asked::parse(args.as_args(), |id| id == 7)
    }

    #[test]
    fn a_word_that_belongs_to_an_option_is_none() {
        let asked = |options| parse(options).expect("valid").redirect;
        assert_eq!(asked("ON PREFIX REDIRECT REDIRECT 7 BCAST"), Some((6, 7)));
        assert_eq!(asked("ON BCAST PREFIX REDIRECT PREFIX 7"), None);
        assert_eq!(asked("on redirect 7 prefix redirect bcast"), Some((4, 7)));
        assert_eq!(asked("OFF"), None);
    }

    #[test]
    fn errors_are_those_of_redis() {
        for (options, error) in [
            ("ON REDIRECT", SYNTAX),
            ("ON PREFIX", SYNTAX),
            ("ON REDIRECT x", NOT_A_NUMBER),
            ("ON REDIRECT 0", NO_SUCH_CLIENT),
            ("ON REDIRECT -7", NO_SUCH_CLIENT),
            ("OFF REDIRECT 8", NO_SUCH_CLIENT),
            ("nonsense REDIRECT 8", NO_SUCH_CLIENT),
            ("nonsense REDIRECT 7", SYNTAX),
            ("ON REDIRECT 7 REDIRECT 7", TWO_CLIENTS),
            ("ON PREFIX REDIRECT REDIRECT 8", NO_SUCH_CLIENT),
            ("ON 7", SYNTAX),
        ] {
            assert_eq!(parse(options), Err(error), "{options}");
        }
    }
}
