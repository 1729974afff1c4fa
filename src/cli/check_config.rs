//! `respite check-config FILE`: is it valid, and what does it amount to?

use crate::config::{self, Config, Source};
use std::{io::Write, path::Path, process::ExitCode};

/// The exit code for a configuration that is refused.
const REFUSED: u8 = 2;

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
    fn a_refused_file_says_why() {
        let (code, out, err) = check("workers = 9999\nlsten = 1", &[]);
        assert_eq!((code, out.as_str()), (ExitCode::from(2), ""));
        assert_eq!(
            err,
            "unknown key \"lsten\" (did you mean \"listen\"?)\nworkers: must be from 0 to 1024\n"
        );
    }
}
