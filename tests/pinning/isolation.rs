//! The state of one client never shows in another's, however their commands are interleaved.

use crate::support::{Client, Random, RedisServer, Reply, Respite};

const CLIENTS: usize = 16;
const STEPS: usize = 6_000;

/// A client and what it must see.
struct Actor {
    client: Client,
    id: usize,
    db: usize,
    name: String,
    /// The replies that EXEC owes, in a transaction.
    queued: Option<Vec<Reply>>,
    watching: bool,
    conflict: bool,
    count: i64,
}

#[test]
fn databases_names_watches_and_transactions_are_apart() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).workers(1).start();
    let mut random = Random::from_env();
    let mut admin = redis.connect();
    for db in 0..16 {
        admin.call(&["SELECT", &db.to_string()]).assert_ok();
        admin.call(&["SET", "who", &db.to_string()]).assert_ok();
    }
    let mut actors: Vec<Actor> = (0..CLIENTS)
        .map(|id| Actor::new(respite.connect(), id))
        .collect();
    for _ in 0..STEPS {
        let at = random.below(CLIENTS);
        actors[at].step(&mut random);
    }
    for actor in &mut actors {
        actor.exec();
        actor.look();
    }
}

impl Actor {
    fn new(client: Client, id: usize) -> Self {
        Actor {
            client,
            id,
            db: 0,
            name: String::new(),
            queued: None,
            watching: false,
            conflict: false,
            count: 0,
        }
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(9) {
            0 => self.select(random.below(16)),
            1 => self.set_name(random),
            2 if self.queued.is_none() => {
                self.client.call(&["WATCH", &self.watched()]).assert_ok();
                self.watching = true;
            }
            3 if self.queued.is_none() => {
                let _ = self.client.call(&["INCR", &self.watched()]).int();
                self.conflict |= self.watching;
            }
            4 if self.queued.is_none() => {
                self.client.call(&["MULTI"]).assert_ok();
                self.queued = Some(Vec::new());
            }
            5 | 6 => self.exec(),
            _ => self.look(),
        }
    }

    /// One key for all databases would do; each client has its own in each.
    fn watched(&self) -> String {
        format!("watched:{}", self.id)
    }

    fn select(&mut self, db: usize) {
        if self.watching {
            return; // a watched key belongs to its database; the model stays simple
        }
        self.run(&["SELECT", &db.to_string()], Reply::Simple(b"OK".to_vec()));
        self.db = db;
    }

    fn set_name(&mut self, random: &mut Random) {
        self.name = format!("client-{}-{}", self.id, random.below(1000));
        let name = self.name.clone();
        self.run(&["CLIENT", "SETNAME", &name], Reply::Simple(b"OK".to_vec()));
    }

    /// Reads what differs between clients.
    fn look(&mut self) {
        let who = Reply::Bulk(self.db.to_string().into_bytes());
        self.run(&["GET", "who"], who);
        let name = match self.name.as_str() {
            "" => Reply::Null,
            name => Reply::Bulk(name.as_bytes().to_vec()),
        };
        self.run(&["CLIENT", "GETNAME"], name);
        let own = format!("own:{}", self.id);
        self.run(&["SELECT", "0"], Reply::Simple(b"OK".to_vec()));
        let counted = Reply::Int(self.count + 1);
        self.run(&["INCR", &own], counted);
        self.count += 1;
        let db = self.db.to_string();
        self.run(&["SELECT", &db], Reply::Simple(b"OK".to_vec()));
    }

    /// Runs a command, or queues it in the transaction.
    fn run(&mut self, command: &[&str], expected: Reply) {
        let reply = self.client.call(command);
        match &mut self.queued {
            None => assert_eq!(reply, expected, "client {} {command:?}", self.id),
            Some(queued) => {
                reply.assert_str("QUEUED");
                queued.push(expected);
            }
        }
    }

    fn exec(&mut self) {
        let Some(queued) = self.queued.take() else {
            return;
        };
        let reply = self.client.call(&["EXEC"]);
        if std::mem::take(&mut self.conflict) {
            assert!(reply.is_null(), "client {}: {reply:?}", self.id);
            // nothing of it happened: find out where that leaves the model
            self.count = self.count_now();
            self.resync();
        } else {
            assert_eq!(reply, Reply::Array(queued), "client {}", self.id);
        }
        self.watching = false;
    }

    fn count_now(&mut self) -> i64 {
        let db = self.client.call(&["GET", "who"]);
        self.client.call(&["SELECT", "0"]).assert_ok();
        let count = self
            .client
            .call(&["INCRBY", &format!("own:{}", self.id), "0"])
            .int();
        self.client.call(&["SELECT", db.as_str()]).assert_ok();
        count
    }

    fn resync(&mut self) {
        self.db = self
            .client
            .call(&["GET", "who"])
            .as_str()
            .parse()
            .expect("a database");
        self.name = match self.client.call(&["CLIENT", "GETNAME"]) {
            Reply::Null => String::new(),
            name => name.as_str().to_owned(),
        };
    }
}
