//! `respite check-config FILE`: is it valid, and what does it amount to?

use crate::config::{self, Config, Source};
use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    str::FromStr,
};

/// The exit code for a configuration that is refused.
const REFUSED: u8 = 2;

/// Prints what a reload of a server that runs with `running` would change if it read `file`, and returns the exit
/// code: 0 or 2.
pub fn diff(
    file: &Path,
    running: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    check: impl Fn(&Config) -> Result<(), String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> ExitCode {
    let env: Vec<_> = env.into_iter().collect();
    let load = |file: &Path| {
        let source = Source {
            file: Some(file.to_owned()),
            overrides: Vec::new(),
        };
        config::load(&source, env.clone()).map_err(|error| format!("{}: {error}", file.display()))
    };
    let loaded = load(running).and_then(|running| {
        let new = load(file)?;
        check(&new).map(|()| (running, new))
    });
    let (running, new) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let _ = writeln!(err, "{error}");
            return ExitCode::from(REFUSED);
        }
    };
    let changes = running.changes(&new);
    print_changes(changes.iter().map(ToString::to_string), out);
    ExitCode::SUCCESS
}

/// Prints what the Respite at an address says that a reload would change there if `file` were its file, and returns
/// the exit code: 0 or 2. `ask` sends it the text.
pub fn diff_at(
    file: &Path,
    ask: impl FnOnce(&str) -> Result<Vec<String>, String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> ExitCode {
    let text = std::fs::read_to_string(file);
    let text = text.map_err(|error| format!("cannot read {}: {error}", file.display()));
    match text.and_then(|text| ask(&text)) {
        Ok(changes) => {
            print_changes(changes.into_iter(), out);
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(err, "{error}");
            ExitCode::from(REFUSED)
        }
    }
}

fn print_changes(changes: impl ExactSizeIterator<Item = String>, out: &mut impl Write) {
    if changes.len() == 0 {
        let _ = writeln!(out, "nothing changes");
    }
    for change in changes {
        let _ = writeln!(out, "{change}");
    }
}

/// What a configuration is compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Running {
    /// A file that a server runs with, or a copy of it.
    File(PathBuf),
    /// A Respite: HOST:PORT or a URL.
    Server(String),
}

impl FromStr for Running {
    type Err = String;

    /// What is a file is one; HOST:PORT and URLs are addresses.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = match text.contains("://") {
            true => text.to_owned(),
            false => format!("redis://{text}"),
        };
        let is_address = text.contains("://")
            || text
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        if Path::new(text).exists() || !is_address {
            return Ok(Running::File(text.into()));
        }
        match url.parse::<config::Endpoint>() {
            Ok(_) => Ok(Running::Server(text.to_owned())),
            Err(error) => Err(error),
        }
    }
}

/// Prints the effective configuration to `out` or what is wrong with it to `err`, and returns the
/// exit code: 0 or 2. `check` judges what only those know who use it, such as the names of commands.
pub fn run(
    file: &Path,
    env: impl IntoIterator<Item = (String, String)>,
    check: impl FnOnce(&Config) -> Result<(), String>,
    out: &mut impl Write,
    err: &mut impl Write,
) -> ExitCode {
    let source = Source {
        file: Some(file.to_owned()),
        overrides: Vec::new(),
    };
    // A reader that went away has no use for the text; the code still says what there is to say.
    let config = config::load(&source, env).map_err(|error| error.to_string());
    match config.and_then(|config| check(&config).map(|()| config)) {
        Ok(config) => {
            let _ = write!(out, "{}", config.to_toml());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let _ = writeln!(err, "{error}");
            ExitCode::from(REFUSED)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, env: &[(&str, &str)]) -> (ExitCode, String, String) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(text.as_bytes()).expect("room for it");
        let env = env.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(file.path(), env, |_| Ok(()), &mut out, &mut err);
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (code, text(out), text(err))
    }

    #[test]
    fn a_valid_file_is_printed_as_it_takes_effect() {
        let text = "workers = 2\n[credentials.a]\npassword = \"hush\"";
        let (code, out, err) = check(text, &[("RESPITE_WORKERS", "3")]);
        assert_eq!((code, err.as_str()), (ExitCode::SUCCESS, ""));
        assert!(
            out.contains("\nworkers = 3\n") && out.contains("\n[timeouts]\n"),
            "{out}"
        );
        assert!(
            out.contains("\n[credentials.a]\n") && !out.contains("hush"),
            "{out}"
        );
    }

    #[test]
    fn a_difference_says_what_a_reload_would_do() {
        let file = |text: &str| {
            let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
            file.write_all(text.as_bytes()).expect("room for it");
            file
        };
        let running = file("workers = 1");
        let diff = |text: &str| {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let new = file(text);
            let none = Vec::<(String, String)>::new();
            let code = diff(
                new.path(),
                running.path(),
                none,
                |_| Ok(()),
                &mut out,
                &mut err,
            );
            let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
            (code, text(out), text(err))
        };
        let (code, out, _) = diff("workers = 2\nlimits.clients = 9");
        assert_eq!(code, ExitCode::SUCCESS);
        assert_eq!(
            out,
            "limits.clients: 10000 -> 9 (at once)\nworkers: 1 -> 2 (waits for a restart)\n"
        );
        assert_eq!(diff("workers = 1").1, "nothing changes\n");
        let (code, out, err) = diff("workers = -1");
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""));
        assert!(err.contains("workers"), "{err}");
    }

    #[test]
    fn an_address_is_told_from_a_file() {
        let parse = |text: &str| text.parse::<Running>();
        for address in [
            "h:1",
            "[::1]:7379",
            "rediss://u:p@h:1",
            "unix:///run/respite.sock",
        ] {
            assert_eq!(parse(address), Ok(Running::Server(address.to_owned())));
        }
        for file in ["Cargo.toml", "no/such/file.toml", "file:old"] {
            assert_eq!(parse(file), Ok(Running::File(file.into())));
        }
        let refused = parse("rediss://:hush@:1").expect_err("no host");
        assert!(!refused.contains("hush"), "{refused}");
    }

    #[test]
    fn a_refused_file_says_why() {
        let (code, out, err) = check("workers = 9999\nlsten = 1", &[]);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""));
        assert_eq!(
            err,
            "unknown key \"lsten\" (did you mean \"listen\"?)\nworkers: must be from 0 to 1024\n"
        );
    }
}
