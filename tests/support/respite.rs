//! The real binary under test. Its log is part of the test: WARN and ERROR lines must be announced.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use super::process::Process;
use super::{Client, DEADLINE, RedisServer, ReservedPort, wait_until};

/// What a panic says that a test asked for.
pub(crate) const INJECTED: &str = "a test asked for it";

/// How long a drain may take before the test fails: `timeouts.drain` and some.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// `respite ARGS` with an environment free of `RESPITE_…`, which the binary would take as configuration.
pub(crate) fn respite_command<A: AsRef<str>>(args: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_respite"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("RESPITE_") {
            command.env_remove(name);
        }
    }
    command
        .args(args.iter().map(AsRef::as_ref))
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// How a Respite is to be started.
#[derive(Debug, Default)]
pub(crate) struct RespiteBuilder {
    upstream: Option<String>,
    workers: Option<usize>,
    port: Option<u16>,
    http: bool,
    config: Option<String>,
    args: Vec<String>,
    env: Vec<(String, String)>,
    allowed: Vec<String>,
    tls: bool,
    only_file: bool,
    own_group: bool,
}

impl RespiteBuilder {
    /// Everything is in the configuration file, where `$PORT` is a free port to listen on: a flag would win
    /// over what a reload says.
    pub(crate) fn only_file(mut self, toml: &str) -> Self {
        self.only_file = true;
        self.config(toml)
    }

    /// The backing Redis. Without one Respite starts its embedded server.
    pub(crate) fn upstream(mut self, url: &str) -> Self {
        self.upstream = Some(url.to_owned());
        self
    }

    /// The number of worker threads; 2 unless told.
    pub(crate) fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers);
        self
    }

    /// Listens on this port.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Opens the HTTP listener too, on a free port.
    pub(crate) fn http(mut self) -> Self {
        self.http = true;
        self
    }

    /// The text of the configuration file.
    pub(crate) fn config(mut self, toml: &str) -> Self {
        self.config = Some(toml.to_owned());
        self
    }

    /// Adds a command line argument.
    pub(crate) fn arg(mut self, arg: &str) -> Self {
        self.args.push(arg.to_owned());
        self
    }

    /// Sets an environment variable.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Announces WARN and ERROR lines that contain `text`.
    pub(crate) fn allow_log(mut self, text: &str) -> Self {
        self.allowed.push(text.to_owned());
        self
    }

    /// The listener speaks TLS: being ready means that it accepts.
    pub(crate) fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// It leads a process group of its own, as a program that a shell starts from a terminal.
    pub(crate) fn own_group(mut self) -> Self {
        self.own_group = true;
        self
    }

    /// Starts it and waits until it answers.
    #[track_caller]
    pub(crate) fn start(self) -> Respite {
        let tls = self.tls;
        let mut respite = self.spawn();
        wait_until("respite answers", DEADLINE, || {
            if let Some(status) = respite.process.child.try_wait().expect("wait for respite") {
                panic!("respite ended with {status}:\n{}", respite.log().join("\n"));
            }
            Client::try_connect(respite.port()).is_ok_and(|mut client| {
                // any reply will do, NOAUTH too
                tls || client.try_send_raw(b"PING\r\n").is_ok()
                    && client.try_read_reply_raw().is_ok()
            })
        });
        respite
    }

    /// Starts it and waits for nothing, as when it cannot answer yet.
    #[track_caller]
    pub(crate) fn start_unanswered(self) -> Respite {
        self.spawn()
    }

    /// Starts it and waits until it ends by itself, as with a configuration that it refuses.
    #[track_caller]
    pub(crate) fn run_to_end(self) -> Stopped {
        let mut respite = self.spawn();
        respite.checked = true;
        respite.wait()
    }

    #[track_caller]
    fn spawn(self) -> Respite {
        let port = self.port.map_or_else(ReservedPort::any, ReservedPort::bind);
        let http = self.http.then(ReservedPort::any);
        let on = |port: &ReservedPort| format!("127.0.0.1:{}", port.get());
        let mut args = vec!["serve".to_owned(), "--listen".to_owned(), on(&port)];
        args.extend([
            "--http".to_owned(),
            http.as_ref().map(on).unwrap_or_default(),
        ]);
        args.extend([
            "--workers".to_owned(),
            self.workers.unwrap_or(2).to_string(),
        ]);
        args.extend(
            self.upstream
                .into_iter()
                .flat_map(|url| ["--upstream".to_owned(), url]),
        );
        if self.only_file {
            args.truncate(1);
        }
        let own = port.get().to_string();
        let config = self
            .config
            .map(|text| config_file(&text.replace("$PORT", &own)));
        if let Some(file) = &config {
            args.extend(["--config".to_owned(), file.path().display().to_string()]);
        }
        args.extend(self.args);
        let mut command = respite_command(&args);
        // Most tests look at what the error says; those of the default set it themselves.
        command.env("RESPITE_UPSTREAM_ON_LOSS", "error");
        command.envs(self.env);
        if self.own_group {
            command.process_group(0);
        }
        let process = Process::start(command);
        Respite {
            process,
            port,
            http,
            config,
            allowed: self.allowed,
            checked: false,
        }
    }
}

fn config_file(text: &str) -> NamedTempFile {
    let mut file = tempfile::Builder::new()
        .prefix("respite-")
        .suffix(".toml")
        .tempfile()
        .expect("temp file");
    file.write_all(text.as_bytes())
        .expect("write the configuration");
    file
}

