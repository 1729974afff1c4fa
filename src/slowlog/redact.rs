//! What is shown of a command's arguments: a bounded part, and no secret.

/// As in Redis: so many arguments are shown, the last of them says how many more there are.
const MOST_ARGS: usize = 32;
/// As in Redis: so many bytes of an argument are shown.
const MOST_BYTES: usize = 128;
/// As in Redis: what stands for a secret.
const REDACTED: &[u8] = b"(redacted)";

/// Settings of Redis whose values are secrets, `CONFIG SET`.
const SECRET_SETTINGS: [&str; 5] = [
    "requirepass",
    "masterauth",
    "masteruser",
    "tls-key-file-pass",
    "tls-client-key-file-pass",
];

/// How many arguments behind a word, in some command, are secrets.
struct Rule {
    /// The command, or the command and its subcommand.
    command: &'static [&'static str],
    /// Hides what is at this position and behind it; none when it depends on words.
    from: Option<usize>,
    /// A word, and how many arguments behind it are hidden.
    words: &'static [(&'static str, usize)],
}

/// What Redis itself hides, and what Respite's own commands have.
const RULES: [Rule; 10] = [
    Rule {
        command: &["auth"],
        from: Some(1),
        words: &[],
    },
    Rule {
        command: &["hello"],
        from: None,
        words: &[("auth", 2)],
    },
    Rule {
        command: &["acl", "setuser"],
        from: Some(2),
        words: &[],
    },
    Rule {
        command: &["migrate"],
        from: None,
        words: &[("auth", 1), ("auth2", 2)],
    },
    Rule {
        command: &["discovery.register"],
        from: None,
        words: &[("auth", 2)],
    },
    Rule {
        // Headers may be logins, and a body anything.
        command: &["gateway.forward"],
        from: Some(3),
        words: &[],
    },
    Rule {
        // A configuration.
        command: &["respite.reload", "diff"],
        from: Some(2),
        words: &[],
    },
    Rule {
        command: &["acl", "dryrun"],
        from: Some(3),
        words: &[],
    },
    Rule {
        command: &["sentinel", "set"],
        from: None,
        words: &[("auth-pass", 1), ("auth-user", 1)],
    },
    Rule {
        command: &["sentinel", "config"],
        from: None,
        words: &[("sentinel-pass", 1), ("sentinel-user", 1)],
    },
];

/// The arguments as they may be shown.
pub(super) fn shown<'a>(args: impl ExactSizeIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
    let count = args.len();
    let args: Vec<&[u8]> = args.collect();
    let hidden = hidden(&args);
    let kept = if count > MOST_ARGS {
        MOST_ARGS - 1
    } else {
        count
    };
    let mut shown: Vec<Vec<u8>> = args
        .iter()
        .zip(&hidden)
        .take(kept)
        .map(|(arg, hide)| match *hide || has_login(arg) {
            true => REDACTED.to_vec(),
            false => cut(arg),
        })
        .collect();
    if count > kept {
        shown.push(format!("... ({} more arguments)", count - kept).into_bytes());
    }
    shown
}

/// Whether it begins as a URL with a password.
fn has_login(arg: &[u8]) -> bool {
    let begin = &arg[..arg.len().min(MOST_BYTES * 4)];
    let Some(at) = memchr::memmem::find(begin, b"://") else {
        return false;
    };
    let authority = begin[at + 3..].split(|byte| *byte == b'/').next();
    let login = authority.and_then(|authority| {
        let end = memchr::memrchr(b'@', authority)?;
        Some(&authority[..end])
    });
    at < 32 && login.is_some_and(|login| login.contains(&b':'))
}

fn cut(arg: &[u8]) -> Vec<u8> {
    if arg.len() <= MOST_BYTES {
        return arg.to_vec();
    }
    let more = format!("... ({} more bytes)", arg.len() - MOST_BYTES);
    [&arg[..MOST_BYTES], more.as_bytes()].concat()
}

/// Which arguments are secrets.
fn hidden(args: &[&[u8]]) -> Vec<bool> {
    let is = |at: usize, word: &str| {
        args.get(at)
            .is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    };
    let mut hidden = vec![false; args.len()];
    let mut hide = |from: usize, count: usize| {
        hidden
            .iter_mut()
            .skip(from)
            .take(count)
            .for_each(|hide| *hide = true);
    };
    if is(0, "config") && is(1, "set") {
        for at in (2..args.len()).step_by(2) {
            if SECRET_SETTINGS.iter().any(|name| is(at, name)) {
                hide(at + 1, 1);
            }
        }
    }
    for rule in &RULES {
        if !rule
            .command
            .iter()
            .enumerate()
            .all(|(at, word)| is(at, word))
        {
            continue;
        }
        if let Some(from) = rule.from {
            hide(from, usize::MAX);
        }
        for at in rule.command.len()..args.len() {
            for (word, count) in rule.words {
                if is(at, word) {
                    hide(at + 1, *count);
                }
            }
        }
    }
    hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &str) -> String {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        let shown = shown(args.into_iter());
        let shown: Vec<_> = shown
            .iter()
            .map(|arg| String::from_utf8_lossy(arg))
            .collect();
        shown.join(" ")
    }

    #[test]
    fn secrets_are_left_out() {
        for (given, expected) in [
            ("AUTH hush", "AUTH (redacted)"),
            ("auth ann hush", "auth (redacted) (redacted)"),
            (
                "HELLO 3 AUTH ann hush SETNAME x",
                "HELLO 3 AUTH (redacted) (redacted) SETNAME x",
            ),
            (
                "ACL SETUSER ann on >hush",
                "ACL SETUSER (redacted) (redacted) (redacted)",
            ),
            (
                "CONFIG SET maxmemory 1 requirepass hush",
                "CONFIG SET maxmemory 1 requirepass (redacted)",
            ),
            (
                "MIGRATE h 1 k 0 5 AUTH2 u hush KEYS a",
                "MIGRATE h 1 k 0 5 AUTH2 (redacted) (redacted) KEYS a",
            ),
            (
                "DISCOVERY.REGISTER s e AUTH basic hush",
                "DISCOVERY.REGISTER s e AUTH (redacted) (redacted)",
            ),
            (
                "SENTINEL SET m auth-pass hush",
                "SENTINEL SET m auth-pass (redacted)",
            ),
            (
                "GATEWAY.FORWARD GET /a HEADERS 1 Authorization hush",
                "GATEWAY.FORWARD GET /a (redacted) (redacted) (redacted) (redacted)",
            ),
            (
                "respite.reload DIFF password=hush",
                "respite.reload DIFF (redacted)",
            ),
            ("SET a redis://u:hush@h/1", "SET a (redacted)"),
            ("SET a http://h/x@y:z", "SET a http://h/x@y:z"),
            ("GET auth", "GET auth"),
        ] {
            assert_eq!(text(given), expected);
        }
    }

    #[test]
    fn long_commands_are_cut_as_in_redis() {
        let long = "x".repeat(130);
        assert_eq!(
            text(&long),
            format!("{}... (2 more bytes)", "x".repeat(128))
        );
        let many = vec!["a"; 40].join(" ");
        let shown = text(&many);
        let expected = "a ".repeat(31) + "... (9 more arguments)";
        assert_eq!(shown, expected);
    }
}
