//! Running the server: what it starts, says, refuses, reloads and finishes.

mod embedded;
mod handover;
mod http;
mod packaging;
mod reload;
mod reloaded;
mod start;
mod stop;

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{DEADLINE, respite_command};

/// Runs `respite ARGS` to its end.
fn run(args: &[&str]) -> Output {
    output(&mut respite_command(args))
}

/// Runs a command to its end; one that goes on serving is killed and fails the test.
#[track_caller]
fn output(command: &mut Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("run respite");
    let end = Instant::now() + DEADLINE;
    while child.try_wait().expect("wait for respite").is_none() {
        if Instant::now() > end {
            child.kill().expect("kill respite");
            panic!("it serves: {:?}", child.wait_with_output());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.wait_with_output().expect("ended")
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
