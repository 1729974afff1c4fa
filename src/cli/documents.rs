//! What is made of the command line's types for others: completions for shells, pages of the manual.

use std::io::{self, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;

/// Writes the completions for a shell.
///
/// # Errors
/// When they cannot be written.
pub fn completions(shell: Shell, out: &mut dyn Write) -> io::Result<()> {
    // What it writes to must not fail.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "respite", &mut text);
    out.write_all(&text)
}

/// Writes the manual page, or a file for each command into a folder.
///
/// # Errors
/// When they cannot be written.
pub fn man(folder: Option<&Path>, out: &mut dyn Write) -> io::Result<()> {
    match folder {
        Some(folder) => clap_mangen::generate_to(Cli::command(), folder),
        None => clap_mangen::Man::new(Cli::command()).render(out),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_every_command() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let mut out = Vec::new();
            completions(shell, &mut out).expect("written");
            let text = String::from_utf8(out).expect("UTF-8");
            for word in ["check-config", "hash-password", "upstream"] {
                assert!(text.contains(word), "{shell}: {word}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let folder = tempfile::tempdir().expect("a folder");
        man(Some(folder.path()), &mut io::sink()).expect("written");
        for page in [
            "respite.1",
            "respite-serve.1",
            "respite-check-config.1",
            "respite-worker.1",
        ] {
            let text = std::fs::read_to_string(folder.path().join(page)).expect(page);
            assert!(text.contains(".SH NAME"), "{page}: {text}");
        }
        assert!(!folder.path().join("respite-embedded-guard.1").exists());
        let mut out = Vec::new();
        man(None, &mut out).expect("written");
        assert!(String::from_utf8_lossy(&out).contains("RESPITE_LIMITS__CLIENTS"));
    }
}
