//! `respite hash-password`: the hash of a password for `[[access.users]]`.
//!
//! Takes the password from the standard input, never from the arguments: those show in the list of processes.

use std::io::{BufRead, IsTerminal, Read, Write, stdin};
use std::process::ExitCode;

use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// The longest password: a login could not be longer without a name (`Limits` of who is nobody yet).
const MOST: usize = 16 * 1024;

/// Asks for a password, and prints what `hash` makes of it.
pub fn run(hash: impl FnOnce(&[u8]) -> String) -> ExitCode {
    let stdin = stdin();
    let password = if stdin.is_terminal() {
        eprint!("password: ");
        let shown = tcgetattr(&stdin);
        if let Ok(mut hidden) = shown.clone() {
            hidden.local_flags.remove(LocalFlags::ECHO);
            let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &hidden); // it is shown, then
        }
        let password = first_line(&mut stdin.lock(), true);
        if let Ok(shown) = shown {
            let _ = tcsetattr(&stdin, SetArg::TCSAFLUSH, &shown);
        }
        eprintln!();
        password
    } else {
        first_line(&mut stdin.lock(), false)
    };
    match password {
        Ok(password) => {
            let hash = hash(&password);
            match writeln!(std::io::stdout(), "{hash}") {
                Ok(()) => ExitCode::SUCCESS,
                Err(_) => ExitCode::FAILURE,
            }
        }
        Err(text) => {
            eprintln!("respite: {text}");
            ExitCode::from(2)
        }
    }
}

/// The first line without its end: a password with one in it is a mistake.
fn first_line(input: &mut impl BufRead, is_terminal: bool) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let limit = u64::try_from(MOST).unwrap_or(u64::MAX) + 3;
    let mut input = input.take(limit);
    let read = match is_terminal {
        true => input.read_until(b'\n', &mut text),
        false => input.read_to_end(&mut text),
    };
    read.map_err(|error| format!("cannot read the password: {error}"))?;
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    match text.as_slice() {
        [] => Err("the password is empty: write it to the standard input".to_owned()),
        text if text.len() > MOST => Err(format!("a password has at most {MOST} bytes")),
        text if text.contains(&b'\n') => Err("the password has several lines".to_owned()),
        _ => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::first_line;

    #[test]
    fn a_password_is_one_line() {
        let read = |text: &str| first_line(&mut text.as_bytes(), false);
        for (text, want) in [("a", "a"), ("a b\n", "a b"), ("a\r\n", "a"), (" \n", " ")] {
            assert_eq!(read(text), Ok(want.as_bytes().to_vec()), "{text:?}");
        }
        for bad in ["", "\n", "\r\n", "a\nb", "a\n\n"] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        assert!(read(&"x".repeat(16 * 1024)).is_ok());
        assert!(read(&"x".repeat(16 * 1024 + 1)).is_err());
    }
}
