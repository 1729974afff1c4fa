//! The arguments of the commands, read from a request before it is answered.

use std::time::Duration;

use super::error::BusError;
use super::fetch::MOST_PATTERNS;
use super::method::{Given, whole};
use super::name::check;
use super::outcome::Work;
use crate::resp::{ArgIter, Args};

/// Unless `TIMEOUT` says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a cast may wait for a worker, unless `TIMEOUT` says otherwise.
const CAST_TIMEOUT_MS: u64 = 3_600_000;
/// No call may take longer: a week.
const LONGEST_MS: u64 = 7 * 86_400_000;
const MOST_FETCHED: u64 = 100;
const MOST_EXTENDED: u64 = 1000;
const MOST_DEAD: u64 = 1000;
const MOST_MESSAGE: usize = 16 * 1024;

/// How a wait ends when nothing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    For(Duration),
    /// `TIMEOUT 0`, as with Redis' blocking commands.
    Endless,
}

/// What a call may have to do with the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Caching {
    #[default]
    Use,
    /// `NOCACHE`
    Never,
    /// `REFRESH`
    Replace,
}

/// `BUS.CALL` and `BUS.CAST`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CallArgs {
    pub(super) bus: String,
    pub(super) method: String,
    pub(super) timeout_ms: u64,
    pub(super) caching: Caching,
    pub(super) payload: Vec<u8>,
    pub(super) given: Given,
}

/// `BUS.FETCH`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct FetchArgs {
    pub(super) bus: String,
    pub(super) worker: String,
    pub(super) patterns: Vec<String>,
    pub(super) count: usize,
    pub(super) patience: Patience,
}

/// The name in an argument.
///
/// # Errors
/// The error reply.
pub(super) fn name(args: Args<'_>, at: usize, what: &str) -> Result<String, BusError> {
    check(what, args.get(at).unwrap_or_default()).map(str::to_owned)
}

/// The id of a call, or a token: whatever is not text is unknown.
pub(super) fn id(args: Args<'_>, at: usize) -> String {
    String::from_utf8_lossy(args.get(at).unwrap_or_default()).into_owned()
}

impl CallArgs {
    pub(super) fn parse(args: Args<'_>, is_cast: bool) -> Result<Self, BusError> {
        let mut call = CallArgs {
            bus: name(args, 1, "bus")?,
            method: name(args, 2, "method")?,
            timeout_ms: if is_cast {
                CAST_TIMEOUT_MS
            } else {
                millis(DEFAULT_TIMEOUT)
            },
            caching: Caching::Use,
            payload: Vec::new(),
            given: Given::Nothing,
        };
        let tail = args.tail(3);
        let mut words = tail.iter();
        while let Some(word) = words.next() {
            match word.to_ascii_uppercase().as_slice() {
                b"TIMEOUT" => {
                    call.timeout_ms = whole(
                        "TIMEOUT",
                        words.next().ok_or(BusError::Syntax)?,
                        1,
                        LONGEST_MS,
                    )?;
                }
                b"NOCACHE" if call.caching == Caching::Use => call.caching = Caching::Never,
                b"REFRESH" if call.caching == Caching::Use => call.caching = Caching::Replace,
                b"PAYLOAD" => call.payload = words.next().ok_or(BusError::Syntax)?.to_vec(),
                b"ARGS" | b"KWARGS" => {
                    call.given = given(word, words)?;
                    break;
                }
                _ => return Err(BusError::Syntax),
            }
        }
        Ok(call)
    }
}

/// Reads what follows `ARGS` or `KWARGS`: the rest of the command.
pub(super) fn given(word: &[u8], rest: ArgIter<'_>) -> Result<Given, BusError> {
    if word.eq_ignore_ascii_case(b"ARGS") {
        return Ok(Given::Args(rest.map(<[u8]>::to_vec).collect()));
    }
    let mut pairs = Vec::new();
    let mut rest = rest;
    while let Some(name) = rest.next() {
        let value = rest
            .next()
            .ok_or_else(|| BusError::invalid("KWARGS takes names and values in turn"))?;
        pairs.push((name.to_vec(), value.to_vec()));
    }
    Ok(Given::Kwargs(pairs))
}

