//! A master, its replicas, and the sentinels that watch over them.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{Client, DEADLINE, RedisServer, Relay, ReservedPort, wait_until};

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
    /// What all but the tests themselves take for the servers, in their order; none: the servers themselves.
    relays: Vec<Relay>,
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
        let watch = |_| Sentinel::watching(servers[0].port(), quorum, lines);
        let sentinels: Vec<_> = (0..sentinels).map(watch).collect();
        let set = SentinelSet {
            servers,
            relays: Vec::new(),
            sentinels,
        };
        set.wait_until_known();
        set
    }

    /// A master and a replica, known to each other, to three sentinels and to whoever asks these as relays.
    #[track_caller]
    pub(crate) fn behind_relays(args: &[&str]) -> Self {
        let ports = [(); 2].map(|()| ReservedPort::any());
        let relays: Vec<_> = ports.iter().map(|port| Relay::to(port.get())).collect();
        let doors = [relays[0].port(), relays[1].port()].map(|port| port.to_string());
        let mut servers = Vec::new();
        for (number, port) in ports.into_iter().enumerate() {
            let mut server = RedisServer::builder()
                .port(port.get())
                .args(["--repl-diskless-sync-delay", "0"])
                .args(["--replica-announce-ip", "127.0.0.1"])
                .args(["--replica-announce-port", &doors[number]])
                .args(args);
            if number > 0 {
                server = server.args(["--replicaof", "127.0.0.1", &doors[0]]);
            }
            drop(port);
            servers.push(server.start());
        }
        wait_until("a replica follows", DEADLINE, || {
            servers[1].info("replication", "master_link_status") == "up"
        });
        let watch = |_| Sentinel::watching(relays[0].port(), 2, &[]);
        let set = SentinelSet {
            sentinels: (0..3).map(watch).collect(),
            servers,
            relays,
        };
        set.wait_until_known();
        set
    }

    /// Nobody can connect to the server of this address any more, and all who are connected are cut off but
    /// those whose first bytes are `spared`.
    pub(crate) fn isolate(&self, port: u16, spared: impl Fn(&[u8]) -> bool) {
        let relay = self.relay(port);
        relay.refuse();
        for connection in relay.connections() {
            if !spared(&connection.first_bytes()) {
                connection.cut();
            }
        }
    }

    /// The server of this address can be reached again.
    pub(crate) fn rejoin(&self, port: u16) {
        self.relay(port).accept();
    }

    /// What the servers are reached through.
    pub(crate) fn relays(&self) -> &[Relay] {
        &self.relays
    }

    #[track_caller]
    fn relay(&self, port: u16) -> &Relay {
        let found = self.relays.iter().find(|relay| relay.port() == port);
        found.unwrap_or_else(|| panic!("no relay on port {port}"))
    }

    /// Whether the master has a replica that follows it; with `all`, one that has said that it has all.
    pub(crate) fn is_followed(&self, all: bool) -> bool {
        let Some(master) = self.master_port().map(|port| self.server(port)) else {
            return false;
        };
        let Ok(mut client) = Client::try_connect(master.port()) else {
            return false;
        };
        let info = client.call(&["INFO", "replication"]);
        let info = info.as_str();
        let field = |name: &str| {
            let mut lines = info.lines();
            lines.find_map(|line| line.strip_prefix(name).map(str::to_owned))
        };
        let (Some(replica), Some(offset)) = (field("slave0:"), field("master_repl_offset:")) else {
            return false;
        };
        let has_all = replica.contains(&format!("offset={offset},"));
        replica.contains("state=online") && (has_all || !all)
    }

    /// The place of the server of this address in `servers`.
    #[track_caller]
    pub(crate) fn index(&self, port: u16) -> usize {
        let relay = self.relays.iter().position(|relay| relay.port() == port);
        let found = relay.or_else(|| {
            let mut servers = self.servers.iter();
            servers.position(|server| server.port() == port)
        });
        found.unwrap_or_else(|| panic!("no server on port {port}"))
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

    /// The server of this address.
    #[track_caller]
    pub(crate) fn server(&self, port: u16) -> &RedisServer {
        &self.servers[self.index(port)]
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
    fn watching(master: u16, quorum: usize, lines: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let port = ReservedPort::any();
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {} {quorum}\n\
             sentinel down-after-milliseconds {MASTER} {DOWN_AFTER}\n\
             sentinel failover-timeout {MASTER} 3000\n{}\n",
            port.get(),
            dir.path().display(),
            master,
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
