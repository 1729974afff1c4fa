//! A server that takes a request and closes the connection without an answer.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use super::Rig;
use crate::support::{HttpClient, get};

struct Rude {
    port: u16,
    /// Requests that are still to be left unanswered.
    rude: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Rude {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
        let port = listener.local_addr().expect("an address").port();
        let (rude, seen, stop) = (Arc::default(), Arc::default(), Arc::default());
        let mut server = Self {
            port,
            rude,
            seen,
            stop,
            thread: None,
        };
        let (rude, seen) = (Arc::clone(&server.rude), Arc::clone(&server.seen));
        let stop = Arc::clone(&server.stop);
        server.thread = Some(std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (rude, seen) = (Arc::clone(&rude), Arc::clone(&seen));
                std::thread::spawn(move || answer(stream, &rude, &seen));
            }
        }));
        server
    }

    fn be_rude(&self, times: usize) {
        self.rude.store(times, Ordering::SeqCst);
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

impl Drop for Rude {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn answer(stream: TcpStream, rude: &AtomicUsize, seen: &AtomicUsize) {
    let mut reader = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut first = String::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if first.is_empty() {
                first.clone_from(&line);
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        if !first.contains("/health") {
            seen.fetch_add(1, Ordering::SeqCst);
            let less = |left: usize| left.checked_sub(1);
            if rude
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less)
                .is_ok()
            {
                return;
            }
        }
        let sent = reader
            .get_mut()
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        if sent.is_err() {
            return;
        }
    }
}

fn rig(rude: &Rude, keys: &str) -> Rig {
    let services = format!(
        "app:\n  servers: ['127.0.0.1:{}']\n  polling: {{method: ping, frequency: 1h}}\n  apis: [/]\n",
        rude.port
    );
    let rig = Rig::with(&services, keys, |builder| builder);
    rig.wait_healthy(1);
    rig
}

fn counts(rig: &Rig) -> (i64, i64) {
    let stats = rig.respite.call(&["GATEWAY.STATS", "app"]);
    let stats = &stats.items()[0];
    (stats.field("retries").int(), stats.field("failed").int())
}

#[test]
fn what_may_be_repeated_is_sent_again() {
    let rude = Rude::start();
    let rig = rig(&rude, "");
    for (method, body) in [("GET", ""), ("PUT", "body"), ("DELETE", ""), ("HEAD", "")] {
        let before = rude.seen();
        rude.be_rude(2);
        let mut client = HttpClient::connect(rig.port());
        let response = client
            .call(method, "/x", &[], body.as_bytes())
            .expect(method);
        assert_eq!(
            (response.status, rude.seen() - before),
            (200, 3),
            "{method}"
        );
    }
    assert_eq!(counts(&rig), (8, 0));
}

#[test]
fn what_may_not_be_repeated_is_sent_once() {
    let rude = Rude::start();
    let rig = rig(&rude, "retry_bytes = 10");
    let large = "x".repeat(11);
    for (method, body) in [
        ("POST", ""),
        ("POST", "body"),
        ("PATCH", "body"),
        ("PUT", &large),
    ] {
        let before = rude.seen();
        rude.be_rude(1);
        let mut client = HttpClient::connect(rig.port());
        let response = client
            .call(method, "/x", &[], body.as_bytes())
            .expect(method);
        assert_eq!(
            (response.status, rude.seen() - before),
            (502, 1),
            "{method} {body}"
        );
        assert!(
            response
                .text()
                .contains("no instance of service app has answered")
        );
    }
    assert_eq!(counts(&rig), (0, 4));
}

#[test]
fn retries_end_with_the_attempts_and_with_the_budget() {
    let rude = Rude::start();
    let rig = rig(&rude, "");
    rude.be_rude(usize::MAX);
    assert_eq!(get(rig.port(), "/x").0, 502);
    assert_eq!(rude.seen(), 4);
    // A hundred in reserve, ten per second and a fifth of the requests: not three for each.
    let requests = 200;
    for _ in 0..requests {
        assert_eq!(get(rig.port(), "/x").0, 502);
    }
    let (retries, failed) = counts(&rig);
    assert_eq!(failed, 1 + requests);
    assert!((100..400).contains(&retries), "{retries}");
}
