//! A child process that cannot outlive the benchmark, and whether it holds memory. Knows nothing of
//! what it runs.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs the command it is given, prints its process id, and ends it when the pipe on stdin closes.
///
/// The pipe closes however the benchmark ends: a drop, a panic, Ctrl-C or SIGKILL. That is what the
/// standard library alone cannot do with a handler. The limit on open files is raised for the idle
/// connections.
const HOLD: &str = r#"
log=$1; shift
ulimit -n 16384 2>/dev/null || ulimit -n "$(ulimit -Hn)" 2>/dev/null
"$@" </dev/null >"$log" 2>&1 &
pid=$!
echo "$pid"
read -r _
kill "$pid" 2>/dev/null
(sleep 3; kill -9 "$pid" 2>/dev/null) </dev/null >/dev/null 2>&1 &
reaper=$!
wait "$pid"
kill "$reaper" 2>/dev/null
"#;

/// A running child; dropping it ends the child.
pub(crate) struct Leash {
    holder: Child,
    pid: u32,
    log: PathBuf,
}

impl Leash {
    /// Starts `program`, its output going to the file `log`.
    ///
    /// The child does not see the environment's `RESPITE_…` variables, only those in `env`: the
    /// settings of whoever runs the benchmark must not change what is measured.
    pub(crate) fn start(
        program: &Path,
        args: &[String],
        env: &[(String, String)],
        log: PathBuf,
    ) -> io::Result<Self> {
        let mut command = Command::new("sh");
        command
            .args(["-c", HOLD, "hold"])
            .arg(&log)
            .arg(program)
            .args(args);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RESPITE_") {
                command.env_remove(name);
            }
        }
        command.envs(env.iter().map(|(name, value)| (name, value)));
        // A group of its own: Ctrl-C reaches the benchmark only, the pipe does the rest.
        command
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // The shell would tell of the child's end; the child's own words go to the log.
            .stderr(Stdio::null());
        let mut holder = command.spawn()?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let pid = line.trim().parse().map_err(io::Error::other)?;
        Ok(Self { holder, pid, log })
    }

    /// The id of the process.
    #[allow(dead_code, reason = "not every benchmark asks")]
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// Resident memory in bytes, where the system tells it.
    pub(crate) fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
        Some(kib * 1024)
    }

    /// The last lines the child wrote, for an error message.
    pub(crate) fn last_words(&self) -> String {
        let Ok(file) = File::open(&self.log) else {
            return String::new();
        };
        let lines: Vec<String> = BufReader::new(file).lines().map_while(Result::ok).collect();
        lines[lines.len().saturating_sub(5)..].join("\n")
    }
}

impl Drop for Leash {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}
