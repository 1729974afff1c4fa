//! A real redis-server (or valkey-server) for one test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::{Client, DEADLINE, Reply, ReservedPort, wait_until};

/// How a server is to be started.
#[derive(Debug, Default)]
pub(crate) struct RedisBuilder {
    binary: Option<String>,
    port: Option<u16>,
    unix: bool,
    args: Vec<String>,
}

impl RedisBuilder {
    /// Another program than `redis-server` (or than `RESPITE_TEST_REDIS`).
    pub(crate) fn binary(mut self, name: &str) -> Self {
        self.binary = Some(name.to_owned());
        self
    }

    /// Listens on this port.
    pub(crate) fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Listens on a unix socket and on no port.
    pub(crate) fn unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// Adds arguments, `["--maxmemory", "1mb"]`; later ones override the defaults.
    pub(crate) fn args<A: AsRef<str>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args
            .extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Starts the server and waits until it answers.
    #[track_caller]
    pub(crate) fn start(self) -> RedisServer {
        let binary = self.binary.unwrap_or_else(default_binary);
        let dir = tempfile::Builder::new()
            .prefix("respite-test-")
            .tempdir()
            .expect("temp dir");
        let listen = if self.unix {
            Listen::Unix(dir.path().join("redis.sock"))
        } else {
            Listen::Tcp(self.port.map_or_else(ReservedPort::any, ReservedPort::bind))
        };
        let mut server = RedisServer {
            binary,
            args: self.args,
            dir,
            listen,
            child: None,
        };
        server.restart();
        server
    }
}

#[derive(Debug)]
enum Listen {
    Tcp(ReservedPort),
    Unix(PathBuf),
}

/// A running (or killed) server; dropping it kills it.
#[derive(Debug)]
pub(crate) struct RedisServer {
    binary: String,
    args: Vec<String>,
    dir: TempDir,
    listen: Listen,
    child: Option<Child>,
}

impl RedisServer {
    /// Starts an ordinary server on a free port.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Options first.
    pub(crate) fn builder() -> RedisBuilder {
        RedisBuilder::default()
    }

    /// The version of the default binary, `(7, 0, 15)`.
    pub(crate) fn version() -> (u32, u32, u32) {
        static VERSION: OnceLock<(u32, u32, u32)> = OnceLock::new();
        *VERSION.get_or_init(|| version_of(&default_binary()))
    }

