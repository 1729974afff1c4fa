//! The two sides that are compared: a Redis, and a Respite with a Redis of its own behind it.

use super::Protocol;
use crate::support::{Client, DEADLINE, RedisServer, Reply, Respite, wait_until};

/// Both sides, started alike.
#[derive(Debug)]
pub(crate) struct Pair {
    // The front goes first: a Respite that loses its backing has something to say.
    front: Respite,
    direct: RedisServer,
    behind: RedisServer,
}

/// One connection to each side.
#[derive(Debug)]
pub(crate) struct Clients {
    pub(crate) direct: Client,
    pub(crate) through: Client,
}

impl Pair {
    pub(crate) fn start() -> Self {
        let (direct, behind) = (RedisServer::start(), RedisServer::start());
        let front = Respite::in_front_of(&behind);
        Self {
            direct,
            behind,
            front,
        }
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
        for server in self.servers() {
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
    }

    /// Waits until this many clients are blocked in each Redis.
    pub(crate) fn wait_blocked(&self, count: usize) {
        for server in self.servers() {
            let expected = count.to_string();
            wait_until("clients are blocked in redis", DEADLINE, || {
                server.info("clients", "blocked_clients") == expected
            });
        }
    }

    /// Compares what both Redis servers hold now.
    pub(crate) fn compare_data(&self) -> Result<(), String> {
        let [direct, behind] = self
            .servers()
            .map(|server| server.call(&["DEBUG", "DIGEST"]));
        if direct == behind {
            Ok(())
        } else {
            Err(format!("the data differ: digest {direct:?} and {behind:?}"))
        }
    }

    fn servers(&self) -> [&RedisServer; 2] {
        [&self.direct, &self.behind]
    }
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
