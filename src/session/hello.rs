//! `HELLO` and `AUTH`: who the client is and which protocol version it speaks.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::backing_login;
use super::client_line::version;
use super::cluster_command;
use super::login_turn::{CROWDED, CROWDED_HASHES, LoginTurn};
use super::refusals;
use super::settings::Settings;
use super::state::ConnState;
use super::worker::Worker;
use crate::access::{Attempt, Judged, Turn, UserId, Verdict};
use crate::command::Local;
use crate::resp::{Args, Proto, ReplyWriter};

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NOAUTH_HELLO: &str = "NOAUTH HELLO must be called with the client already authenticated, \
    otherwise the HELLO AUTH <user> <pass> option can be used to authenticate the client and \
    select the RESP protocol version at the same time";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";
/// The replies of a transaction come at once, so there it cannot be judged who has to wait.
pub(super) const SLOWED: &str = "ERR too many logins have failed from this address: log in outside of a \
    transaction";
/// The text of Redis for a name that `CLIENT LIST` could not show.
pub(super) const BAD_NAME: &str =
    "ERR Client names cannot contain spaces, newlines or special characters.";

/// What `HELLO` asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Hello<'a> {
    proto: Option<Proto>,
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Hello<'a> {
    /// Reads the arguments; the error is Redis' own.
    fn parse(args: Args<'a>) -> Result<Self, String> {
        let mut hello = Hello::default();
        let Some(version) = args.get(1) else {
            return Ok(hello);
        };
        hello.proto = Some(match number(version) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        });
        let mut at = 2;
        while let Some(option) = args.get(at) {
            if option.eq_ignore_ascii_case(b"AUTH") && args.len() > at + 2 {
                let word = |at| args.get(at).unwrap_or_default();
                hello.auth = Some((word(at + 1), word(at + 2)));
                at += 3;
            } else if option.eq_ignore_ascii_case(b"SETNAME") && args.len() > at + 1 {
                let name = args.get(at + 1).unwrap_or_default();
                if !is_name(name) {
                    return Err(BAD_NAME.into());
                }
                if name.len() > MOST_NAME {
                    return Err(LONG_NAME.into());
                }
                hello.name = Some(name);
                at += 2;
            } else {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'"));
            }
        }
        Ok(hello)
    }
}

/// The version that a valid `HELLO` switches to.
pub(super) fn switches_to(args: Args<'_>) -> Option<Proto> {
    Hello::parse(args).ok().and_then(|hello| hello.proto)
}

/// The name and the password that a command logs in with, where there are users.
pub(super) fn attempt<'a>(
    local: Local,
    args: Args<'a>,
    settings: &Settings,
) -> Option<(&'a [u8], &'a [u8])> {
    if settings.access.is_open() {
        return None;
    }
    Some(match (local, args.len()) {
        (Local::Hello, _) => Hello::parse(args).ok()?.auth?,
        (Local::Auth, 2) => (&b"default"[..], args.get(1)?),
        (Local::Auth, 3) => (args.get(1)?, args.get(2)?),
        _ => return None,
    })
}

/// Whether a command logs in.
pub(super) fn attempts(local: Local, args: Args<'_>, settings: &Settings) -> bool {
    attempt(local, args, settings).is_some()
}

/// The user that a command makes the client when a transaction is executed, if it does and there are users.
/// What the client is told of the commands behind it says whether it was right: so this is judged, and counts,
/// as any login does.
///
/// # Errors
/// When it may not be judged.
pub(super) fn logs_in(
    local: Local,
    args: Args<'_>,
    state: &mut ConnState,
    settings: &Settings,
) -> Result<Option<UserId>, &'static str> {
    let turn = std::mem::take(&mut state.login_turn);
    let Some((tried, password)) = attempt(local, args, settings) else {
        return Ok(None);
    };
    let (peer, whom) = (state.peer(), settings.access.whom(tried));
    if settings.logins.is_slowed(peer, &whom) {
        return Err(SLOWED);
    }
    let user = settings.access.authenticate(tried, password);
    if user.is_none() {
        if !matches!(turn, LoginTurn::Failed) {
            settings.logins.failed(peer, &whom);
        }
        let command = args.get(0).unwrap_or_default();
        refusals::note_login(state, settings, true, (command, tried));
    }
    Ok(user)
}