impl FetchArgs {
    pub(super) fn parse(args: Args<'_>) -> Result<Self, BusError> {
        let mut fetch = FetchArgs {
            bus: name(args, 1, "bus")?,
            worker: name(args, 2, "worker")?,
            patterns: Vec::new(),
            count: 1,
            patience: Patience::For(DEFAULT_TIMEOUT),
        };
        // Options stand behind the patterns, in pairs: what is before them are patterns, whatever it is called.
        let mut end = args.len();
        while end >= 6
            && let Some(option) = args.get(end - 2)
            && let Some(value) = args.get(end - 1)
        {
            if option.eq_ignore_ascii_case(b"COUNT") {
                fetch.count = usize::try_from(whole("COUNT", value, 1, MOST_FETCHED)?).unwrap_or(1);
            } else if option.eq_ignore_ascii_case(b"TIMEOUT") {
                fetch.patience = patience(value)?;
            } else {
                break;
            }
            end -= 2;
        }
        for at in 3..end {
            let pattern = name(args, at, "method pattern")?;
            if fetch.patterns.contains(&pattern) {
                continue;
            }
            // Each is compared with those before it: not with a million.
            if fetch.patterns.len() == MOST_PATTERNS {
                return Err(BusError::Invalid(format!(
                    "at most {MOST_PATTERNS} patterns"
                )));
            }
            fetch.patterns.push(pattern);
        }
        Ok(fetch)
    }
}

fn patience(value: &[u8]) -> Result<Patience, BusError> {
    Ok(match whole("TIMEOUT", value, 0, LONGEST_MS)? {
        0 => Patience::Endless,
        ms => Patience::For(Duration::from_millis(ms)),
    })
}

/// The `TIMEOUT` of `BUS.RESULT`.
pub(super) fn result_patience(args: Args<'_>) -> Result<Patience, BusError> {
    match (args.get(3), args.get(4), args.len()) {
        (None, _, _) => Ok(Patience::For(DEFAULT_TIMEOUT)),
        (Some(option), Some(value), 5) if option.eq_ignore_ascii_case(b"TIMEOUT") => {
            patience(value)
        }
        _ => Err(BusError::Syntax),
    }
}

/// The ids behind `EXTEND n` of `BUS.BEAT`.
pub(super) fn extended(args: Args<'_>) -> Result<Vec<String>, BusError> {
    let Some(option) = args.get(3) else {
        return Ok(Vec::new());
    };
    if !option.eq_ignore_ascii_case(b"EXTEND") {
        return Err(BusError::Syntax);
    }
    let count = whole(
        "EXTEND",
        args.get(4).ok_or(BusError::Syntax)?,
        0,
        MOST_EXTENDED,
    )?;
    if usize::try_from(count).ok() != args.len().checked_sub(5) {
        return Err(BusError::Syntax);
    }
    Ok((5..args.len()).map(|at| id(args, at)).collect())
}

/// What `BUS.FAIL` says: the code, the message and `RETRY`.
pub(super) fn failure(args: Args<'_>) -> Result<Work, BusError> {
    let code = name(args, 4, "code")?;
    if code.contains(char::is_whitespace) {
        return Err(BusError::invalid("a code is one word"));
    }
    let message = args.get(5).unwrap_or_default();
    let message = String::from_utf8_lossy(&message[..message.len().min(MOST_MESSAGE)]).into_owned();
    let retry = match args.get(6) {
        None => false,
        Some(word) if word.eq_ignore_ascii_case(b"RETRY") && args.len() == 7 => true,
        Some(_) => return Err(BusError::Syntax),
    };
    Ok(Work::Failed {
        code,
        message,
        retry,
    })
}

/// The value of a command's only option.
pub(super) fn option<'a>(
    args: Args<'a>,
    at: usize,
    name: &[u8],
) -> Result<Option<&'a [u8]>, BusError> {
    match (args.get(at), args.get(at + 1)) {
        (None, _) => Ok(None),
        (Some(given), Some(value)) if given.eq_ignore_ascii_case(name) && args.len() == at + 2 => {
            Ok(Some(value))
        }
        _ => Err(BusError::Syntax),
    }
}

