//! Large bodies both ways: they stream, in bounded memory.

use std::io::Write;
use std::time::Duration;

use super::{Backend, Rig, service};
use crate::support::{DEADLINE, HttpClient, Respite, wait_until};

const MIB: usize = 1 << 20;
const LARGE: usize = 160;
/// Debug builds move that much slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn highest(respite: &Respite) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", respite.pid())).expect("/proc");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("VmHWM");
    let kib: usize = line
        .trim_matches(|c: char| !c.is_ascii_digit())
        .parse()
        .expect("a number");
    kib * 1024
}

fn download(rig: &Rig) {
    let mut client = HttpClient::connect(rig.port());
    client.set_timeout(PATIENCE);
    client
        .send("GET", &format!("/large/{LARGE}"), &[], b"")
        .expect("sent");
    assert_eq!(client.read_head().expect("a head").0, 200);
    let mut bytes = 0;
    while let Some(chunk) = client.read_chunk().expect("a chunk") {
        assert!(chunk.iter().all(|byte| *byte == b'x'));
        bytes += chunk.len();
    }
    assert_eq!(bytes, LARGE * MIB);
}

fn upload(rig: &Rig, chunked: bool) {
    let mut client = HttpClient::connect(rig.port());
    client.set_timeout(PATIENCE);
    let length = (LARGE * MIB).to_string();
    let header = if chunked {
        ("Transfer-Encoding", "chunked")
    } else {
        ("Content-Length", length.as_str())
    };
    client.send("PUT", "/count", &[header], b"").expect("sent");
    let piece = vec![b'y'; MIB];
    for _ in 0..LARGE {
        if chunked {
            client
                .stream()
                .write_all(format!("{MIB:x}\r\n").as_bytes())
                .expect("sent");
        }
        client.stream().write_all(&piece).expect("sent");
        if chunked {
            client.stream().write_all(b"\r\n").expect("sent");
        }
    }
    if chunked {
        client.stream().write_all(b"0\r\n\r\n").expect("sent");
    }
    let response = client.read("PUT").expect("a response");
    assert_eq!((response.status, response.text()), (200, length.as_str()));
}

#[test]
fn large_bodies_pass_both_ways_in_bounded_memory() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    std::thread::scope(|scope| {
        scope.spawn(|| download(&rig));
        scope.spawn(|| upload(&rig, false));
        scope.spawn(|| upload(&rig, true));
    });
    let memory = highest(&rig.respite);
    assert!(memory < 100 * MIB, "{memory} bytes");
}

#[test]
fn a_client_that_does_not_read_holds_little() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let mut slow: Vec<HttpClient> = (0..20).map(|_| HttpClient::connect(rig.port())).collect();
    for client in &mut slow {
        client.send("GET", "/large/50", &[], b"").expect("sent");
    }
    wait_until("they are in flight", DEADLINE, || {
        rig.instances("app")[0].field("in_flight").int() == 20
    });
    for client in &mut slow {
        assert_eq!(client.read_head().expect("a head").0, 200);
    }
    download(&rig);
    let memory = highest(&rig.respite);
    assert!(memory < 100 * MIB, "{memory} bytes");
    drop(slow);
    wait_until("they are gone", DEADLINE, || {
        rig.instances("app")[0].field("in_flight").int() == 0
    });
}

#[test]
fn a_body_passes_as_it_comes() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let mut client = HttpClient::connect(rig.port());
    client.send("GET", "/endless", &[], b"").expect("sent");
    assert_eq!(client.read_head().expect("a head").0, 200);
    let chunk = client.read_chunk().expect("a chunk");
    assert_eq!(chunk.as_deref(), Some(b"first".as_slice()));
}
