//! A private Redis of Respite's own: found on `PATH`, started on a unix socket, watched over.
//!
//! One OS thread owns the child process: it starts it, waits for it, starts it again when it dies,
//! and ends it when Respite ends. The child is started through `respite embedded-guard`, which asks
//! the kernel to end it with its parent, so that not even a killed Respite leaves one behind.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tracing::{debug, error, info, warn};

use crate::backoff::Backoff;
use crate::config::{Address, Endpoint, Secret};
use crate::random;
use crate::tasks::{self, Kind};

/// The servers that will do, best first.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];
/// How long a server may take to end when asked, before it is killed.
const STOP_GRACE: Duration = Duration::from_secs(10);
/// How often a start looks whether the server listens.
const START_LOOK: Duration = Duration::from_millis(5);

/// Why there is no embedded Redis.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddedError {
    /// None of the known programs is on `PATH`.
    #[error(
        "no redis-server or valkey-server on PATH: install one (Debian, Ubuntu: `apt-get install \
         redis-server`; Fedora: `dnf install valkey`; macOS: `brew install redis`), or name a \
         Redis with --upstream redis://HOST:PORT"
    )]
    NotFound,
    /// Another Respite uses the data directory.
    #[error("the data directory {0} is in use by another Respite")]
    InUse(PathBuf),
    /// A directory or the process could not be made.
    #[error("cannot {what}: {error}")]
    Io {
        /// What was tried.
        what: String,
        /// The system's words.
        error: io::Error,
    },
}

/// A running embedded Redis. Dropping it stops the server.
#[derive(Debug)]
pub struct Embedded {
    run_dir: PathBuf,
    password: Secret,
    stop: Arc<AtomicBool>,
    pid: Arc<AtomicI32>,
    keeper: Option<JoinHandle<()>>,
    _lock: Option<File>,
}

/// What a server is told besides, as a node of a cluster. It listens on loopback.
#[derive(Debug, Clone)]
pub(super) struct NodeOptions {
    pub(super) port: u16,
    /// The same for all nodes.
    pub(super) password: Secret,
    /// A user who may arrange the nodes.
    pub(super) setup: (&'static str, Secret),
}

impl Embedded {
    /// Starts a server; with `data_dir` it keeps its data there.
    ///
    /// # Errors
    /// When there is no server program, or it cannot be started.
    pub fn start(data_dir: Option<&Path>) -> Result<Self, EmbeddedError> {
        Self::start_as(data_dir, None)
    }

    /// Starts a node of a cluster.
    ///
    /// # Errors
    /// As [`Embedded::start`].
    pub(super) fn start_node(
        data_dir: Option<&Path>,
        node: NodeOptions,
    ) -> Result<Self, EmbeddedError> {
        Self::start_as(data_dir, Some(node))
    }

    fn start_as(data_dir: Option<&Path>, node: Option<NodeOptions>) -> Result<Self, EmbeddedError> {
        let program = find_program(std::env::var_os("PATH")).ok_or(EmbeddedError::NotFound)?;
        let lock = data_dir.map(lock_data_dir).transpose()?;
        let run_dir = make_run_dir()?;
        let password = match &node {
            Some(node) => node.password.clone(),
            None => Secret::new(random::password()),
        };
        let launch = Launch {
            program,
            run_dir: run_dir.clone(),
            password: password.clone(),
            data_dir: data_dir.map(Into::into),
            node,
        };
        let stop = Arc::new(AtomicBool::new(false));
        let pid = Arc::new(AtomicI32::new(0));
        let (stop_too, pid_too) = (Arc::clone(&stop), Arc::clone(&pid));
        let keeper = thread::Builder::new()
            .name("embedded".into())
            .spawn(move || {
                let keep = || launch.keep_running(&stop_too, &pid_too);
                while tasks::run(Kind::Embedded, keep).is_none() {
                    thread::sleep(RESTART);
                }
            })
            .map_err(|error| EmbeddedError::Io {
                what: "start a thread".into(),
                error,
            })?;
        Ok(Embedded {
            run_dir,
            password,
            stop,
            pid,
            keeper: Some(keeper),
            _lock: lock,
        })
    }

