//! A cluster is resharded, grown, shrunk and failed over while clients write and read: none of them is told of it,
//! nothing that was acknowledged is lost, and nobody sees a number go down.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::{StopAtEnd, nobody_notices, start};
use crate::support::{Client, DEADLINE, RedisCluster, Reply, Respite};

/// Keys of each writer.
const KEYS: usize = 12;
const WRITERS: usize = 3;
/// Sent in one packet, all to one key.
const PACKET: usize = 40;

/// Clients that go on when their connection is closed, which a command that was under way at a lost node brings about.
struct Load<'a> {
    respite: &'a Respite,
    /// Held for reading during a packet, for writing by who needs the writers quiet.
    writing: RwLock<()>,
    stop: AtomicBool,
}

/// What one packet came to.
enum Came {
    Replies(Vec<Reply>),
    Closed,
}

impl Load<'_> {
    fn exchange(&self, client: &mut Client, commands: &[Vec<String>]) -> Came {
        let packet: String = commands
            .iter()
            .map(|words| {
                let bulks = words
                    .iter()
                    .map(|word| format!("${}\r\n{word}\r\n", word.len()));
                format!("*{}\r\n{}", words.len(), bulks.collect::<String>())
            })
            .collect();
        let mut replies = Vec::new();
        if client.try_send_raw(packet.as_bytes()).is_ok() {
            for _ in commands {
                match client.try_read_reply_raw() {
                    Ok(reply) => replies.push(Reply::parse(&reply)),
                    Err(_) => break,
                }
            }
        }
        if replies.len() == commands.len() {
            return Came::Replies(replies);
        }
        // What a client that is closed was told before is as true.
        assert!(replies.iter().all(|reply| !reply.is_error()), "{replies:?}");
        *client = self.client();
        Came::Closed
    }

    fn client(&self) -> Client {
        let client = self.respite.connect();
        client.set_timeout(DEADLINE);
        client
    }

    /// Writes ascending numbers to one key after the other, a packet each, and reads it back.
    fn write(&self, writer: usize) -> usize {
        let mut client = self.client();
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let (mut number, mut closed) = (0, 0);
        let mut floors = [0; KEYS];
        for at in (0..KEYS).cycle() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let key = format!("w{writer}:{at}");
            let mut commands: Vec<Vec<String>> = (1..=PACKET)
                .map(|n| words(&["SET", &key, &(number + n).to_string()]))
                .collect();
            commands.push(words(&["GET", &key]));
            let quiet = self.writing.read();
            let came = self.exchange(&mut client, &commands);
            drop(quiet);
            number += PACKET;
            match came {
                Came::Replies(replies) => {
                    let (read, written) = replies.split_last().expect("some");
                    written.iter().for_each(|reply| reply.assert_ok());
                    read.assert_str(&number.to_string());
                    floors[at] = number;
                }
                Came::Closed => {
                    closed += 1;
                    // Some of it may have happened, in order; what was acknowledged before is there.
                    let Came::Replies(now) = self.exchange(&mut client, &[words(&["GET", &key])])
                    else {
                        continue;
                    };
                    let now = match &now[0] {
                        Reply::Null => 0,
                        now => now.as_str().parse().expect("a number"),
                    };
                    assert!(floors[at] <= now && now <= number, "{now} after {floors:?}");
                    floors[at] = now;
                }
            }
        }
        closed
    }

    /// Reads keys of all writers: what they hold never gets less.
    fn read(&self) {
        let mut client = self.client();
        let mut last = vec![0; WRITERS * KEYS];
        for at in (0..last.len()).cycle() {
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let get = ["GET".to_owned(), format!("w{}:{}", at / KEYS, at % KEYS)];
            if let Came::Replies(replies) = self.exchange(&mut client, &[get.to_vec()])
                && !replies[0].is_null()
            {
                let number: usize = replies[0].as_str().parse().expect("a number");
                assert!(number >= last[at], "{number} after {}", last[at]);
                last[at] = number;
            }
        }
    }
}

