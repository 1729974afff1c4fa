//! The command that `respite worker` runs for each call: what it is started with, and what comes of it.
//!
//! The arguments of a call are a stranger's words: as arguments of the command they can be options of it
//! (`tar` runs what `--use-compress-program=` names). `--end-options` puts `--` before them, `--args-file`
//! hands them over in a file. Of the environment the command gets what is listed here or named by `--env`: the
//! worker's own holds its password.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::cli::WorkerArgs;

/// How much of what a failed command wrote to standard error goes into the error.
const STDERR_TAIL: usize = 1024;
/// What the bus takes as a result at most.
const MOST_OUTPUT: usize = 64 * 1024 * 1024;

/// What the command gets of the worker's environment; variables that begin with `LC_` too.
const PASSED: [&str; 10] = [
    "HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER",
];

/// Names the file with the arguments.
const ARGS_FILE: &str = "RESPITE_ARGS_FILE";

/// The command, and how it is started.
pub(super) struct Program {
    words: Vec<String>,
    environment: Vec<(OsString, OsString)>,
    end_options: bool,
    args_file: bool,
}

/// What the command made of a call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Made {
    Reply(Vec<u8>),
    Failure(String, Vec<u8>),
    /// Nobody waits for it any more.
    Nothing,
}

impl Program {
    /// The command of these words, at least one.
    pub(super) fn new(words: Vec<String>, args: &WorkerArgs) -> Self {
        Program {
            words,
            environment: passed(std::env::vars_os(), &args.env),
            end_options: args.end_options,
            args_file: args.args_file,
        }
    }

    /// The name of the program.
    pub(super) fn program(&self) -> &str {
        &self.words[0]
    }

    /// Starts it with the arguments of a call.
    pub(super) fn start(&self, args: &[Vec<u8>]) -> io::Result<Running> {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        command.env_clear().envs(self.environment.iter().cloned());
        let mut file = None;
        if self.args_file {
            let written = ArgumentFile::write(args)?;
            command.env(ARGS_FILE, &written.path);
            file = Some(written);
        } else {
            command.args(self.end_options.then_some("--"));
            command.args(args.iter().map(|arg| OsStr::from_bytes(arg)));
        }
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let child = command.spawn()?;
        Ok(Running { child, _file: file })
    }
}

/// The variables that a command gets.
fn passed(
    all: impl Iterator<Item = (OsString, OsString)>,
    named: &[String],
) -> Vec<(OsString, OsString)> {
    let is_passed = |name: &OsStr| {
        let text = name.to_string_lossy();
        PASSED.contains(&&*text) || text.starts_with("LC_") || named.iter().any(|n| *n == *text)
    };
    all.filter(|(name, _)| is_passed(name)).collect()
}

/// A file that nobody else may read, gone when it is dropped: the arguments with a NUL byte behind each,
/// which none of them can have as an argument of a command either.
struct ArgumentFile {
    path: PathBuf,
}

impl ArgumentFile {
    fn write(args: &[Vec<u8>]) -> io::Result<Self> {
        if args.iter().any(|arg| arg.contains(&0)) {
            return Err(io::Error::other("an argument has a NUL byte"));
        }
        let name = format!(
            "respite-args-{}-{}",
            std::process::id(),
            crate::random::word()
        );
        let path = std::env::temp_dir().join(name);
        // What is there already, a link of somebody's for one, is not opened.
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let kept = ArgumentFile { path };
        for arg in args {
            file.write_all(arg)?;
            file.write_all(&[0])?;
        }
        Ok(kept)
    }
}

impl Drop for ArgumentFile {
    fn drop(&mut self) {
        // It may have been taken away.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A command that runs. Dropped before it has ended, it is killed with all that it started.
pub(super) struct Running {
    child: Child,
    /// The file with the arguments, for as long as the command runs.
    _file: Option<ArgumentFile>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // There is no number any more once it was waited for.
        if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

impl Running {
    /// Feeds the command and reads all that it writes.
    pub(super) async fn finish(&mut self, payload: &[u8]) -> Made {
        finish(&mut self.child, payload).await
    }
}

async fn finish(child: &mut Child, payload: &[u8]) -> Made {
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let feed = async {
        if let Some(mut stdin) = stdin {
            // A command that does not read its input is no failure.
            let _ = stdin.write_all(payload).await;
        }
    };
    let ((), output, errors) = tokio::join!(feed, read_all(stdout), read_tail(stderr));
    let failure = |code: &str, text: String| Made::Failure(code.to_owned(), text.into_bytes());
    match (child.wait().await, output) {
        (Err(error), _) => failure("EXEC", error.to_string()),
        (Ok(status), Ok(output)) if status.success() => Made::Reply(output),
        (Ok(status), Err(error)) if status.success() => failure("EXEC", error),
        (Ok(status), _) => Made::Failure(code_of(status), errors),
    }
}

fn code_of(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("EXIT{code}"),
        (None, Some(signal)) => format!("SIGNAL{signal}"),
        (None, None) => "EXIT".to_owned(),
    }
}

async fn read_all(stream: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let mut stream = stream.take(MOST_OUTPUT as u64 + 1);
        let read = stream.read_to_end(&mut bytes).await;
        read.map_err(|error| error.to_string())?;
    }
    if bytes.len() > MOST_OUTPUT {
        return Err(format!("the command wrote more than {MOST_OUTPUT} bytes"));
    }
    Ok(bytes)
}

/// Reads to the end and keeps the last bytes.
async fn read_tail(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut tail = Vec::new();
    let mut buffer = vec![0; 8 * 1024];
    if let Some(mut stream) = stream {
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            tail.extend_from_slice(&buffer[..read]);
            let over = tail.len().saturating_sub(STDERR_TAIL);
            tail.drain(..over);
        }
    }
    tail.trim_ascii().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_a_list() {
        let all = ["PATH", "LC_ALL", "RESPITE_PASSWORD", "AWS_SECRET", "MINE"];
        let all = all.iter().map(|name| (name.into(), "x".into()));
        let passed = passed(all, &["MINE".to_owned(), "GONE".to_owned()]);
        let names: Vec<_> = passed.into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "LC_ALL", "MINE"]);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn the_tail_of_what_went_wrong_is_kept() {
        let long = [vec![b'x'; 5000], b"the end\n".to_vec()].concat();
        let tail = read_tail(Some(long.as_slice())).await;
        assert!(tail.ends_with(b"xthe end") && tail.len() < STDERR_TAIL);
        assert_eq!(read_all(Some(&b"out\n"[..])).await, Ok(b"out\n".to_vec()));
    }
}