    /// Where it listens.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint {
            address: Address::Unix(socket_path(&self.run_dir)),
            tls: false,
            user: None,
            password: Some(self.password.clone()),
            db: 0,
            only_at: None,
        }
    }

    /// Waits until the server accepts connections, at most `limit`.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn until_listening(&self, limit: Duration) {
        let listening = async {
            while tokio::net::UnixStream::connect(socket_path(&self.run_dir))
                .await
                .is_err()
            {
                tokio::time::sleep(START_LOOK).await;
            }
        };
        // Whoever connects later says what is wrong.
        let _ = tokio::time::timeout(limit, listening).await;
    }

    /// The process id of the server that runs now, 0 between two.
    pub fn pid(&self) -> i32 {
        self.pid.load(Ordering::SeqCst)
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let asked = Instant::now();
        while let Some(keeper) = self.keeper.take_if(|keeper| !keeper.is_finished()) {
            let late = asked.elapsed() > STOP_GRACE;
            signal(
                self.pid(),
                if late {
                    Signal::SIGKILL
                } else {
                    Signal::SIGTERM
                },
            );
            thread::sleep(Duration::from_millis(10));
            self.keeper = Some(keeper);
        }
        // Only a socket and logs of a server that has ended are in there.
        let _ = std::fs::remove_dir_all(&self.run_dir);
    }
}

fn signal(pid: i32, signal: Signal) {
    if pid > 0 {
        // It may have ended in between.
        let _ = kill(Pid::from_raw(pid), signal);
    }
}

fn socket_path(run_dir: &Path) -> PathBuf {
    run_dir.join("redis.sock")
}

fn find_program(path: Option<std::ffi::OsString>) -> Option<PathBuf> {
    let dirs: Vec<PathBuf> = std::env::split_paths(&path?).collect();
    PROGRAMS
        .iter()
        .flat_map(|program| dirs.iter().map(move |dir| dir.join(program)))
        .find(|candidate| candidate.is_file())
}

fn make_run_dir() -> Result<PathBuf, EmbeddedError> {
    let name = format!("respite-{}-{}", std::process::id(), random::word());
    let dir = std::env::temp_dir().join(name);
    DirBuilder::new()
        .mode(0o700)
        .create(&dir)
        .map_err(|error| EmbeddedError::Io {
            what: format!("create {}", dir.display()),
            error,
        })?;
    Ok(dir)
}

/// Two servers appending to one file would destroy it.
pub(super) fn lock_data_dir(dir: &Path) -> Result<File, EmbeddedError> {
    let io = |error| EmbeddedError::Io {
        what: format!("use {}", dir.display()),
        error,
    };
    let mut folders = DirBuilder::new();
    folders
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(io)?;
    let mode = dir.metadata().map_err(io)?.permissions().mode();
    if mode & 0o077 != 0 {
        // It may be shared on purpose; what is written into it is private all the same.
        let mode = mode & 0o777;
        info!(
            "data_dir {} is open to others (mode {mode:o})",
            dir.display()
        );
    }
    let lock = dir.join("respite.lock");
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(lock).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(EmbeddedError::InUse(dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(io(error)),
    }
}

/// How the server is started.
struct Launch {
    program: PathBuf,
    run_dir: PathBuf,
    password: Secret,
    data_dir: Option<PathBuf>,
    node: Option<NodeOptions>,
}

/// Between a panic of the keeper and its next start.
const RESTART: Duration = Duration::from_secs(1);

impl Launch {
    fn keep_running(&self, stop: &AtomicBool, pid: &AtomicI32) {
        let mut backoff = Backoff::default();
        while !stop.load(Ordering::SeqCst) {
            let started = Instant::now();
            match self.spawn() {
                Ok(mut child) => {
                    pid.store(child.id().cast_signed(), Ordering::SeqCst);
                    let last_words = forward_log(&mut child);
                    let status = child.wait();
                    pid.store(0, Ordering::SeqCst);
                    if !stop.load(Ordering::SeqCst) {
                        let status = status.map_or_else(|e| e.to_string(), |s| s.to_string());
                        warn!(
                            "the embedded Redis ended ({status}), starting it again: {last_words}"
                        );
                    }
                }
                Err(error) => error!("cannot start {}: {error}", self.program.display()),
            }
            if started.elapsed() > Duration::from_secs(10) {
                backoff.reset();
            }
            if !stop.load(Ordering::SeqCst) {
                thread::sleep(backoff.next());
            }
        }
    }

    fn spawn(&self) -> io::Result<Child> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("embedded-guard")
            .arg(&self.program)
            // The configuration comes from there: nobody sees it, as arguments are seen by everybody.
            .arg("-")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            // What a terminal sends to Respite, Ctrl-C, is not for the server: Respite ends it last.
            .process_group(0)
            .spawn()?;
        match child.stdin.take() {
            // A server that reads no more has ended, and says why itself.
            Some(mut stdin) => drop(stdin.write_all(&self.configuration())),
            None => return Err(io::Error::other("it has no input")),
        }
        Ok(child)
    }

    /// What the server is told. Clients of Respite are served as its default user, so what that may not do
    /// nobody can make the server do, by whatever spelling, transaction or script.
    fn configuration(&self) -> Vec<u8> {
        let data_dir = self.data_dir.as_deref().unwrap_or(&self.run_dir);
        let mut text = Vec::new();
        let port = self.node.as_ref().map_or(0, |node| node.port);
        text.extend_from_slice(format!("port {port}\n").as_bytes());
        text.extend_from_slice(b"daemonize no\nunixsocketperm 700\nsave \"\"\nunixsocket ");
        quote(&socket_path(&self.run_dir), &mut text);
        text.extend_from_slice(b"\ndir ");
        quote(data_dir, &mut text);
        let durable = if self.data_dir.is_some() { "yes" } else { "no" };
        let denied = self.node.as_ref().map_or("", |_| NODE_DENIED);
        let user = format!(
            "\nappendonly {durable}\nuser default on >{} ~* &* +@all {DENIED} {denied}\n",
            self.password.expose()
        );
        text.extend_from_slice(user.as_bytes());
        if let Some(node) = &self.node {
            let (name, password) = &node.setup;
            let more = format!(
                "user {name} on >{} +@all\nbind 127.0.0.1\ncluster-enabled yes\n\
                 cluster-config-file nodes.conf\ncluster-node-timeout 5000\n",
                password.expose()
            );
            text.extend_from_slice(more.as_bytes());
        }
        text
    }
}

