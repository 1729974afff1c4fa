//! The two sides that are compared: a Redis, and a Respite with a Redis of its own behind it, or a cluster.

use std::collections::BTreeMap;

use super::Protocol;
use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Reply, Respite, wait_until};

/// Both sides, started alike.
#[derive(Debug)]
pub(crate) struct Pair {
    // The front goes first: a Respite that loses its backing has something to say.
    front: Respite,
    direct: RedisServer,
    behind: Behind,
}

/// What is behind Respite.
#[derive(Debug)]
enum Behind {
    One(RedisServer),
    Cluster(RedisCluster),
}

/// One connection to each side.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) direct: Client,
    pub(crate) through: Client,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let behind = RedisServer::start();
        Self {
            direct: RedisServer::start(),
            front: Respite::in_front_of(&behind),
            behind: Behind::One(behind),
        }
    }

    /// With a cluster of three masters behind Respite.
    pub(crate) fn with_cluster() -> Self {
        let behind = RedisCluster::start(3, 0);
        Self {
            direct: RedisServer::start(),
            front: Respite::builder().upstream(&behind.url()).start(),
            behind: Behind::Cluster(behind),
        }
    }

    /// The plain Redis.
    pub(crate) fn direct(&self) -> &RedisServer {
        &self.direct
    }

    /// Connects to both sides.
    pub(crate) fn connect(&self, protocol: Protocol) -> Clients {
        let mut clients = Clients {
            direct: self.direct.connect(),
            through: self.front.connect(),
        };
        if protocol == Protocol::Resp3 {
            clients.direct.hello3();
            clients.through.hello3();
        }
        clients
    }

    /// Empties both sides and waits until the clients of the last scenario have left nothing behind.
    pub(crate) fn clear(&self) {
        for server in [&self.direct].into_iter().chain(self.behind()) {
            let mut client = server.connect();
            let mut clear: Vec<&[&str]> = vec![&["FLUSHALL"], &["SCRIPT", "FLUSH"]];
            if RedisServer::version() >= (7, 0, 0) {
                clear.push(&["FUNCTION", "FLUSH"]);
            }
            assert!(
                client
                    .pipeline(&clear)
                    .iter()
                    .all(|reply| !reply.is_error())
            );
            wait_until(
                "the last scenario's clients are gone from redis",
                DEADLINE,
                || is_quiet(&mut client),
            );
        }
        // a write through Respite ends what its cache may still serve (P3); one past it only soon (P2)
        self.front.call(&["FLUSHALL"]).assert_ok();
        // before a cluster it remembers scripts
        self.front.call(&["SCRIPT", "FLUSH"]).assert_ok();
    }

    /// Waits until this many clients are blocked on each side.
    pub(crate) fn wait_blocked(&self, count: usize) {
        let blocked = |server: &RedisServer| {
            let count = server.info("clients", "blocked_clients");
            count.parse::<usize>().expect("a count")
        };
        wait_until("clients are blocked in redis", DEADLINE, || {
            let behind: usize = self.behind().iter().map(blocked).sum();
            blocked(&self.direct) == count && behind == count
        });
    }

    /// Compares what both sides hold now.
    pub(crate) fn compare_data(&self) -> Result<(), String> {
        let (direct, behind) = match &self.behind {
            Behind::One(behind) => {
                let digest = |server: &RedisServer| {
                    let digest = server.call(&["DEBUG", "DIGEST"]);
                    BTreeMap::from([(Vec::new(), digest)])
                };
                (digest(&self.direct), digest(behind))
            }
            // The digests of several servers do not make up that of one.
            Behind::Cluster(cluster) => {
                let nodes = cluster.servers.iter().flat_map(digests).collect();
                (digests(&self.direct), nodes)
            }
        };
        if direct == behind {
            Ok(())
        } else {
            Err(format!("the data differ: {direct:?} and {behind:?}"))
        }
    }

    fn behind(&self) -> &[RedisServer] {
        match &self.behind {
            Behind::One(server) => std::slice::from_ref(server),
            Behind::Cluster(cluster) => &cluster.servers,
        }
    }
}

/// The keys of a server's first database with the digest of their values.
fn digests(server: &RedisServer) -> BTreeMap<Vec<u8>, Reply> {
    let mut client = server.connect();
    let keys = client.call(&["KEYS", "*"]);
    let keys: Vec<&[u8]> = keys.items().iter().map(Reply::as_bytes).collect();
    let asked: [&[u8]; 2] = [b"DEBUG", b"DIGEST-VALUE"];
    let digests = client.call(&[&asked[..], &keys].concat());
    let keys = keys.into_iter().map(<[u8]>::to_vec);
    keys.zip(digests.items().iter().cloned()).collect()
}

fn is_quiet(client: &mut Client) -> bool {
    let mut questions: Vec<&[&str]> = vec![
        &["PUBSUB", "NUMPAT"],
        &["INFO", "clients"],
        &["PUBSUB", "CHANNELS"],
    ];
    if RedisServer::version() >= (7, 0, 0) {
        questions.push(&["PUBSUB", "SHARDCHANNELS"]);
    }
    let answers = client.pipeline(&questions);
    let empty = Reply::Array(Vec::new());
    answers[0].int() == 0
        && answers[1].as_str().contains("blocked_clients:0\r\n")
        && answers[2..].iter().all(|channels| *channels == empty)
}
