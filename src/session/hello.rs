//! `HELLO` and `AUTH`: who the client is and which protocol version it speaks.

use std::sync::Arc;

use super::dispatch::Flow;
use super::run::Session;
use super::shared::Settings;
use crate::resp::{Args, Proto};

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NOAUTH_HELLO: &str = "NOAUTH HELLO must be called with the client already authenticated, \
    otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
    and select the RESP protocol version at the same time";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";
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
        let Some(version) = args.get(1) else { return Ok(hello) };
        hello.proto = Some(match number(version) {
            Some(2) => Proto::Resp2,
            Some(3) => Proto::Resp3,
            Some(_) => return Err("NOPROTO unsupported protocol version".into()),
            None => return Err("ERR Protocol version is not an integer or out of range".into()),
        });
        let mut at = 2;
        while let Some(option) = args.get(at) {
            if option.eq_ignore_ascii_case(b"AUTH") && args.len() > at + 2 {
                hello.auth = Some((&args.get(at + 1).unwrap_or_default(), args.get(at + 2).unwrap_or_default()));
                at += 3;
            } else if option.eq_ignore_ascii_case(b"SETNAME") && args.len() > at + 1 {
                let name = args.get(at + 1).unwrap_or_default();
                if !is_name(name) {
                    return Err(BAD_NAME.into());
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

impl Session {
    pub(super) fn hello(&mut self, args: Args<'_>, settings: &Arc<Settings>) -> Flow {
        let hello = match Hello::parse(args) {
            Ok(hello) => hello,
            Err(text) => return self.answer_error(text),
        };
        if let Some((user, password)) = hello.auth {
            if let Err(text) = self.log_in(user, password, settings) {
                return self.answer_error(text);
            }
        }
        if !settings.access.is_open() && self.state.user.is_none() {
            return self.answer_error(NOAUTH_HELLO);
        }
        let Some(server) = &settings.hello else {
            return self.answer_error("UPSTREAM the backing has not been reached yet");
        };
        if let Some(name) = hello.name {
            self.set_name(name);
        }
        if let Some(proto) = hello.proto.filter(|proto| *proto != self.state.proto) {
            self.state.set_proto(proto);
            self.link = None;
            if let Some(pinned) = &mut self.pinned {
                pinned.set_proto(proto);
            }
        }
        let (proto, id) = (self.state.proto, self.state.entry.id);
        self.answer(|reply| {
            reply.map(7);
            reply.bulk("server");
            reply.bulk(&server.server);
            reply.bulk("version");
            reply.bulk(&server.version);
            reply.bulk("proto");
            reply.integer(i64::from(proto.number()));
            reply.bulk("id");
            reply.integer(id.cast_signed());
            reply.bulk("mode");
            reply.bulk(&server.mode);
            reply.bulk("role");
            reply.bulk(&server.role);
            reply.bulk("modules");
            reply.raw(server.modules(proto));
        });
        Flow::Done
    }

    pub(super) fn auth(&mut self, args: Args<'_>, settings: &Arc<Settings>) -> Flow {
        let (user, password) = match (args.get(1), args.get(2)) {
            _ if args.len() > 3 => return self.answer_error("ERR syntax error"),
            (Some(user), Some(password)) => (user, password),
            (Some(_), None) if settings.access.is_open() => return self.answer_error(NO_PASSWORD),
            (Some(password), None) => (b"default".as_slice(), password),
            (None, _) => return self.answer_error("ERR syntax error"),
        };
        match self.log_in(user, password, settings) {
            Ok(()) => self.answer(|reply| reply.ok()),
            Err(text) => return self.answer_error(text),
        }
        Flow::Done
    }

    fn log_in(
        &mut self,
        user: &[u8],
        password: &[u8],
        settings: &Arc<Settings>,
    ) -> Result<(), &'static str> {
        if settings.access.is_open() {
            // As in Redis, where the default user needs no password.
            return if user == b"default" { Ok(()) } else { Err(WRONGPASS) };
        }
        let id = settings.access.authenticate(user, password).ok_or(WRONGPASS)?;
        let name = settings.access.user_name(id).to_owned();
        self.state.set_user(Some((id, name)));
        Ok(())
    }

    pub(super) fn set_name(&self, name: &[u8]) {
        let name = String::from_utf8_lossy(name).into_owned();
        self.state.entry.update(|facts| facts.name = name);
    }
}

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
        assert_eq!(error(&["HELLO", "3", "AUTH", "u"]), "ERR Syntax error in HELLO option 'AUTH'");
        assert_eq!(error(&["HELLO", "3", "SETNAME", "a b"]), BAD_NAME);
    }

    #[test]
    fn numbers_are_read_as_redis_does() {
        for (text, value) in [("0", Some(0)), ("-12", Some(-12)), ("9", Some(9))] {
            assert_eq!(number(text.as_bytes()), value);
        }
        for text in ["", "-", "-0", "01", "+1", " 1", "1x", "99999999999999999999"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }
}
