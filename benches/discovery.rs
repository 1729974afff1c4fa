//! Service discovery measured: 5,000 watchers on one Respite, and the rates of the common commands.
//!
//! `cargo bench --bench discovery` starts a redis-server and a Respite of its own and prints what it finds.
//! It asserts nothing about time.
#![expect(clippy::print_stdout, reason = "the report")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{Client, RedisServer, Respite, encode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const WATCHERS: usize = 5000;
const ROUNDS: usize = 5;
/// The connections with which rates are measured, and for how long.
const CONNECTIONS: usize = 64;
const RATE_FOR: Duration = Duration::from_secs(2);

fn main() {
    // `cargo test` runs bench targets too, with this flag.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, most.min(65_536), most).expect("raise the limit");
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(watchers(&redis, &respite));
    rates(&respite);
}

/// Resident memory of a process in bytes.
fn memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1));
    kib.and_then(|kib| kib.parse::<u64>().ok()).expect("VmRSS") * 1024
}

fn calls(redis: &RedisServer, command: &str) -> u64 {
    let stats = redis.call(&["INFO", "commandstats"]);
    let prefix = format!("cmdstat_{command}:calls=");
    let line = stats
        .as_str()
        .lines()
        .find_map(|line| line.strip_prefix(&prefix));
    let count = line.and_then(|line| line.split(',').next());
    count.map_or(0, |count| count.parse().expect("a number"))
}

async fn watchers(redis: &RedisServer, respite: &Respite) {
    let mut client = respite.connect();
    for n in 0..10 {
        client.call(&["DISCOVERY.JOIN", "web", &format!("n{n}"), "TTL", "600"]);
    }
    let before = memory(respite.pid());
    let mut sockets = Vec::new();
    for _ in 0..WATCHERS {
        let mut socket = TcpStream::connect(("127.0.0.1", respite.port()))
            .await
            .expect("connect");
        socket.set_nodelay(true).expect("nodelay");
        exchange(&mut socket, &encode(&["PING"])).await;
        sockets.push(socket);
    }
    let connected = memory(respite.pid());
    println!("{WATCHERS} watchers of one service with 10 nodes, {ROUNDS} rounds");
    println!(
        "connected: {} bytes each",
        (connected - before) / WATCHERS as u64
    );
    for round in 0..ROUNDS {
        let nodes = client.call(&["DISCOVERY.NODES", "web"]);
        let index = nodes.field("index").as_str().to_owned();
        let watch = encode(&["DISCOVERY.WATCH", "web", "INDEX", &index]);
        for socket in &mut sockets {
            socket.write_all(&watch).await.expect("send");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let waiting = memory(respite.pid());
        let (reads, scripts) = (calls(redis, "xread"), calls(redis, "evalsha"));
        let mut replies = JoinSet::new();
        let joined = Instant::now();
        for mut socket in sockets.drain(..) {
            replies.spawn(async move {
                let mut buffer = vec![0; 8192];
                let read = socket.read(&mut buffer).await.expect("a reply");
                let at = Instant::now();
                assert!(
                    buffer.starts_with(b"*6\r\n") && read > 100,
                    "a reply of a watch"
                );
                (socket, at)
            });
        }
        let name = format!("new{round}");
        client.send(&["DISCOVERY.JOIN", "web", &name, "TTL", "600"]);
        let sent = Instant::now();
        let mut first = Duration::MAX;
        let mut last = Duration::ZERO;
        while let Some(reply) = replies.join_next().await {
            let (socket, at) = reply.expect("no panic");
            first = first.min(at.duration_since(sent));
            last = last.max(at.duration_since(sent));
            sockets.push(socket);
        }
        client.read_reply();
        let more = waiting.saturating_sub(connected) / WATCHERS as u64;
        println!(
            "round {}: JOIN to first reply {:.1} ms, to last {:.1} ms; waiting takes {more} bytes \
             each; at the backing {} stream reads, {} scripts in {:.1} s",
            round + 1,
            first.as_secs_f64() * 1e3,
            last.as_secs_f64() * 1e3,
            calls(redis, "xread") - reads,
            calls(redis, "evalsha") - scripts,
            joined.elapsed().as_secs_f64(),
        );
    }
}

async fn exchange(socket: &mut TcpStream, request: &[u8]) {
    socket.write_all(request).await.expect("send");
    let mut buffer = *b"+PONG\r\n";
    socket.read_exact(&mut buffer).await.expect("a reply");
}

/// Commands per second, each connection sending one after the other.
fn rates(respite: &Respite) {
    let mut client = respite.connect();
    let joined = client.call(&["DISCOVERY.JOIN", "api", "n", "TTL", "600"]);
    let lease = joined.field("lease").as_str().to_owned();
    for n in 0..9 {
        client.call(&["DISCOVERY.JOIN", "api", &format!("n{n}"), "TTL", "600"]);
    }
    let commands: [(&str, Vec<&str>); 4] = [
        (
            "JOIN",
            vec!["DISCOVERY.JOIN", "api", "n", "TTL", "600", "TAGS", "1", "a"],
        ),
        (
            "HEARTBEAT",
            vec!["DISCOVERY.HEARTBEAT", "api", "n", "LEASE", &lease],
        ),
        ("NODES of 10", vec!["DISCOVERY.NODES", "api"]),
        ("RESOLVE", vec!["DISCOVERY.RESOLVE", "api"]),
    ];
    // JOIN comes last: it voids the lease.
    for (name, command) in commands.iter().rev() {
        let one = rate(respite, 1, command);
        let many = rate(respite, CONNECTIONS, command);
        println!("{name}: {one:.0} a second over one connection, {many:.0} over {CONNECTIONS}");
    }
}

fn rate(respite: &Respite, connections: usize, command: &[&str]) -> f64 {
    let request = encode(command);
    let began = Instant::now();
    let done: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|_| {
                scope.spawn(|| {
                    let mut client: Client = respite.connect();
                    let mut done = 0;
                    while began.elapsed() < RATE_FOR {
                        client.send_raw(&request);
                        let reply = client.read_reply_raw();
                        assert_ne!(reply[0], b'-', "{}", String::from_utf8_lossy(&reply));
                        done += 1;
                    }
                    done
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|t| t.join().expect("no panic"))
            .sum()
    });
    done as f64 / began.elapsed().as_secs_f64()
}