/// The `COUNT` of `BUS.DEAD`.
pub(super) fn dead_count(args: Args<'_>) -> Result<u64, BusError> {
    let count = option(args, 3, b"COUNT")?;
    count.map_or(Ok(100), |count| whole("COUNT", count, 1, MOST_DEAD))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    fn args(text: &str) -> ArgVec {
        text.split_whitespace().collect()
    }

    #[test]
    fn a_call_takes_the_rest_as_arguments() {
        let parse = |text: &str| CallArgs::parse(args(text).as_args(), false);
        let call =
            parse("BUS.CALL b m timeout 5 nocache payload p args TIMEOUT ARGS").expect("valid");
        assert_eq!((call.timeout_ms, call.caching), (5, Caching::Never));
        assert_eq!(
            call.given,
            Given::Args(vec![b"TIMEOUT".to_vec(), b"ARGS".to_vec()])
        );
        assert_eq!(
            parse("BUS.CALL b m ARGS").expect("valid").given,
            Given::Args(Vec::new())
        );
        assert_eq!(parse("BUS.CALL b m").expect("valid").timeout_ms, 30_000);
        for (text, error) in [
            ("BUS.CALL b m TIMEOUT", "ERR syntax error"),
            ("BUS.CALL b m 1 2", "ERR syntax error"),
            ("BUS.CALL b m NOCACHE REFRESH", "ERR syntax error"),
            (
                "BUS.CALL b m TIMEOUT 0",
                "ERR TIMEOUT must be a whole number from 1 to 604800000",
            ),
            (
                "BUS.CALL b m KWARGS a",
                "ERR KWARGS takes names and values in turn",
            ),
        ] {
            assert_eq!(parse(text).expect_err(text).to_string(), error);
        }
    }

    #[test]
    fn a_fetch_has_patterns_before_its_options() {
        let parse = |text: &str| FetchArgs::parse(args(text).as_args());
        let fetch = parse("BUS.FETCH b w a* sum a* TIMEOUT 0 COUNT 3").expect("valid");
        assert_eq!(fetch.patterns, ["a*", "sum"]);
        assert_eq!((fetch.count, fetch.patience), (3, Patience::Endless));
        // A method may be called like an option.
        assert_eq!(
            parse("BUS.FETCH b w COUNT").expect("valid").patterns,
            ["COUNT"]
        );
        assert_eq!(
            parse("BUS.FETCH b w COUNT x").expect("valid").patterns,
            ["COUNT", "x"]
        );
        assert!(parse("BUS.FETCH b w x COUNT x").is_err());
        assert!(parse("BUS.FETCH b w x TIMEOUT -1").is_err());
    }

    #[test]
    fn a_beat_names_as_many_ids_as_it_says() {
        let parse = |text: &str| extended(args(text).as_args());
        assert_eq!(parse("BUS.BEAT b w"), Ok(vec![]));
        assert_eq!(
            parse("BUS.BEAT b w EXTEND 2 x y"),
            Ok(vec!["x".into(), "y".into()])
        );
        for bad in [
            "BUS.BEAT b w EXTEND",
            "BUS.BEAT b w EXTEND 1",
            "BUS.BEAT b w EXTEND 1 x y",
            "BUS.BEAT b w X 0",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_failure_has_a_code_of_one_word() {
        let parse = |text: &str| failure(args(text).as_args());
        assert_eq!(
            parse("BUS.FAIL b i t EXIT3 bad RETRY"),
            Ok(Work::Failed {
                code: "EXIT3".into(),
                message: "bad".into(),
                retry: true
            })
        );
        assert!(parse("BUS.FAIL b i t EXIT3 bad AGAIN").is_err());
        let spaced: ArgVec = ["BUS.FAIL", "b", "i", "t", "a b", "m"].iter().collect();
        assert!(failure(spaced.as_args()).is_err());
    }
}
