//! A Redis Cluster on loopback.

use std::process::{Command, Stdio};

use super::{Client, DEADLINE, RedisServer, Reply, wait_until};

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
        let server = |_| {
            RedisServer::builder()
                .args(["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"])
                .start()
        };
        let servers: Vec<_> = (0..masters * (1 + replicas)).map(server).collect();
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
        format!("cluster://{}?preview=1", hosts.join(","))
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
        let has = |server: &RedisServer| {
            let reply = server.call(&["CLUSTER", "NODES"]);
            let nodes = reply.as_str();
            let own = nodes.lines().find(|line| line.contains("myself"));
            let ranges = own.unwrap_or_default().split(' ').skip(8);
            ranges.filter(|range| !range.starts_with('[')).any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                let number = |text: &str| text.parse::<u16>().expect("a slot");
                (number(first)..=number(last)).contains(&slot)
            })
        };
        let found = self.servers.iter().position(has);
        found.expect("somebody has the slot")
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
        set(new, &["IMPORTING", &self.id(from)]);
        set(old, &["MIGRATING", &self.id(to)]);
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
        server.call(&["CLUSTER", "FAILOVER"]).assert_ok();
        wait_until("the replica is the master", DEADLINE, || {
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
