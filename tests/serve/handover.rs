//! An upgrade: a successor takes over the listening sockets, and no client loses a request.

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::gateway::{Backend, service};
use crate::support::{
    Client, DEADLINE, HttpClient, RedisServer, ReservedPort, Respite, wait_until,
};

/// The process that serves who connects now.
fn serving(port: u16) -> Option<i32> {
    let mut client = Client::try_connect(port).ok()?;
    let info = client.call(&["INFO", "respite"]);
    let mut lines = info.as_str().lines();
    let id = lines.find_map(|line| line.strip_prefix("process_id:"))?;
    id.parse().ok()
}

/// Ends a successor, which is no child of the test's.
struct Successor(i32);

impl Drop for Successor {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill(Pid::from_raw(self.0), Signal::SIGTERM);
    }
}

/// Clients of all habits, each of which knows what every reply has to be.
struct Load {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        Self {
            stop: Arc::default(),
            done: Arc::default(),
            threads: Vec::new(),
        }
    }

    fn add(&mut self, mut request: impl FnMut() + Send + 'static) {
        let (stop, done) = (Arc::clone(&self.stop), Arc::clone(&self.done));
        self.threads.push(thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                request();
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }

    /// Waits for so many requests more.
    #[track_caller]
    fn wait_for(&self, more: u64) {
        let end = self.done.load(Ordering::Relaxed) + more;
        wait_until("the load goes on", DEADLINE, || {
            assert!(
                !self.threads.iter().any(JoinHandle::is_finished),
                "a client failed"
            );
            self.done.load(Ordering::Relaxed) >= end
        });
    }

    #[track_caller]
    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("no request was lost");
        }
    }
}

/// Whether the other side has closed, as a pool of connections looks before it uses one.
fn is_closed(stream: &TcpStream) -> bool {
    let mut byte = [0];
    stream.set_nonblocking(true).expect("a socket");
    let peeked = stream.peek(&mut byte);
    stream.set_nonblocking(false).expect("a socket");
    matches!(peeked, Ok(0))
}

fn count(client: &mut Client, key: &str, to: &mut i64) {
    *to += 1;
    assert_eq!(client.call(&["INCR", key]).int(), *to, "{key}");
    assert_eq!(client.call(&["GET", key]).as_str(), to.to_string());
}

#[test]
fn a_successor_takes_over_and_no_request_is_lost() {
    let redis = RedisServer::start();
    let backend = Backend::start();
    let folder = tempfile::TempDir::new().expect("a folder");
    let services = folder.path().join("services.yaml");
    std::fs::write(&services, service(&[&backend])).expect("written");
    let gateway = ReservedPort::any();
    let config = format!(
        "[gateway]\nlisten = \"127.0.0.1:{}\"\nservices = '{}'\n",
        gateway.get(),
        services.display()
    );
    let respite = Respite::builder()
        .upstream(&redis.url())
        .http()
        .config(&config)
        .start();
    let (port, http, gateway_port) = (respite.port(), respite.http_port(), gateway.get());
    let old = i32::try_from(respite.pid()).expect("a process id");
    assert_eq!(serving(port), Some(old));
    let requested = move || {
        HttpClient::connect(gateway_port)
            .call("GET", "/", &[("Host", "h")], b"")
            .is_ok_and(|response| response.status == 202)
    };
    wait_until("requests are forwarded", DEADLINE, requested);

    let mut load = Load::start();
    for at in 0..3 {
        // Connects for some requests each time.
        let (key, mut to) = (format!("short-{at}"), 0);
        load.add(move || {
            let mut client = Client::connect(port);
            for _ in 0..10 {
                count(&mut client, &key, &mut to);
            }
        });
        // Never pauses.
        let (key, mut to) = (format!("busy-{at}"), 0);
        let mut client = Client::connect(port);
        load.add(move || count(&mut client, &key, &mut to));
    }
    // Keeps its connection, pauses, and looks before it uses it again.
    let (mut to, mut kept) = (0, raw(port));
    load.add(move || {
        if is_closed(&kept) {
            kept = raw(port);
        }
        to += 1;
        assert_eq!(ask(&mut kept, "INCR paused\r\n"), format!(":{to}\r\n"));
        thread::sleep(Duration::from_millis(1500));
    });
    // In the middle of a transaction.
    let mut transaction = respite.connect();
    transaction.call(&["MULTI"]).assert_ok();
    transaction.call(&["SET", "t", "1"]).assert_str("QUEUED");
    let mut blocked = respite.connect();
    blocked.send(&["BLPOP", "list", "0"]);
    load.add(move || {
        let response =
            HttpClient::connect(http).call("GET", "/health", &[("Host", "localhost")], b"");
        assert_eq!(response.expect("a response").status, 200);
    });
    load.add(move || assert!(requested()));
    load.wait_for(300);

    respite.signal(Signal::SIGUSR2);
    let mut successor = None;
    wait_until("the successor serves", DEADLINE, || {
        successor = serving(port).filter(|id| *id != old).map(Successor);
        successor.is_some()
    });
    load.wait_for(1000);
    // Nobody takes turns: it is the successor for all from now on.
    for _ in 0..20 {
        assert_ne!(serving(port), Some(old));
    }
    transaction.call(&["GET", "t"]).assert_str("QUEUED");
    assert_eq!(transaction.call(&["EXEC"]).items().len(), 2);
    redis.call(&["RPUSH", "list", "x"]);
    assert_eq!(blocked.read_reply().items()[1].as_str(), "x");
    // Long enough for whoever pauses to be moved.
    let moved = Instant::now() + Duration::from_secs(4);
    while Instant::now() < moved {
        load.wait_for(100);
    }
    load.end();
    // Who was there at the end has gone, or is silent: the old process ends by itself.
    drop((transaction, blocked));
    let stopped = respite.ended();
    assert!(stopped.status.success(), "{stopped:?}");
    drop(successor);
    wait_until("the successor ends", DEADLINE, || {
        Client::try_connect(port).is_err()
    });
}

fn raw(port: u16) -> TcpStream {
    TcpStream::connect(("127.0.0.1", port)).expect("connected")
}

fn ask(stream: &mut TcpStream, line: &str) -> String {
    use std::io::Write;
    stream.write_all(line.as_bytes()).expect("sent");
    let mut reply = [0; 64];
    let n = stream.read(&mut reply).expect("a reply");
    String::from_utf8_lossy(&reply[..n]).into_owned()
}

#[test]
fn without_a_successor_it_goes_on() {
    let redis = RedisServer::start();
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .config("log_level = \"info\"\n")
        .start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    let old = serving(respite.port());
    respite.rewrite_config("log_level = \"nonsense\"\n");
    respite.signal(Signal::SIGUSR2);
    respite.expect_log("no successor, this process goes on");
    client.call(&["GET", "a"]).assert_str("1");
    assert_eq!(serving(respite.port()), old);
    respite.stop();
}

#[test]
fn an_embedded_server_is_not_handed_over() {
    let mut respite = Respite::builder().start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    respite.signal(Signal::SIGUSR2);
    respite.expect_log("the embedded Redis belongs to this process");
    client.call(&["GET", "a"]).assert_str("1");
    respite.stop();
}