/// Whether a command may be judged now, if it is a login: its turn has come, and a slow hash is worked out.
///
/// # Errors
/// When too many wait.
pub(super) fn poll_turn(
    state: &mut ConnState,
    local: Local,
    args: Args<'_>,
    settings: &Settings,
    cx: &mut Context<'_>,
) -> Poll<Result<(), &'static str>> {
    let Some((user, password)) = attempt(local, args, settings) else {
        return Poll::Ready(Ok(()));
    };
    let (peer, whom) = (state.peer(), settings.access.whom(user));
    loop {
        match &mut state.login_turn {
            LoginTurn::None => {
                let has_turn = settings.logins.is_slowed(peer, &whom);
                state.login_turn = match settings.logins.turn(peer, &whom) {
                    Turn::Now => LoginTurn::Due { has_turn },
                    Turn::Never => return Poll::Ready(Err(CROWDED)),
                    Turn::At(at, place) => LoginTurn::Waits {
                        sleep: Box::pin(tokio::time::sleep_until(at.into())),
                        _place: place,
                    },
                };
            }
            // Of the backing's users, of whom there are none here.
            LoginTurn::Asked(_) | LoginTurn::Judged(_) => state.login_turn = LoginTurn::None,
            LoginTurn::Waits { sleep, .. } => {
                ready!(sleep.as_mut().poll(cx));
                state.login_turn = LoginTurn::Due { has_turn: true };
            }
            LoginTurn::Due { .. } | LoginTurn::Verified(_) | LoginTurn::Failed => {
                match ready!(poll_verified(state, (user, password), settings, cx)) {
                    Ok(true) => return Poll::Ready(Ok(())),
                    // So many have failed meanwhile that it has to wait for its turn.
                    Ok(false) => {}
                    Err(text) => return Poll::Ready(Err(text)),
                }
            }
        }
    }
}

/// As [`poll_turn`], of a login in a transaction: there it may not wait for a turn, only for its hash.
pub(super) fn poll_hash(
    state: &mut ConnState,
    local: Local,
    args: Args<'_>,
    settings: &Settings,
    cx: &mut Context<'_>,
) -> Poll<Result<(), &'static str>> {
    let Some((user, password)) = attempt(local, args, settings) else {
        return Poll::Ready(Ok(()));
    };
    if matches!(state.login_turn, LoginTurn::None) {
        if settings
            .logins
            .is_slowed(state.peer(), &settings.access.whom(user))
        {
            return Poll::Ready(Ok(())); // `logs_in` says so
        }
        state.login_turn = LoginTurn::Due { has_turn: false };
    }
    let polled = ready!(poll_verified(state, (user, password), settings, cx));
    Poll::Ready(polled.map(drop))
}

/// Whether it is known whether a password is right; not when too many have failed meanwhile.
fn poll_verified(
    state: &mut ConnState,
    (user, password): (&[u8], &[u8]),
    settings: &Settings,
    cx: &mut Context<'_>,
) -> Poll<Result<bool, &'static str>> {
    if let LoginTurn::Due { has_turn } = state.login_turn {
        state.login_turn = LoginTurn::None;
        let Judged::Unknown(login) = settings.access.judge(user, password) else {
            return Poll::Ready(Ok(true));
        };
        let attempt = Attempt {
            logins: Arc::clone(&settings.logins),
            peer: state.peer(),
            whom: settings.access.whom(user),
            has_turn,
            counts: true,
        };
        let Some(judged) = settings.verifier.verify(login, attempt) else {
            return Poll::Ready(Err(CROWDED_HASHES));
        };
        state.login_turn = LoginTurn::Verified(judged);
    }
    let LoginTurn::Verified(judged) = &mut state.login_turn else {
        return Poll::Ready(Ok(true)); // known already
    };
    let verdict = ready!(Pin::new(judged).poll(cx));
    state.login_turn = match verdict {
        Ok(Verdict::Wrong) => LoginTurn::Failed,
        _ => LoginTurn::None,
    };
    Poll::Ready(match verdict {
        Ok(Verdict::Right | Verdict::Wrong) => Ok(true),
        Ok(Verdict::Slowed) => Ok(false),
        Err(_) => Err(CROWDED_HASHES),
    })
}

/// Answers `HELLO`.
pub(super) fn answer(state: &mut ConnState, worker: &Worker, args: Args<'_>, out: &mut Vec<u8>) {
    let settings = worker.settings();
    let Some(server) = &settings.hello else {
        // Before anything is switched: after an error the client goes on as it was.
        return ReplyWriter::new(out, state.proto)
            .error("UPSTREAM the backing has not been reached yet");
    };
    if let Err(text) = apply(state, worker, args, &settings) {
        return ReplyWriter::new(out, state.proto).error(text);
    }
    let mut reply = ReplyWriter::new(out, state.proto);
    reply.map(7);
    reply.bulk("server");
    reply.bulk(&server.server);
    reply.bulk("version");
    reply.bulk(&server.version);
    reply.bulk("proto");
    reply.integer(i64::from(state.proto.number()));
    reply.bulk("id");
    reply.integer(state.entry.id.cast_signed());
    reply.bulk("mode");
    reply.bulk(cluster_command::mode(
        &settings,
        &worker.shared.backing,
        &server.mode,
    ));
    reply.bulk("role");
    reply.bulk(&server.role);
    reply.bulk("modules");
    reply.raw(server.modules(state.proto));
}

/// What a stranger is told, in the words of the backing's version.
fn stranger(settings: &Settings) -> String {
    let version = version(settings.hello.as_deref());
    match version.is_some_and(|version| version >= (7, 2)) {
        true => NOAUTH_HELLO.replacen("HELLO AUTH", "HELLO <proto> AUTH", 1),
        false => NOAUTH_HELLO.to_owned(),
    }
}