/// A client whose command was under way when its node was lost is closed, and goes on with a new connection.
fn start_with_closing(cluster: &RedisCluster) -> Respite {
    Respite::builder()
        .upstream(&cluster.url())
        .env("RESPITE_UPSTREAM_ON_LOSS", "close")
        .allow_log("link lost")
        .allow_log("is away")
        .allow_log("backing not usable")
        .start()
}

/// Clients write and read while `happens` happens. What they may be told is that their connection is closed.
fn nothing_is_lost(respite: &Respite, happens: impl FnOnce(&RwLock<()>)) {
    let load = Load {
        respite,
        writing: RwLock::default(),
        stop: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        let load = &load;
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| scope.spawn(move || load.write(writer)))
            .collect();
        let readers = [(); 2].map(|()| scope.spawn(|| load.read()));
        let end = StopAtEnd(&load.stop);
        happens(&load.writing);
        // The clients see what comes of it.
        std::thread::sleep(Duration::from_millis(300));
        drop(end);
        for writer in writers {
            writer.join().expect("no mismatch");
        }
        for reader in readers {
            reader.join().expect("no mismatch");
        }
    });
}

#[test]
fn slots_are_resharded_back_and_forth() {
    let cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    nobody_notices(&respite, || {
        for (from, to) in [(0, 1), (1, 0), (2, 0), (0, 2)] {
            cluster.reshard(from, to, 300);
        }
    });
}

#[test]
fn a_node_comes_and_goes() {
    let mut cluster = RedisCluster::start(3, 0);
    let respite = start(&cluster);
    nobody_notices(&respite, || {
        let new = cluster.add_node();
        for from in 0..3 {
            cluster.reshard(from, new, 200);
        }
        for to in 0..3 {
            cluster.reshard(new, to, 200);
        }
        cluster.del_node(new);
        cluster.servers[new].kill();
    });
}

#[test]
fn masters_are_failed_over_by_command() {
    let cluster = RedisCluster::start(3, 1);
    let respite = start_with_closing(&cluster);
    nothing_is_lost(&respite, |_| {
        for _ in 0..2 {
            for master in cluster.masters() {
                let replica = cluster.replica_of(master);
                cluster.fail_over_to(replica);
            }
            cluster.wait_until_agreed();
        }
    });
}

/// Nothing is written from the moment when the replica has all until the master is dead: what a master takes and its
/// replica does not have is lost by Redis.
#[test]
fn masters_are_killed() {
    let mut cluster = RedisCluster::start(3, 1);
    let respite = start_with_closing(&cluster);
    nothing_is_lost(&respite, |writing| {
        for master in 0..2 {
            let replica = cluster.replica_of(master);
            let quiet = writing.write().expect("the lock of writing");
            cluster.wait_for_replica(master);
            cluster.servers[master].kill();
            drop(quiet);
            cluster.wait_for_master(replica);
            // Who has not heard of it counts the dead one as a voter of the next election.
            cluster.wait_until_agreed();
        }
    });
}

#[test]
fn a_master_stands_still_and_comes_back() {
    let cluster = RedisCluster::start(3, 1);
    let respite = start_with_closing(&cluster);
    nothing_is_lost(&respite, |writing| {
        // On a busy machine an election may fail; then it is tried anew.
        let master = 0;
        let replica = cluster.replica_of(master);
        for _ in 0..4 {
            let quiet = writing.write().expect("the lock of writing");
            cluster.wait_for_replica(master);
            cluster.servers[master].freeze();
            drop(quiet);
            let end = Instant::now() + Duration::from_secs(12);
            let is_master = || cluster.servers[replica].info("replication", "role") == "master";
            while !is_master() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(20));
            }
            cluster.servers[master].thaw();
            cluster.wait_until_agreed();
            if is_master() {
                return;
            }
        }
        panic!("it is never replaced");
    });
}