/// What nobody may do to the embedded server: whatever would open it to others, make it another server's
/// replica, end it or load code into it, and what changes the rules that forbid this. Understood by every
/// version from 6.2 on.
const DENIED: &str = "-acl +acl|whoami +acl|cat +acl|genpass +acl|help +acl|users +acl|log \
    -config +config|get +config|set +config|resetstat +config|help \
    -module +module|list +module|help \
    -replicaof -slaveof -failover -sync -psync -replconf -shutdown -debug";

/// What nobody may do to a node, either: whatever would take it out of its cluster.
const NODE_DENIED: &str = "-cluster +cluster|slots +cluster|shards +cluster|nodes +cluster|info +cluster|myid \
    +cluster|keyslot +cluster|countkeysinslot +cluster|getkeysinslot";

/// Writes a path as a value of redis.conf.
fn quote(path: &Path, out: &mut Vec<u8>) {
    out.push(b'"');
    for &byte in path.as_os_str().as_bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b' '..=b'~' => out.push(byte),
            byte => out.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
        }
    }
    out.push(b'"');
}

/// Copies the server's log into ours until it ends; returns its last line.
fn forward_log(child: &mut Child) -> String {
    let mut last = String::new();
    let Some(stdout) = child.stdout.take() else {
        return last;
    };
    for line in BufReader::new(stdout).lines() {
        let Ok(line) = line else { break };
        if !line.trim().is_empty() {
            debug!(target: "embedded", "{line}");
            last = line;
        }
    }
    last
}

/// Becomes the program in `args`, after asking that it ends when the parent ends. Returns only
/// when that fails.
pub fn guard(args: &[std::ffi::OsString]) -> io::Error {
    #[cfg(target_os = "linux")]
    if let Err(errno) = nix::sys::prctl::set_pdeathsig(Signal::SIGTERM) {
        return errno.into();
    }
    // Nobody else reads what it writes, least of all its append-only file.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    match args.split_first() {
        Some((program, rest)) => Command::new(program).args(rest).exec(),
        None => io::Error::other("nothing to run"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_redis_before_valkey_and_says_when_there_is_none() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = || Some(dir.path().as_os_str().to_owned());
        assert_eq!(find_program(path()), None);
        for program in ["valkey-server", "redis-server"] {
            let file = dir.path().join(program);
            std::fs::write(&file, "").expect("written");
            assert_eq!(find_program(path()), Some(file));
        }
        assert!(EmbeddedError::NotFound.to_string().contains("--upstream"));
    }

    #[test]
    fn a_data_directory_has_one_user() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = lock_data_dir(dir.path()).expect("free");
        assert!(matches!(
            lock_data_dir(dir.path()),
            Err(EmbeddedError::InUse(_))
        ));
        drop(first);
        lock_data_dir(dir.path()).expect("free again");
    }
}