fn apply(
    state: &mut ConnState,
    worker: &Worker,
    args: Args<'_>,
    settings: &Settings,
) -> Result<(), String> {
    let hello = Hello::parse(args)?;
    if let Some((user, password)) = hello.auth {
        log_in(state, worker, b"HELLO", (user, password), settings)?;
    }
    if !settings.access.is_open() && state.user.is_none() {
        return Err(stranger(settings));
    }
    if let Some(name) = hello.name {
        let name = String::from_utf8_lossy(name).into_owned();
        state.entry.update(|facts| facts.name = name);
    }
    if let Some(proto) = hello.proto {
        state.set_proto(proto);
    }
    Ok(())
}

/// Answers `AUTH`.
pub(super) fn auth(state: &mut ConnState, worker: &Worker, args: Args<'_>, out: &mut Vec<u8>) {
    let settings = worker.settings();
    let open = settings.access.is_open();
    let result = match (args.get(1), args.get(2)) {
        (Some(user), Some(password)) if args.len() == 3 => {
            log_in(state, worker, b"AUTH", (user, password), &settings)
        }
        (Some(_), None) if open => Err(NO_PASSWORD.into()),
        (Some(password), None) => log_in(state, worker, b"AUTH", (b"default", password), &settings),
        _ => Err("ERR syntax error".into()),
    };
    let mut reply = ReplyWriter::new(out, state.proto);
    match result {
        Ok(()) => reply.ok(),
        Err(text) => reply.error(text.as_ref()),
    }
}

fn log_in(
    state: &mut ConnState,
    worker: &Worker,
    command: &[u8],
    (user, password): (&[u8], &[u8]),
    settings: &Settings,
) -> Result<(), Cow<'static, str>> {
    if let Some(users) = worker.shared.users() {
        return backing_login::log_in(state, users, command, (user, password), settings)
            .map_err(Cow::Owned);
    }
    if settings.access.is_open() {
        // As in Redis, where the default user needs no password.
        return if user == b"default" {
            Ok(())
        } else {
            Err(WRONGPASS.into())
        };
    }
    let (peer, whom) = (state.peer(), settings.access.whom(user));
    let Some(id) = settings.access.authenticate(user, password) else {
        // What is queued was judged when it came, and counted.
        if !state.in_transaction {
            if !matches!(state.login_turn, LoginTurn::Failed) {
                settings.logins.failed(peer, &whom);
            }
            refusals::note_login(state, settings, false, (command, user));
        }
        return Err(WRONGPASS.into());
    };
    settings.logins.succeeded(peer, &whom);
    let name = settings.access.user_name(id).to_owned();
    state.set_user(Some((id, name)));
    Ok(())
}

/// `CLIENT LIST` shows the names of all clients at once.
pub(super) const MOST_NAME: usize = 4096;
/// A name is longer.
pub(super) const LONG_NAME: &str = "ERR Client names cannot be longer than 4096 bytes";

/// Whether `CLIENT LIST` can show a name: printable, without spaces.
pub(super) fn is_name(name: &[u8]) -> bool {
    name.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// A whole number as Redis reads it.
pub(super) fn number(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let leading_zero = digits.len() > 1 && digits[0] == b'0' || text == b"-0";
    if digits.is_empty() || leading_zero || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    fn parse(words: &[&str]) -> Result<(Option<Proto>, bool, bool), String> {
        let mut args = ArgVec::default();
        words.iter().for_each(|word| args.push(word.as_bytes()));
        Hello::parse(args.as_args())
            .map(|hello| (hello.proto, hello.auth.is_some(), hello.name.is_some()))
    }

    #[test]
    fn hello_has_redis_errors() {
        assert_eq!(parse(&["HELLO"]), Ok((None, false, false)));
        let all = parse(&["HELLO", "3", "SETNAME", "me", "AUTH", "u", "p"]);
        assert_eq!(all, Ok((Some(Proto::Resp3), true, true)));
        let error = |words: &[&str]| parse(words).expect_err("wrong");
        assert!(error(&["HELLO", "4"]).starts_with("NOPROTO "));
        assert!(error(&["HELLO", "03"]).starts_with("ERR Protocol version is not"));
        assert_eq!(
            error(&["HELLO", "3", "AUTH", "u"]),
            "ERR Syntax error in HELLO option 'AUTH'"
        );
        assert_eq!(error(&["HELLO", "3", "SETNAME", "a b"]), BAD_NAME);
    }

    #[test]
    fn numbers_are_read_as_redis_does() {
        for (text, value) in [("0", Some(0)), ("-12", Some(-12)), ("9", Some(9))] {
            assert_eq!(number(text.as_bytes()), value);
        }
        for text in [
            "",
            "-",
            "-0",
            "01",
            "+1",
            " 1",
            "1x",
            "99999999999999999999",
        ] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
