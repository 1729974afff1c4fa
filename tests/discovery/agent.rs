//! `respite join`.

use std::io::Read;
use std::process::{Child, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{index, join, nodes, run, send, single};
use crate::support::{Client, DEADLINE, Respite, respite_command, wait_until};

/// A running `respite join`; dropping it kills it.
struct Agent(Child);

impl Agent {
    fn start(port: u16, rest: &str) -> Self {
        let line = format!("join {rest} --server 127.0.0.1:{port}");
        let words: Vec<&str> = line.split(' ').collect();
        let mut command = respite_command(&words);
        let spawned = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        Agent(spawned.expect("respite starts"))
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.0.id()).expect("a pid fits");
        kill(Pid::from_raw(pid), signal).expect("signal the agent");
    }

    /// Waits for its end; returns the exit code and what it wrote.
    #[track_caller]
    fn ended(mut self) -> (Option<i32>, String) {
        let mut status = None;
        wait_until("the agent ends", DEADLINE, || {
            status = self.0.try_wait().expect("wait for the agent");
            status.is_some()
        });
        let mut text = String::new();
        let mut stderr = self.0.stderr.take().expect("piped");
        stderr.read_to_string(&mut text).expect("read its log");
        (status.and_then(|status| status.code()), text)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn wait_for(client: &mut Client, expected: &[&str]) {
    wait_until("the nodes are as expected", DEADLINE, || {
        nodes(client, "web") == expected
    });
}

#[test]
fn it_joins_with_the_facts_of_its_host_and_leaves_when_stopped() {
    let (_redis, respite, mut client) = single();
    let flags = "web n1 --ttl 5 --addr h:80 --tag a --tag b --fact os=mine --fact rack=7";
    let agent = Agent::start(respite.port(), flags);
    wait_for(&mut client, &["n1"]);
    let all = run(&mut client, "DISCOVERY.NODES web");
    let node = &all.field("nodes").items()[0];
    assert_eq!(node.field("addr").as_str(), "h:80");
    assert_eq!(node.field("tags").strings(), ["a", "b"]);
    let facts = node.field("facts");
    assert_eq!(facts.field("os").as_str(), "mine");
    assert_eq!(facts.field("rack").as_str(), "7");
    for fact in ["fqdn", "platform", "arch"] {
        assert!(!facts.field(fact).as_str().is_empty(), "{fact}");
    }
    for fact in ["cpu_count", "memory", "last_boot"] {
        let number: u64 = facts.field(fact).as_str().parse().expect(fact);
        assert!(number > 0, "{fact}");
    }
    // It leaves at once, long before its lease ends.
    agent.signal(Signal::SIGTERM);
    let (code, log) = agent.ended();
    assert_eq!(code, Some(0), "{log}");
    assert!(nodes(&mut client, "web").is_empty(), "{log}");
}

#[test]
fn it_renews_its_lease_and_survives_a_restart_of_its_respite() {
    let (redis, respite, mut client) = single();
    let port = respite.port();
    let _agent = Agent::start(port, "web n1 --ttl 1.5 --group g");
    let lives = |client: &mut Client| nodes(client, "web GROUP g") == ["n1"];
    wait_until("it has joined", DEADLINE, || lives(&mut client));
    let at = index(&mut client, "web GROUP g");
    drop(client);
    respite.kill();
    let respite = Respite::builder().upstream(&redis.url()).port(port).start();
    let mut client = respite.connect();
    // Past its first lease, and the one after: watch it for two.
    let watch = format!("DISCOVERY.WATCH web GROUP g INDEX {at} TIMEOUT 3000");
    run(&mut client, &watch);
    wait_until("it is in", DEADLINE, || lives(&mut client));
}

#[test]
fn it_joins_again_when_the_backing_has_lost_everything() {
    let (mut redis, mut respite, mut client) = single();
    respite.allow_log("backing not usable");
    let agent = Agent::start(respite.port(), "web n1 --ttl 1");
    wait_for(&mut client, &["n1"]);
    redis.kill();
    redis.restart();
    let mut client = respite.connect();
    wait_until("it has joined again", DEADLINE, || {
        let reply = run(&mut client, "DISCOVERY.NODES web");
        !reply.is_error() && reply.field("nodes").items().len() == 1
    });
    agent.signal(Signal::SIGINT);
    let (code, log) = agent.ended();
    assert_eq!(code, Some(0));
    assert!(log.contains("joined again"), "{log}");
}

#[test]
fn it_ends_when_another_takes_its_place() {
    let (_redis, respite, mut client) = single();
    let agent = Agent::start(respite.port(), "web n1 --ttl 1");
    wait_for(&mut client, &["n1"]);
    // Its successor stays.
    join(&mut client, "web n1 TAGS 1 successor");
    let (code, log) = agent.ended();
    assert_eq!(code, Some(1), "{log}");
    assert!(
        log.contains("another process has joined web as n1"),
        "{log}"
    );
    assert_eq!(nodes(&mut client, "web TAG successor"), ["n1"]);
}

#[test]
fn it_waits_for_a_respite_that_is_not_there_yet_but_not_for_one_that_refuses() {
    let (redis, respite, client) = single();
    drop(client);
    let port = respite.port();
    respite.kill();
    let agent = Agent::start(port, "web n1");
    let respite = Respite::builder().upstream(&redis.url()).port(port).start();
    wait_for(&mut respite.connect(), &["n1"]);
    drop(agent);
    let refused = Agent::start(respite.port(), "web bad\u{7f}name");
    let (code, log) = refused.ended();
    assert_eq!(code, Some(1));
    assert!(log.contains("invalid node"), "{log}");
    let mut client = respite.connect();
    send(&mut client, "PING");
    client.read_reply();
}

#[test]
fn it_logs_in_with_a_password_from_a_file() {
    let redis = crate::support::RedisServer::start();
    // The password is "password".
    let users = "[[access.users]]\nname = \"app\"\npassword_sha256 = \
                 \"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\"";
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(users)
        .start();
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "password\n").expect("write the password");
    let mut client = respite.connect();
    run(&mut client, "AUTH app password").assert_ok();
    let login = format!("--user app --password-file {}", file.path().display());
    let _agent = Agent::start(respite.port(), &format!("web n1 {login}"));
    wait_for(&mut client, &["n1"]);
    let refused = Agent::start(respite.port(), "web n2");
    let (code, log) = refused.ended();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("NOAUTH"), "{log}");
}