    /// What the default binary calls itself: `Redis` or `Valkey`.
    pub(crate) fn name() -> &'static str {
        static NAME: OnceLock<&str> = OnceLock::new();
        NAME.get_or_init(|| match version_text(&default_binary()) {
            text if text.starts_with("Valkey ") => "Valkey",
            _ => "Redis",
        })
    }

    pub(crate) fn is_valkey() -> bool {
        Self::name() == "Valkey"
    }

    /// Whether the default binary is older than this version, which brought `feature`; says so.
    pub(crate) fn lacks(since: (u32, u32), feature: &str) -> bool {
        let (major, minor, _) = Self::version();
        let lacks = (major, minor) < since;
        if lacks {
            eprintln!("skipped: Redis {major}.{minor} has no {feature}");
        }
        lacks
    }

    /// Whether the default binary was built without TLS; says so.
    pub(crate) fn lacks_tls() -> bool {
        // With TLS it misses a certificate.
        let args = ["--port", "0", "--tls-port", "1"];
        let output = Command::new(default_binary()).args(args).output();
        let output = output.expect("the server starts");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let lacks = said.contains(">>> 'tls-port")
            || said.contains("Missing implement of connection type tls");
        if lacks {
            eprintln!("skipped: this Redis was built without TLS");
        }
        lacks
    }

    /// The path of the default binary.
    #[track_caller]
    pub(crate) fn program() -> PathBuf {
        let binary = default_binary();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut found = std::env::split_paths(&path).map(|folder| folder.join(&binary));
        found
            .find(|file| file.is_file())
            .unwrap_or_else(|| panic!("no {binary} on PATH"))
    }

    /// The TCP port.
    #[track_caller]
    pub(crate) fn port(&self) -> u16 {
        match &self.listen {
            Listen::Tcp(port) => port.get(),
            Listen::Unix(path) => panic!("listens on {}", path.display()),
        }
    }

    /// `127.0.0.1:PORT`.
    #[track_caller]
    pub(crate) fn addr(&self) -> String {
        format!("127.0.0.1:{}", self.port())
    }

    /// As an upstream is written, `redis://127.0.0.1:PORT` or `unix:///path`.
    pub(crate) fn url(&self) -> String {
        match &self.listen {
            Listen::Tcp(port) => format!("redis://127.0.0.1:{}", port.get()),
            Listen::Unix(path) => format!("unix://{}", path.display()),
        }
    }

    /// The server's directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Opens a direct connection.
    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        self.try_connect().expect("connect to redis-server")
    }

    /// Runs one command on a connection of its own, past Respite.
    #[track_caller]
    pub(crate) fn call<A: AsRef<[u8]>>(&self, command: &[A]) -> Reply {
        self.connect().call(command)
    }

    /// The value of one line of `INFO section`, `connected_clients`.
    #[track_caller]
    pub(crate) fn info(&self, section: &str, field: &str) -> String {
        let info = self.call(&["INFO", section]);
        let prefix = format!("{field}:");
        let line = info
            .as_str()
            .lines()
            .find_map(|line| line.strip_prefix(&prefix).map(str::to_owned));
        line.unwrap_or_else(|| panic!("no {field} in INFO {section}"))
    }

    /// How often it has answered with an error of this kind, `MOVED`.
    #[track_caller]
    pub(crate) fn errors(&self, kind: &str) -> u64 {
        let stats = self.call(&["INFO", "errorstats"]);
        let begin = format!("errorstat_{kind}:count=");
        let mut lines = stats.as_str().lines();
        let found = lines.find_map(|line| line.strip_prefix(&begin));
        found.map_or(0, |count| count.parse().expect("a number"))
    }

    /// Kills it at once (SIGKILL). The port stays reserved: connecting is refused.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("kill redis-server");
            child.wait().expect("wait for redis-server");
        }
    }

    /// Its process id; it runs.
    #[track_caller]
    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().expect("the server runs").id()
    }

    /// Whether it was not killed.
    pub(crate) fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Stops it in its tracks (SIGSTOP): connections stay open and nothing answers.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::SIGSTOP);
        let tasks = format!("/proc/{}/task", self.child.as_ref().expect("it runs").id());
        let is_stopped = |task: std::io::Result<fs::DirEntry>| {
            let stat = task.and_then(|task| fs::read_to_string(task.path().join("stat")));
            stat.is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|s| s.starts_with(" T")))
        };
        wait_until("all of its threads have stopped", DEADLINE, || {
            fs::read_dir(&tasks).is_ok_and(|mut tasks| tasks.all(is_stopped))
        });
    }

    /// Whether the default binary leaves out the reply to a login that fails, when something follows it in the packet or
    /// the transaction: 8.2.3 does.
    pub(crate) fn swallows_failed_logins() -> bool {
        let swallows = !Self::is_valkey() && Self::version() >= (8, 2, 0);
        if swallows {
            eprintln!("skipped: this Redis does not answer every login that fails");
        }
        swallows
    }

    /// Whether the default binary takes malformed and inline commands otherwise than Redis, which Respite follows; says so.
    pub(crate) fn parses_otherwise() -> bool {
        if Self::is_valkey() {
            eprintln!(
                "skipped: a Valkey has rules of its own for quotes and for what it shows of odd bytes"
            );
        }
        Self::is_valkey()
    }

    /// Goes on after [`RedisServer::freeze`].
    pub(crate) fn thaw(&self) {
        self.signal(Signal::SIGCONT);
    }

    /// Kills it if it runs, starts it again where it listened and waits until it answers.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log_path = self.dir.path().join("redis.log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .expect("log file");
        let child = self
            .command()
            .stdout(log.try_clone().expect("dup"))
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap_or_else(|error| panic!("start {}: {error}", self.binary)));
        wait_until("redis-server answers PING", DEADLINE, || {
            let exited = self
                .child
                .as_mut()
                .expect("just started")
                .try_wait()
                .expect("wait for redis-server");
            if let Some(status) = exited {
                let log = fs::read_to_string(&log_path).unwrap_or_default();
                panic!("{} ended with {status}:\n{log}", self.binary);
            }
            self.try_connect().is_ok_and(|mut client| {
                // any reply will do, NOAUTH and LOADING too
                client.try_send_raw(b"PING\r\n").is_ok() && client.try_read_reply_raw().is_ok()
            })
        });
    }

    fn try_connect(&self) -> std::io::Result<Client> {
        match &self.listen {
            Listen::Tcp(port) => Client::try_connect(port.get()),
            Listen::Unix(path) => Client::try_connect_unix(path),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        match &self.listen {
            Listen::Tcp(port) => {
                command.args(["--port", &port.get().to_string(), "--bind", "127.0.0.1"])
            }
            Listen::Unix(path) => command.args(["--port", "0", "--unixsocket"]).arg(path),
        };
        command
            .args([
                "--save",
                "",
                "--appendonly",
                "no",
                "--daemonize",
                "no",
                "--dir",
            ])
            .arg(self.dir.path());
        if version_of(&self.binary).0 >= 7 {
            command.args(["--enable-debug-command", "yes"]);
        }
        command.args(&self.args).stdin(Stdio::null());
        command
    }

    fn signal(&self, signal: Signal) {
        let child = self.child.as_ref().expect("the server runs");
        let pid = i32::try_from(child.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), signal).expect("signal redis-server");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn default_binary() -> String {
    std::env::var("RESPITE_TEST_REDIS").unwrap_or_else(|_| "redis-server".to_owned())
}

/// What a binary says of its version: `Redis server v=7.0.15 sha=…`.
fn version_text(binary: &str) -> String {
    let output = Command::new(binary).arg("--version").output();
    let output = output.unwrap_or_else(|error| panic!("{binary} --version: {error}"));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn version_of(binary: &str) -> (u32, u32, u32) {
    let text = version_text(binary);
    let version = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("v="))
        .expect("v=… in the version");
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}
