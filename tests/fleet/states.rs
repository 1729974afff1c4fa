//! Servers of every kind, and what their shards are said to be.

use std::fs;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::{add, field, listed, start, wait_state};
use crate::support::{
    Certificates, Client, DEADLINE, FakeServer, RedisServer, ReservedPort, Respite, Says,
    wait_until,
};

/// So that a failure is soon one.
const HASTY: &str = "[fleet]\ntimeout = \"300ms\"\ngrace = 2\n\
                     [credentials.right]\npassword = \"right\"\nfor = [\"127.0.0.1:*\"]\n\
                     [credentials.wrong]\npassword = \"wrong\"\nfor = [\"127.0.0.1:*\"]\n\
                     [credentials.reader]\nuser = \"reader\"\npassword = \"right\"\nfor = [\"127.0.0.1:*\"]";

#[track_caller]
fn hasty(redis: &RedisServer) -> (Respite, Client) {
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(HASTY)
        .allow_log("not usable")
        .start();
    let mut client = respite.connect();
    wait_state(&mut client, &redis.addr(), "live");
    (respite, client)
}

/// Why a shard failed, as `NOTREADY` tells it.
fn reason(client: &mut Client, id: &str) -> String {
    client.call(&["SHARD.INFO", id]).error().to_owned()
}

#[test]
fn servers_that_answer_wrongly_harm_nobody() {
    let redis = RedisServer::start();
    let (respite, mut client) = hasty(&redis);
    let before = resident(&respite);
    let bytes = |bytes: &[u8]| Says::Bytes(bytes.to_vec());
    let servers = [
        ("hung", Says::Nothing, "down", "no answer within 300ms"),
        (
            "noise",
            bytes(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
            "down",
            "not the Redis protocol",
        ),
        (
            "pong",
            bytes(b"+PONG\r\n"),
            "down",
            "INFO was answered with something else",
        ),
        (
            "prose",
            bytes(b"$5\r\nhello\r\n"),
            "down",
            "INFO was answered with something else",
        ),
        (
            "two",
            bytes(b"$3\r\na:1\r\n$3\r\nb:2\r\n"),
            "down",
            "there is more behind the reply",
        ),
        (
            "huge",
            Says::Huge(50 << 20),
            "down",
            "the reply is longer than 1048576 bytes",
        ),
        ("endless", Says::Endless(50 << 20), "down", ""),
        (
            "loading",
            bytes(b"-LOADING Redis is loading\r\n"),
            "loading",
            "LOADING ",
        ),
        (
            "noauth",
            bytes(b"-NOAUTH Authentication required.\r\n"),
            "authfail",
            "NOAUTH ",
        ),
        (
            "noperm",
            bytes(b"-NOPERM no permissions\r\n"),
            "authfail",
            "NOPERM ",
        ),
        (
            "error",
            bytes(b"-ERR unknown command\r\n"),
            "down",
            "ERR unknown command",
        ),
        (
            "empty",
            bytes(b"$0\r\n\r\n"),
            "down",
            "INFO was answered with something else",
        ),
    ];
    let fakes: Vec<FakeServer> = servers
        .iter()
        .map(|(id, says, ..)| {
            let fake = FakeServer::start(says.clone());
            add(&mut client, id, &fake.addr());
            fake
        })
        .collect();
    for (id, _, state, text) in &servers {
        wait_state(&mut client, id, state);
        let reason = reason(&mut client, id);
        assert!(
            reason.starts_with(&format!("NOTREADY shard '{id}' has not answered yet: ")),
            "{reason}"
        );
        assert!(reason.contains(text), "{reason}");
    }
    let grown = resident(&respite).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes were kept");
    // They recover.
    for fake in &fakes {
        fake.say(FakeServer::info("loading:0\r\n"));
    }
    for (id, ..) in &servers {
        client.call(&["SHARD.REFRESH", id]).assert_ok();
        wait_state(&mut client, id, "live");
    }
    fakes[0].say(FakeServer::info("loading:1\r\n"));
    wait_state(&mut client, "hung", "loading");
    assert_eq!(client.call(&["INFO", "hung", "nosuch"]).as_str(), "");
}

/// Bytes of memory that a Respite holds.
fn resident(respite: &Respite) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", respite.pid())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.expect("VmRSS").trim().trim_end_matches(" kB");
    kib.parse::<u64>().expect("a number") * 1024
}

#[test]
fn logins_come_by_name() {
    let redis = RedisServer::start();
    let (respite, mut client) = hasty(&redis);
    let secured = RedisServer::builder()
        .args(["--requirepass", "right"])
        .start();
    let mut admin = secured.connect();
    admin.call(&["AUTH", "right"]).assert_ok();
    admin
        .call(&["ACL", "SETUSER", "reader", "on", ">right", "+info"])
        .assert_ok();
    admin
        .call(&["ACL", "SETUSER", "other", "on", ">right", "-@all", "+ping"])
        .assert_ok();
    let addr = secured.addr();
    for (id, login, state) in [
        ("none", "", "authfail"),
        ("wrong", "CREDENTIAL wrong", "authfail"),
        ("right", "CREDENTIAL right", "live"),
        ("reader", "CREDENTIAL reader", "live"),
        ("named", "CREDENTIAL wrong USER reader", "authfail"),
        ("user", "USER reader CREDENTIAL right", "live"),
        ("other", "USER other CREDENTIAL right", "authfail"),
    ] {
        let id = format!("s-{id}");
        let mut command = vec!["SHARD.ADD", &id, &addr];
        command.extend(login.split_whitespace());
        client.call(&command).assert_ok();
        wait_state(&mut client, &id, state);
    }
    // A new password takes a reload.
    admin
        .call(&["CONFIG", "SET", "requirepass", "new"])
        .assert_ok();
    respite.reload(&HASTY.replace("\"wrong\"", "\"new\""));
    wait_state(&mut client, "s-wrong", "live");
    let shown = format!("{:?}", client.call(&["SHARD.LIST"]));
    let stored = format!("{:?}", redis.call(&["HGETALL", "respite:f:shards"]));
    let log = respite.log().join("\n");
    for text in [shown, stored, log] {
        assert!(
            !text.contains("\"right\"") && !text.contains(":right@"),
            "{text}"
        );
    }
}

