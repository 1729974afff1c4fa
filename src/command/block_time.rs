//! How long a blocking command waits, by its own words; and shortening that, for one that has waited elsewhere already.

use std::time::Duration;

use super::keys::block_value;
use super::table::Table;
use crate::resp::{Args, write_command};

/// Where the time stands, and whether it counts milliseconds instead of seconds.
fn place(name: &str, args: Args<'_>) -> Option<(usize, bool)> {
    Some(match name {
        "blpop" | "brpop" | "blmove" | "brpoplpush" | "bzpopmin" | "bzpopmax" => {
            (args.len() - 1, false)
        }
        "blmpop" | "bzmpop" => (1, false),
        "xread" | "xreadgroup" => (block_value(args)?, true),
        _ => return None,
    })
}

/// The time itself; none when it is for ever, or not understood.
fn time(text: &[u8], millis: bool) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?;
    if millis {
        let time = text.parse().ok().filter(|millis| *millis > 0)?;
        return Some(Duration::from_millis(time));
    }
    let seconds: f64 = text.parse().ok().filter(|seconds| *seconds > 0.0)?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// After what time the backing answers a blocking command in any case; none when it may wait for ever, or nothing is
/// known of it.
#[must_use]
pub fn block_time(name: &str, args: Args<'_>) -> Option<Duration> {
    let (at, millis) = match name {
        "wait" => (2, true),
        "waitaof" => (3, true),
        _ => place(name, args)?,
    };
    time(args.get(at)?, millis)
}

/// The command with the time that is left when it has waited so long; none when it need not be changed: it waits for
/// ever, or not at all, or where its time stands is not known.
#[must_use]
pub fn with_less_time(table: &Table, args: Args<'_>, waited: Duration) -> Option<Vec<u8>> {
    let row = table.get(args.get(0)?)?;
    let (at, millis) = place(&row.name, args)?;
    let time = time(args.get(at)?, millis)?;
    let left = |time: Duration| time.saturating_sub(waited).max(Duration::from_millis(1));
    let changed = match millis {
        true => left(time).as_millis().to_string(),
        false => format!("{:.3}", left(time).as_secs_f64()),
    };
    let mut words: Vec<&[u8]> = args.iter().collect();
    words[at] = changed.as_bytes();
    let mut request = Vec::new();
    write_command(&mut request, &words);
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    fn after(command: &str, millis: u64) -> Option<String> {
        let args: ArgVec = command.split(' ').map(str::as_bytes).collect();
        let waited = Duration::from_millis(millis);
        let changed = with_less_time(&Table::shipped(), args.as_args(), waited)?;
        let text = String::from_utf8(changed).expect("text");
        let words = text.split("\r\n").skip(2).step_by(2);
        Some(words.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn the_time_that_was_waited_is_taken_off() {
        for (before, wanted) in [
            ("BLPOP a b 5", "BLPOP a b 3.500"),
            ("blmove a b LEFT RIGHT 2.5", "blmove a b LEFT RIGHT 1.000"),
            ("BZMPOP 5 1 a MIN", "BZMPOP 3.500 1 a MIN"),
            ("BRPOP a 1", "BRPOP a 0.001"),
            (
                "XREAD COUNT 1 BLOCK 4000 STREAMS BLOCK 0",
                "XREAD COUNT 1 BLOCK 2500 STREAMS BLOCK 0",
            ),
            (
                "XREADGROUP GROUP BLOCK c BLOCK 100 STREAMS s >",
                "XREADGROUP GROUP BLOCK c BLOCK 1 STREAMS s >",
            ),
        ] {
            assert_eq!(after(before, 1500).as_deref(), Some(wanted), "{before}");
        }
    }

    #[test]
    fn the_time_is_where_the_command_has_it() {
        for (command, millis) in [
            ("blpop a b 0.25", Some(250)),
            ("blmpop 2 1 a LEFT", Some(2000)),
            ("xread BLOCK 40 STREAMS a 0", Some(40)),
            ("wait 1 300", Some(300)),
            ("waitaof 1 0 300", Some(300)),
            ("wait 1 0", None),
            ("blpop a 0", None),
            ("blpop a inf", None),
            ("wait", None),
            ("no.such a 5", None),
        ] {
            let args: ArgVec = command.split(' ').map(str::as_bytes).collect();
            let name = command.split(' ').next().unwrap_or_default();
            let wanted = millis.map(Duration::from_millis);
            assert_eq!(block_time(name, args.as_args()), wanted, "{command}");
        }
    }

    #[test]
    fn what_waits_for_ever_or_is_not_understood_stays() {
        for command in [
            "BLPOP a 0",
            "BLPOP a x",
            "BLPOP a -1",
            "XREAD BLOCK 0 STREAMS a 0",
            "XREAD STREAMS a 0",
            "XREAD BLOCK",
            "GET a",
            "NO.SUCH",
        ] {
            assert_eq!(after(command, 1500), None, "{command}");
        }
    }
}