/// What is left of a Respite that has ended.
#[derive(Debug)]
pub(crate) struct Stopped {
    /// How it ended.
    pub(crate) status: ExitStatus,
    /// Every line it wrote.
    pub(crate) log: Vec<String>,
}

/// A running Respite. Dropping it kills it and checks its log, as [`Respite::stop`] does.
#[derive(Debug)]
pub(crate) struct Respite {
    process: Process,
    port: ReservedPort,
    http: Option<ReservedPort>,
    config: Option<NamedTempFile>,
    allowed: Vec<String>,
    checked: bool,
}

impl Respite {
    /// Starts one with two workers in front of this server.
    #[track_caller]
    pub(crate) fn in_front_of(server: &RedisServer) -> Self {
        Self::builder().upstream(&server.url()).start()
    }

    /// Options first.
    pub(crate) fn builder() -> RespiteBuilder {
        RespiteBuilder::default()
    }

    /// The RESP port.
    pub(crate) fn port(&self) -> u16 {
        self.port.get()
    }

    /// The port of the HTTP listener.
    #[track_caller]
    pub(crate) fn http_port(&self) -> u16 {
        self.http.as_ref().expect("started with http()").get()
    }

    /// The process id.
    pub(crate) fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Opens a connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.port())
    }

    /// Runs one command on a connection of its own.
    #[track_caller]
    pub(crate) fn call<A: AsRef<[u8]>>(&self, command: &[A]) -> super::Reply {
        self.connect().call(command)
    }

    /// Replaces the text of the configuration file; nothing takes notice of it yet.
    #[track_caller]
    pub(crate) fn rewrite_config(&self, toml: &str) {
        let file = self.config.as_ref().expect("started with config()");
        std::fs::write(file.path(), toml).expect("write the configuration");
    }

    /// Puts another configuration file in the place of the one before, so that no part of it is ever seen alone.
    #[track_caller]
    pub(crate) fn replace_config(&self, toml: &str) {
        let file = self.config.as_ref().expect("started with config()");
        let new = config_file(toml);
        new.persist(file.path()).expect("replace the configuration");
    }

    /// Replaces the text of the configuration file and sends SIGHUP.
    #[track_caller]
    pub(crate) fn reload(&self, toml: &str) {
        self.rewrite_config(toml);
        self.signal(Signal::SIGHUP);
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends a signal to its process group, as a terminal does.
    pub(crate) fn signal_group(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a pid fits");
        killpg(Pid::from_raw(pid), signal).expect("signal the group");
    }

    /// Announces WARN and ERROR lines that contain `text`.
    pub(crate) fn allow_log(&mut self, text: &str) {
        self.allowed.push(text.to_owned());
    }

    /// The lines written so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.process.log.lines()
    }

    /// Waits for a line that contains `text`, announces such lines and returns the first one.
    #[track_caller]
    pub(crate) fn expect_log(&mut self, text: &str) -> String {
        self.allowed.push(text.to_owned());
        let found = self.process.log.wait_for(text, DEADLINE);
        found.unwrap_or_else(|| panic!("no {text:?} in the log:\n{}", self.log().join("\n")))
    }

    /// Sends SIGTERM, waits for the end and checks the log.
    #[track_caller]
    pub(crate) fn stop(mut self) -> Stopped {
        self.signal(Signal::SIGTERM);
        let stopped = self.wait();
        self.check_log();
        stopped
    }

    /// Waits for the end that something else has brought about, and checks the log.
    #[track_caller]
    pub(crate) fn ended(mut self) -> Stopped {
        let stopped = self.wait();
        self.check_log();
        stopped
    }

    /// Kills it at once (SIGKILL) and checks the log.
    #[track_caller]
    pub(crate) fn kill(self) {
        drop(self);
    }

    #[track_caller]
    fn wait(&mut self) -> Stopped {
        let mut status = None;
        wait_until("respite ends", STOP_DEADLINE, || {
            status = self.process.child.try_wait().expect("wait for respite");
            status.is_some()
        });
        self.process.end();
        Stopped {
            status: status.expect("just seen"),
            log: self.log(),
        }
    }

    fn check_log(&mut self) {
        self.checked = true;
        let lines = self.log();
        let unannounced = |line: &&String| {
            line.contains("panicked at") && !line.contains(INJECTED)
                || is_problem(line) && !self.allowed.iter().any(|text| line.contains(text))
        };
        let problems: Vec<&String> = lines.iter().filter(unannounced).collect();
        assert!(
            problems.is_empty(),
            "respite logged, unannounced by allow_log: {problems:#?}"
        );
    }
}

impl Drop for Respite {
    fn drop(&mut self) {
        self.process.end();
        if std::thread::panicking() {
            let lines = self.log();
            let tail = &lines[lines.len().saturating_sub(50)..];
            eprintln!("--- the end of respite's log ---\n{}\n---", tail.join("\n"));
        } else if !self.checked {
            self.check_log();
        }
    }
}

/// Whether a line is a WARN or ERROR event, `2026-01-31T00:00:00.000000Z  WARN …`.
fn is_problem(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let time = words
        .next()
        .is_some_and(|word| word.starts_with("20") && word.ends_with('Z'));
    time && matches!(words.next(), Some("WARN" | "ERROR"))
}