#[test]
fn a_frozen_server_grows_stale_and_comes_back() {
    let redis = RedisServer::start();
    let (mut respite, mut client) = hasty(&redis);
    let server = RedisServer::start();
    add(&mut client, "cold", &server.addr());
    wait_state(&mut client, "cold", "live");
    let run_id = server.info("server", "run_id");
    server.freeze();
    wait_state(&mut client, "cold", "down");
    let line = respite.expect_log("not usable: no answer within 300ms");
    assert!(
        line.contains("shard=\"cold\"") && line.contains("failures=2"),
        "{line}"
    );
    let info = client.call(&["INFO", "cold"]);
    assert_eq!(
        field(info.as_str(), "run_id"),
        run_id,
        "the last INFO stays"
    );
    assert_eq!(field(info.as_str(), "shard_state"), "down");
    server.thaw();
    wait_state(&mut client, "cold", "live");
    respite.expect_log("answers again after");
}

#[test]
fn another_process_at_the_same_address() {
    let redis = RedisServer::start();
    let (_respite, mut client) = hasty(&redis);
    let mut server = RedisServer::start();
    add(&mut client, "s", &server.addr());
    wait_state(&mut client, "s", "live");
    server.restart();
    let run_id = server.info("server", "run_id");
    wait_until("the new process is polled", DEADLINE, || {
        let info = client.call(&["INFO", "s", "server"]);
        field(info.as_str(), "run_id") == run_id
    });
    server.kill();
    wait_state(&mut client, "s", "down");
    server.restart();
    wait_state(&mut client, "s", "live");
}

#[test]
fn replicas_and_sentinels_are_shards() {
    let redis = RedisServer::start();
    let (_respite, mut client) = hasty(&redis);
    let port = redis.port().to_string();
    let replica = RedisServer::builder()
        .args(["--replicaof", "127.0.0.1", &port])
        .start();
    let sentinel = Sentinel::watching(&redis);
    add(&mut client, "replica", &replica.addr());
    add(
        &mut client,
        "guard",
        &format!("127.0.0.1:{}", sentinel.port.get()),
    );
    wait_state(&mut client, "replica", "live");
    wait_state(&mut client, "guard", "live");
    let role = |client: &mut Client, id: &str| {
        listed(client, id)
            .expect("there")
            .field("role")
            .as_str()
            .to_owned()
    };
    assert_eq!(role(&mut client, "replica"), "replica");
    assert_eq!(role(&mut client, "guard"), "sentinel");
    let info = client.call(&["INFO", "guard"]);
    assert_eq!(field(info.as_str(), "sentinel_masters"), "1");
    assert_eq!(super::headers(info.as_str()).last(), Some(&"Respite"));
}

/// A Sentinel process; dropping it kills it.
struct Sentinel {
    child: Child,
    port: ReservedPort,
    _dir: TempDir,
}

impl Sentinel {
    fn watching(redis: &RedisServer) -> Self {
        let dir = tempfile::tempdir().expect("temp dir");
        let port = ReservedPort::any();
        let config = dir.path().join("sentinel.conf");
        let text = format!(
            "port {}\nbind 127.0.0.1\ndir {}\nsentinel monitor main 127.0.0.1 {} 1\n",
            port.get(),
            dir.path().display(),
            redis.port()
        );
        fs::write(&config, text).expect("write the configuration");
        let program = std::env::var("RESPITE_TEST_REDIS");
        let child = Command::new(program.as_deref().unwrap_or("redis-server"))
            .arg(&config)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("start a Sentinel");
        Self {
            child,
            port,
            _dir: dir,
        }
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_with_tls() {
    if RedisServer::lacks_tls() {
        return;
    }
    let certificates = Certificates::make();
    let file = |name: &str| certificates.path(name).display().to_string();
    let port = ReservedPort::any();
    let tls = RedisServer::builder()
        .args([
            "--tls-port",
            &port.get().to_string(),
            "--tls-auth-clients",
            "no",
        ])
        .args([
            "--tls-cert-file",
            &file("server.pem"),
            "--tls-key-file",
            &file("server.key"),
        ])
        .args(["--tls-ca-cert-file", &file("ca.pem")])
        .start();
    let redis = RedisServer::start();
    let config = format!("{HASTY}\n[tls]\nupstream_ca = {:?}", file("ca.pem"));
    let (mut respite, mut client) = start(&redis, &config);
    respite.allow_log("not usable");
    add(
        &mut client,
        "tls",
        &format!("rediss://localhost:{}", port.get()),
    );
    wait_state(&mut client, "tls", "live");
    let info = client.call(&["INFO", "tls", "server"]);
    assert_eq!(field(info.as_str(), "run_id"), tls.info("server", "run_id"));
    // The certificate is for another name.
    add(
        &mut client,
        "stranger",
        &format!("rediss://127.0.0.1:{}", port.get()),
    );
    wait_state(&mut client, "stranger", "down");
    assert!(reason(&mut client, "stranger").contains("cannot connect: "));
}
