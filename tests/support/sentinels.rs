//! A master, its replicas, and the sentinels that watch over them.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Client, DEADLINE, RedisServer, ReservedPort, wait_until};

/// What the sentinels call the master.
pub(crate) const MASTER: &str = "main";

/// How long a server is silent before a sentinel calls it down, in milliseconds. A sentinel connects again at most once a
/// second (`SENTINEL_PING_PERIOD`), also to the master that it has just named: with less it would call that one down.
const DOWN_AFTER: &str = "2000";

/// Where a sentinel writes its log, in its folder.
const LOG: &str = "sentinel.log";

/// A set of servers under the eyes of sentinels; dropping it kills all of them.
#[derive(Debug)]
pub(crate) struct SentinelSet {
    pub(crate) servers: Vec<RedisServer>,
    sentinels: Vec<Sentinel>,
}

/// One sentinel; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Sentinel {
    child: Child,
    port: ReservedPort,
    dir: TempDir,
}

impl SentinelSet {
    /// A master with `replicas` replicas, and three sentinels that know all of them.
    #[track_caller]
    pub(crate) fn start(replicas: usize) -> Self {
        Self::with(replicas, 3, &[])
    }

    /// The same with so many sentinels, and more lines for their configuration.
    #[track_caller]
    pub(crate) fn with(replicas: usize, sentinels: usize, lines: &[&str]) -> Self {
        let master = RedisServer::start();
        let port = master.port().to_string();
        let replica = |_| {
            RedisServer::builder()
                .args(["--replicaof", "127.0.0.1", &port])
                .args(["--repl-diskless-sync-delay", "0"])
                .start()
        };
        let mut servers: Vec<_> = (0..replicas).map(replica).collect();
        servers.insert(0, master);
        for replica in &servers[1..] {
            wait_until("a replica follows", DEADLINE, || {
                replica.info("replication", "master_link_status") == "up"
            });
        }
        let quorum = sentinels / 2 + 1;
        let watch = |_| Sentinel::watching(&servers[0], quorum, lines);
        let sentinels: Vec<_> = (0..sentinels).map(watch).collect();
        let set = SentinelSet { servers, sentinels };
        set.wait_until_known();
        set
    }

    /// As an upstream is written.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self
            .sentinels
            .iter()
            .map(|sentinel| format!("127.0.0.1:{}", sentinel.port()))
            .collect();
        format!("sentinel://{}/{MASTER}", hosts.join(","))
    }

    /// One of the sentinels.
    pub(crate) fn sentinel(&mut self, index: usize) -> &mut Sentinel {
        &mut self.sentinels[index]
    }

    /// The port of the master, as most sentinels name it.
    pub(crate) fn master_port(&self) -> Option<u16> {
        let named = |sentinel: &Sentinel| sentinel.master_port();
        let mut ports: Vec<u16> = self.sentinels.iter().filter_map(named).collect();
        ports.sort_unstable();
        ports.get(ports.len() / 2).copied()
    }

    /// The server that listens on this port.
    #[track_caller]
    pub(crate) fn server(&self, port: u16) -> &RedisServer {
        let found = self.servers.iter().find(|server| server.port() == port);
        found.unwrap_or_else(|| panic!("no server on port {port}"))
    }

    /// Has the sentinels make a replica the master.
    #[track_caller]
    pub(crate) fn fail_over(&self) {
        let before = self.master_port();
        wait_until("a failover begins", DEADLINE, || {
            let sentinel = &self.sentinels[0];
            let reply = sentinel.connect().call(&["SENTINEL", "FAILOVER", MASTER]);
            !reply.is_error()
        });
        self.wait_for_another(before.expect("a master"));
    }

    /// Waits until all sentinels that run name another master than the one on this port.
    #[track_caller]
    pub(crate) fn wait_for_another(&self, port: u16) {
        wait_until("the sentinels name another master", DEADLINE, || {
            let mut running = self.sentinels.iter().filter_map(Sentinel::master_port);
            running.all(|named| named != port)
        });
    }

    fn wait_until_known(&self) {
        let others = (self.sentinels.len() - 1).to_string();
        let replicas = (self.servers.len() - 1).to_string();
        for sentinel in &self.sentinels {
            wait_until("a sentinel knows everybody", DEADLINE, || {
                let Ok(mut client) = Client::try_connect(sentinel.port()) else {
                    return false;
                };
                if let Some(login) = &sentinel.login() {
                    client.call(&["AUTH", login]);
                }
                let reply = client.call(&["SENTINEL", "MASTER", MASTER]);
                if reply.is_error() {
                    return false;
                }
                let has = |field: &str, value: &str| reply.field(field).as_str() == value;
                has("num-other-sentinels", &others) && has("num-slaves", &replicas)
            });
        }
    }
}

impl Sentinel {
    fn watching(master: &RedisServer, quorum: usize, lines: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let port = ReservedPort::any();
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}\n\
             sentinel failover-timeout {MASTER} 3000\n{}\n",
            port.get(),
            dir.path().display(),
            master.port(),
            lines.join("\n"),
        );
        fs::write(&config, text).expect("write the configuration");
        let child = Command::new(RedisServer::program())
            .arg(&config)
            .arg("--sentinel")
            .arg("--logfile")
            .arg(dir.path().join(LOG))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("start a sentinel");
        Sentinel { child, port, dir }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.get()
    }

    #[track_caller]
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.port())
    }

    /// Kills it at once (SIGKILL).
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended before
        let _ = self.child.wait();
    }

    /// The password that its configuration asks for.
    fn login(&self) -> Option<String> {
        let config = fs::read_to_string(self.dir.path().join("sentinel.conf")).ok()?;
        let line = config
            .lines()
            .find_map(|line| line.strip_prefix("requirepass "))?;
        Some(line.trim_matches('"').to_owned())
    }

    fn master_port(&self) -> Option<u16> {
        let mut client = Client::try_connect(self.port()).ok()?;
        let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
        client.try_send_raw(&super::encode(&question)).ok()?;
        let reply = client.try_read_reply_raw().ok()?;
        let reply = super::Reply::parse(&reply);
        reply.items().get(1)?.as_str().parse().ok()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.path().join(LOG)).unwrap_or_default();
            eprintln!(
                "--- the log of the sentinel on {} ---\n{log}---",
                self.port()
            );
        }
    }
}
