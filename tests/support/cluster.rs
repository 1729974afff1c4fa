//! A Redis Cluster on loopback.

use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Client, DEADLINE, RedisServer, Reply, ReservedPort, wait_until};

/// The slots of a cluster.
const SLOTS: u16 = 16_384;

/// Masters and their replicas; dropping it kills them.
#[derive(Debug)]
pub(crate) struct RedisCluster {
    /// Masters first, as they were at the start.
    pub(crate) servers: Vec<RedisServer>,
}

impl RedisCluster {
    /// So many masters, with so many replicas each.
    #[track_caller]
    pub(crate) fn start(masters: usize, replicas: usize) -> Self {
        let servers: Vec<_> = (0..masters * (1 + replicas))
            .map(|_| Self::server())
            .collect();
        let cluster = RedisCluster { servers };
        let addresses = cluster.servers.iter().map(RedisServer::addr);
        let replicas = replicas.to_string();
        cluster.manage(
            ["--cluster", "create"]
                .map(str::to_owned)
                .into_iter()
                .chain(addresses)
                .chain(["--cluster-replicas", &replicas, "--cluster-yes"].map(str::to_owned)),
        );
        wait_until("the cluster is whole", DEADLINE, || {
            cluster.servers.iter().all(|server| {
                let info = server.call(&["CLUSTER", "INFO"]);
                let all = format!("cluster_slots_ok:{SLOTS}");
                info.as_str().contains("cluster_state:ok") && info.as_str().contains(&all)
            })
        });
        cluster
    }

    fn server() -> RedisServer {
        let mut args = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        if RedisServer::is_valkey() {
            // Respite serves the first one alone.
            args.extend(["--cluster-databases", "16"]);
        }
        // Nodes talk to each other on a port that is so much higher; it may be somebody else's.
        let bus = |port: u16| port.checked_add(10_000);
        let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let mut ports = std::iter::repeat_with(|| ReservedPort::any().get());
        let port = ports.find(|port| bus(*port).is_some_and(is_free));
        let port = port.expect("there are many");
        RedisServer::builder().port(port).args(args).start()
    }

    #[track_caller]
    fn manage(&self, args: impl IntoIterator<Item = String>) {
        let output = Command::new("redis-cli")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .expect("redis-cli runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{said}");
    }

    /// As an upstream is written.
    pub(crate) fn url(&self) -> String {
        let hosts: Vec<_> = self.servers.iter().take(2).map(RedisServer::addr).collect();
        format!("cluster://{}", hosts.join(","))
    }

    /// The id of a server in the cluster.
    #[track_caller]
    pub(crate) fn id(&self, server: usize) -> String {
        let id = self.servers[server].call(&["CLUSTER", "MYID"]);
        id.as_str().to_owned()
    }

    /// Which server has a slot, as that one says.
    #[track_caller]
    pub(crate) fn owner(&self, slot: u16) -> usize {
        let found = (0..self.servers.len()).find(|server| self.has_slot(*server, slot));
        found.expect("somebody has the slot")
    }

    /// Whether a server takes a slot for its own.
    #[track_caller]
    pub(crate) fn has_slot(&self, server: usize, slot: u16) -> bool {
        let reply = self.servers[server].call(&["CLUSTER", "NODES"]);
        let nodes = reply.as_str();
        let own = nodes.lines().find(|line| line.contains("myself"));
        let ranges = own.unwrap_or_default().split(' ').skip(8);
        ranges.filter(|range| !range.starts_with('[')).any(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u16>().expect("a slot");
            (number(first)..=number(last)).contains(&slot)
        })
    }

    /// Begins to move a slot to another master: keys that are not there come into being at that one.
    #[track_caller]
    pub(crate) fn begin_move(&self, slot: u16, to: usize) {
        let from = self.owner(slot);
        let number = slot.to_string();
        let set = |server: usize, how: &[&str]| {
            self.servers[server]
                .call(&[&["CLUSTER", "SETSLOT", &number], how].concat())
                .assert_ok();
        };
        set(to, &["IMPORTING", &self.id(from)]);
        set(from, &["MIGRATING", &self.id(to)]);
    }

    /// Moves a slot with its keys to another master, as `redis-cli` does; `between` is called when a key was moved.
    #[track_caller]
    pub(crate) fn move_slot(&self, slot: u16, to: usize, mut between: impl FnMut()) {
        let from = self.owner(slot);
        let (old, new) = (&self.servers[from], &self.servers[to]);
        let number = slot.to_string();
        let set = |server: &RedisServer, how: &[&str]| {
            server
                .call(&[&["CLUSTER", "SETSLOT", &number], how].concat())
                .assert_ok();
        };
        self.begin_move(slot, to);
        loop {
            let keys = old.call(&["CLUSTER", "GETKEYSINSLOT", &number, "1"]);
            let Some(key) = keys.items().first() else {
                break;
            };
            let port = new.port().to_string();
            let key = key.as_str();
            let moved = old.call(&["MIGRATE", "127.0.0.1", &port, key, "0", "5000"]);
            assert!(!moved.is_error(), "{moved:?}");
            between();
        }
        let id = self.id(to);
        set(new, &["NODE", &id]);
        set(old, &["NODE", &id]);
    }

    /// Makes a replica the master of its slots.
    #[track_caller]
    pub(crate) fn fail_over_to(&self, replica: usize) {
        let server = &self.servers[replica];
        wait_until("the replica follows", DEADLINE, || {
            server.info("replication", "master_link_status") == "up"
        });
        // The masters do not vote on one of them again so soon: then it comes to nothing after five seconds.
        let mut asked: Option<Instant> = None;
        wait_until("the replica is the master", DEADLINE, || {
            if asked.is_none_or(|asked| asked.elapsed() > Duration::from_secs(6)) {
                server.call(&["CLUSTER", "FAILOVER"]).assert_ok();
                asked = Some(Instant::now());
            }
            server.info("replication", "role") == "master"
        });
    }
}

