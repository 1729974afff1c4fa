//! Running the server: what it starts, says, refuses, reloads and finishes.

mod embedded;
mod http;
mod reload;
mod start;
mod stop;

use std::process::{Command, Output};

use crate::support::respite_command;

/// Runs `respite ARGS` to its end.
fn run(args: &[&str]) -> Output {
    output(&mut respite_command(args))
}

fn output(command: &mut Command) -> Output {
    command.output().expect("run respite")
}

/// Checks the exit code, and that stderr has all of `texts`.
#[track_caller]
fn assert_refused(output: &Output, code: i32, texts: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    for text in texts {
        assert!(stderr.contains(text), "no {text:?} in {stderr}");
    }
}
