//! What is behind Respite in a run: one server, a master with sentinels, or a cluster; over a network that can be made bad.

use std::time::Duration;

use crate::support::{
    Client, Connection, DEADLINE, RedisCluster, RedisServer, Relay, Reply, SentinelSet, slot_of,
    wait_until,
};

/// What kind of backing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    One,
    Sentinels,
    Cluster,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::One => "one Redis",
            Self::Sentinels => "Sentinel",
            Self::Cluster => "Cluster",
        }
    }
}

#[derive(Debug)]
enum Servers {
    One(RedisServer),
    Sentinels(SentinelSet),
    Cluster(RedisCluster),
}

/// The servers, and the relays through which Respite reaches them, if there are any.
#[derive(Debug)]
pub(crate) struct Backing {
    servers: Servers,
    relays: Vec<Relay>,
    login: String,
}

impl Backing {
    /// Starts one; `networked`: Respite reaches it through relays.
    #[track_caller]
    pub(crate) fn start(
        kind: Kind,
        networked: bool,
        args: &[String],
        program: Option<&str>,
    ) -> Self {
        let mut relays = Vec::new();
        let servers = match kind {
            Kind::One => {
                let mut builder = RedisServer::builder().args(args);
                if let Some(program) = program {
                    builder = builder.binary(program);
                }
                let redis = builder.start();
                if networked {
                    relays.push(Relay::to(redis.port()));
                }
                Servers::One(redis)
            }
            Kind::Sentinels if networked => Servers::Sentinels(SentinelSet::behind_relays(&[])),
            Kind::Sentinels => Servers::Sentinels(SentinelSet::start(1)),
            Kind::Cluster => {
                let cluster = RedisCluster::start(3, 1);
                cluster.wait_until_replicas_follow();
                if networked {
                    relays = announce(&cluster);
                }
                Servers::Cluster(cluster)
            }
        };
        Backing {
            servers,
            relays,
            login: String::new(),
        }
    }

    /// A login for the URL, `:password@`.
    pub(crate) fn with_login(mut self, login: &str) -> Self {
        login.clone_into(&mut self.login);
        self
    }

    /// As an upstream is written.
    pub(crate) fn url(&self) -> String {
        match &self.servers {
            Servers::One(redis) => {
                let port = self.relays.first().map_or(redis.port(), Relay::port);
                format!("redis://{}127.0.0.1:{port}", self.login)
            }
            Servers::Sentinels(set) => set.url(),
            Servers::Cluster(cluster) if self.relays.is_empty() => cluster.url(),
            Servers::Cluster(_) => {
                let seeds = self.relays.iter().take(2);
                let seeds: Vec<_> = seeds
                    .map(|relay| format!("127.0.0.1:{}", relay.port()))
                    .collect();
                format!("cluster://{}", seeds.join(","))
            }
        }
    }

    pub(crate) fn relays(&self) -> &[Relay] {
        match &self.servers {
            Servers::Sentinels(set) => set.relays(),
            _ => &self.relays,
        }
    }

    /// The open connections that are relayed.
    pub(crate) fn connections(&self) -> Vec<Connection> {
        let all = self.relays().iter().flat_map(Relay::connections);
        all.filter(Connection::is_open).collect()
    }

    /// The one server.
    #[track_caller]
    pub(crate) fn one(&mut self) -> &mut RedisServer {
        match &mut self.servers {
            Servers::One(redis) => redis,
            _ => panic!("a fault for one server"),
        }
    }

    /// The servers that can be written to.
    pub(crate) fn masters(&self) -> Vec<&RedisServer> {
        match &self.servers {
            Servers::One(redis) => vec![redis],
            Servers::Sentinels(set) => vec![set.server(set.master_port().expect("a master"))],
            Servers::Cluster(cluster) => {
                let masters = cluster.masters();
                masters.iter().map(|at| &cluster.servers[*at]).collect()
            }
        }
    }

    /// What the servers hold under a key.
    #[track_caller]
    pub(crate) fn get(&self, key: &str) -> Reply {
        let replies = self.masters().into_iter().map(|master| {
            let mut client = master.connect();
            if let Some(password) = self.login.strip_prefix(':') {
                client.call(&["AUTH", password.trim_end_matches('@')]);
            }
            client.call(&["GET", key])
        });
        let mut known = replies.filter(|reply| !reply.is_error());
        known.next().unwrap_or_else(|| panic!("nobody has {key}"))
    }

    /// Ends the master, or stops it, until another one has its place: `between` is called then. Then it comes back.
    pub(crate) fn replace_master(&mut self, kill: bool, between: impl FnOnce()) {
        match &mut self.servers {
            Servers::One(_) => panic!("nobody can replace it"),
            Servers::Sentinels(set) => {
                let old = set.master_port().expect("a master");
                let index = set.index(old);
                if kill {
                    set.servers[index].kill();
                } else {
                    set.servers[index].freeze();
                }
                set.wait_for_another(old);
                between();
                if kill {
                    set.servers[index].restart();
                } else {
                    set.servers[index].thaw();
                }
                wait_until("the old master follows", DEADLINE, || {
                    set.servers[index].info("replication", "role") == "slave"
                });
            }
            Servers::Cluster(cluster) => {
                cluster.wait_until_agreed();
                let master = cluster.masters()[0];
                let replica = cluster.replica_of(master);
                if kill {
                    cluster.servers[master].kill();
                } else {
                    cluster.servers[master].freeze();
                }
                cluster.wait_for_master(replica);
                between();
                if kill {
                    cluster.servers[master].restart();
                } else {
                    cluster.servers[master].thaw();
                }
                cluster.wait_until_agreed();
            }
        }
    }

    /// Moves slots about, or has a replica take over, by command.
    pub(crate) fn change_map(&self) {
        let Servers::Cluster(cluster) = &self.servers else {
            panic!("a fault for a cluster");
        };
        let masters = cluster.masters();
        let mut client = cluster.servers[masters[0]].connect();
        for name in 0..8 {
            let slot = slot_of(&mut client, &super::client::key(name, 0));
            let from = cluster.owner(slot);
            let to = masters.iter().find(|to| **to != from).expect("three");
            cluster.move_slot(slot, *to, || {});
            // Moved in too quick a succession, nodes of Redis may send each other's clients to and fro for ever.
            cluster.wait_until_agreed();
        }
    }
}

/// Has the nodes of a cluster tell everybody that they are to be reached through relays.
fn announce(cluster: &RedisCluster) -> Vec<Relay> {
    let servers = &cluster.servers;
    let relays: Vec<Relay> = servers.iter().map(|one| Relay::to(one.port())).collect();
    for (server, relay) in servers.iter().zip(&relays) {
        let port = relay.port().to_string();
        server
            .call(&["CONFIG", "SET", "cluster-announce-port", &port])
            .assert_ok();
        // Otherwise it would be derived from the port.
        let bus = (server.port() + 10_000).to_string();
        server
            .call(&["CONFIG", "SET", "cluster-announce-bus-port", &bus])
            .assert_ok();
    }
    wait_until("all nodes know the relays", DEADLINE, || {
        servers.iter().all(|server| {
            let mut client: Client = server.connect();
            client.set_timeout(Duration::from_secs(10));
            let nodes = client.call(&["CLUSTER", "NODES"]);
            let has = |relay: &Relay| nodes.as_str().contains(&format!(":{}@", relay.port()));
            relays.iter().all(has)
        })
    });
    relays
}
