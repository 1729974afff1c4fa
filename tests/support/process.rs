//! A child process whose output is kept line by line; it knows nothing of what the lines mean.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// A child process and the threads that read what it writes.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) child: Child,
    pub(super) log: Arc<Log>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    #[track_caller]
    pub(super) fn start(mut command: Command) -> Self {
        let spawned = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.unwrap_or_else(|error| panic!("start respite: {error}"));
        let log = Arc::new(Log::default());
        let stdout = child.stdout.take().expect("piped");
        let stderr = child.stderr.take().expect("piped");
        let readers = vec![log.follow(stdout), log.follow(stderr)];
        Self {
            child,
            log,
            readers,
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), signal).expect("signal respite");
    }

    /// Makes sure that it has ended and that the log is complete.
    pub(super) fn end(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
        self.log
            .closing_in(Duration::from_secs(2), &mut self.readers);
    }
}

#[derive(Debug, Default)]
pub(super) struct Log {
    lines: Mutex<VecDeque<String>>,
    grown: Condvar,
}

impl Log {
    fn follow(self: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let log = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                let line = without_colours(&String::from_utf8_lossy(&line));
                log.lines.lock().expect("log lock").push_back(line);
                log.grown.notify_all();
            }
        })
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.lines
            .lock()
            .expect("log lock")
            .iter()
            .cloned()
            .collect()
    }

    pub(super) fn wait_for(&self, text: &str, deadline: Duration) -> Option<String> {
        let end = Instant::now() + deadline;
        let mut lines = self.lines.lock().expect("log lock");
        loop {
            if let Some(line) = lines.iter().find(|line| line.contains(text)) {
                return Some(line.clone());
            }
            let left = end.checked_duration_since(Instant::now())?;
            lines = self.grown.wait_timeout(lines, left).expect("log lock").0;
        }
    }

    /// Joins the readers; a grandchild that keeps the pipe open (an orphaned embedded server) is not waited for.
    fn closing_in(&self, deadline: Duration, readers: &mut Vec<JoinHandle<()>>) {
        let end = Instant::now() + deadline;
        while readers.iter().any(|reader| !reader.is_finished()) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
        for reader in readers.drain(..).filter(JoinHandle::is_finished) {
            let _ = reader.join();
        }
    }
}

fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        if c == '\x1b' {
            chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}
