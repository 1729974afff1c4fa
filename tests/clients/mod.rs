//! Real clients at ordinary life: the scripts beside this file, each against a Respite over a fresh Redis.
//!
//! `run.sh` installs the client libraries, pinned, under `target/`; the scripts count their checks.

mod restart;

use std::process::Command;

use crate::support::{RedisCluster, RedisServer, Respite};

/// What the scripts are told of a cluster behind; RQ reads the second.
const CLUSTER: [(&str, &str); 2] = [("RESPITE_CLUSTER", "1"), ("RQ_KEY_PREFIX", "{rq}")];

#[test]
fn redis_py() {
    run("redis_py");
}

#[test]
fn bus() {
    run("bus");
}

#[test]
fn bus_node() {
    run("bus_node");
}

#[test]
fn discovery_py() {
    run("discovery_py");
}

#[test]
fn node_redis() {
    run("node_redis");
}

#[test]
fn ioredis() {
    run("ioredis");
}

#[test]
fn redis_cluster_py() {
    run_announced("redis_cluster_py");
}

#[test]
fn ioredis_cluster() {
    run_announced("ioredis_cluster");
}

/// A client that insists on a cluster, against a Respite that is announced as one: over one Redis, and over a cluster.
#[track_caller]
fn run_announced(name: &str) {
    let redis = RedisServer::start();
    let cluster = RedisCluster::start(3, 0);
    for upstream in [redis.url(), cluster.url()] {
        let respite = Respite::builder()
            .only_file(&format!(
                "listen = \"127.0.0.1:$PORT\"\nhttp.listen = \"\"\nupstream = \"{upstream}\"\n\
                 [cluster]\nannounce = \"127.0.0.1:$PORT\"\n"
            ))
            .start();
        assert_passes(name, &respite);
    }
}

/// They know nothing of clusters, and one is behind.
#[test]
fn a_cluster_behind() {
    let cluster = RedisCluster::start(3, 0);
    let respite = Respite::builder().upstream(&cluster.url()).start();
    for name in ["redis_py", "node_redis", "ioredis"] {
        assert_succeeds(name, script(name, &respite).envs(CLUSTER));
    }
}

#[track_caller]
fn run(name: &str) {
    let redis = RedisServer::start();
    assert_passes(name, &Respite::in_front_of(&redis));
}

#[track_caller]
fn assert_passes(name: &str, respite: &Respite) {
    assert_succeeds(name, &mut script(name, respite));
}

#[track_caller]
fn assert_succeeds(name: &str, script: &mut Command) {
    let output = script.output().expect("run.sh starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(
        output.status.success(),
        "{name}: {}\n{stdout}\n{stderr}",
        output.status
    );
    assert!(
        stdout.contains(" checks"),
        "{name} printed no count of checks:\n{stdout}"
    );
    eprintln!("{}", stdout.trim_end());
}

/// `run.sh name` against this Respite.
fn script(name: &str, respite: &Respite) -> Command {
    let mut command = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/run.sh"));
    command
        .arg(name)
        .env("RESPITE_BIN", env!("CARGO_BIN_EXE_respite"))
        .env("RESPITE_HOST", "127.0.0.1")
        .env("RESPITE_PORT", respite.port().to_string())
        .env(
            "RESPITE_CLIENTS_CACHE",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/clients"),
        );
    command
}