/// The slot of a key, as a server says.
#[track_caller]
pub(crate) fn slot_of(client: &mut Client, key: &str) -> u16 {
    match client.call(&["CLUSTER", "KEYSLOT", key]) {
        Reply::Int(slot) => u16::try_from(slot).expect("a slot"),
        other => panic!("{other:?}"),
    }
}

/// What operators do to a running cluster.
impl RedisCluster {
    /// The servers that are masters now.
    pub(crate) fn masters(&self) -> Vec<usize> {
        let is_master = |at: &usize| {
            let nodes = self.servers[*at].call(&["CLUSTER", "NODES"]);
            let own = nodes.as_str().lines().find(|line| line.contains("myself"));
            own.is_some_and(|line| line.contains("myself,master"))
        };
        (0..self.servers.len()).filter(is_master).collect()
    }

    /// The replica of a server.
    #[track_caller]
    pub(crate) fn replica_of(&self, master: usize) -> usize {
        let port = self.servers[master].port().to_string();
        let follows = |server: &RedisServer| {
            server.info("replication", "role") == "slave"
                && server.info("replication", "master_port") == port
        };
        let is_running = |at: &usize| *at != master && self.servers[*at].is_running();
        let mut running = (0..self.servers.len()).filter(is_running);
        let found = running.find(|at| follows(&self.servers[*at]));
        found.expect("a replica")
    }

    /// Waits until every master has one replica, which is in step: only one that has been can take over.
    #[track_caller]
    pub(crate) fn wait_until_replicas_follow(&self) {
        wait_until("replicas follow", DEADLINE, || {
            self.servers.iter().all(|server| {
                let says = |field: &str, value: &str| server.info("replication", field) == value;
                match says("role", "master") {
                    true => says("connected_slaves", "1"),
                    false => says("master_link_status", "up"),
                }
            })
        });
    }

    /// Waits until the replica of a server has all that the server has now.
    #[track_caller]
    pub(crate) fn wait_for_replica(&self, master: usize) {
        let server = &self.servers[master];
        let replica = &self.servers[self.replica_of(master)];
        let number = |text: &str| text.parse::<u64>().ok();
        let all = number(&server.info("replication", "master_repl_offset"));
        wait_until("the replica has all", DEADLINE, || {
            let line = server.info("replication", "slave0");
            let mut fields = line.split(',');
            let offset = fields.find_map(|field| field.strip_prefix("offset="));
            // Before it has anything, its offset is 0, and that of a master without writes is too.
            let is_up = replica.info("replication", "master_link_status") == "up";
            is_up && all.is_some() && offset.and_then(number) >= all
        });
    }

    /// Waits until a server says that it is a master.
    #[track_caller]
    pub(crate) fn wait_for_master(&self, server: usize) {
        let server = &self.servers[server];
        let end = Instant::now() + DEADLINE;
        while server.info("replication", "role") != "master" {
            if Instant::now() > end {
                let log = std::fs::read_to_string(server.dir().join("redis.log"));
                panic!("it never became the master:\n{}", log.unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Moves so many slots with `redis-cli --cluster reshard`.
    #[track_caller]
    pub(crate) fn reshard(&self, from: usize, to: usize, slots: usize) {
        let (from, to, slots) = (self.id(from), self.id(to), slots.to_string());
        let args = [
            "--cluster",
            "reshard",
            &self.servers[0].addr(),
            "--cluster-from",
            &from,
            "--cluster-to",
            &to,
            "--cluster-slots",
            &slots,
            "--cluster-yes",
        ];
        self.manage(args.map(str::to_owned));
        self.wait_until_agreed();
    }

    /// Adds an empty master; returns which server it is.
    #[track_caller]
    pub(crate) fn add_node(&mut self) -> usize {
        let new = Self::server();
        let args = [
            "--cluster",
            "add-node",
            &new.addr(),
            &self.servers[0].addr(),
        ];
        self.manage(args.map(str::to_owned));
        self.servers.push(new);
        self.wait_until_agreed();
        self.servers.len() - 1
    }

    /// Takes a master without slots out of the cluster; it goes on running.
    #[track_caller]
    pub(crate) fn del_node(&self, server: usize) {
        let other = (0..self.servers.len()).find(|at| *at != server);
        let other = &self.servers[other.expect("another one")];
        let id = self.id(server);
        self.manage(["--cluster", "del-node", &other.addr(), &id].map(str::to_owned));
    }

    /// Waits until all running servers serve and have the same map, as `redis-cli` wants it.
    #[track_caller]
    pub(crate) fn wait_until_agreed(&self) {
        let running = || self.servers.iter().filter(|server| server.is_running());
        wait_until("all have one map", DEADLINE, || {
            let serves = |server: &RedisServer| {
                let info = server.call(&["CLUSTER", "INFO"]);
                info.as_str().contains("cluster_state:ok")
            };
            let maps = running().map(|server| {
                let nodes = server.call(&["CLUSTER", "NODES"]);
                let mut owners: Vec<String> = nodes
                    .as_str()
                    .lines()
                    .map(|line| {
                        let mut words = line.split(' ');
                        let id = words.next().unwrap_or_default().to_owned();
                        let slots: Vec<_> = words.skip(7).collect();
                        format!("{id} {}", slots.join(" "))
                    })
                    .collect();
                owners.sort_unstable();
                owners
            });
            let mut maps: Vec<_> = maps.collect();
            maps.dedup();
            maps.len() == 1 && running().all(serves)
        });
    }
}
