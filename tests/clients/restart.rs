//! A backing that goes away and comes back, as the workers of job queues and client libraries see it: with
//! `upstream_on_loss` as it is by default they live on, as they do when a Redis restarts.
//!
//! The scripts in `restart/` run side by side through the same two outages. Each prints `ready`, reads a line when the
//! backing is back, and looks whether everything goes on.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdout, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::NamedTempFile;

use super::{CLUSTER, script};
use crate::support::{DEADLINE, RedisCluster, RedisServer, Respite, slot_of, wait_until};

const SCRIPTS: [&str; 6] = [
    "restart/redis_py",
    "restart/rq_worker",
    "restart/celery_worker",
    "restart/ioredis",
    "restart/node_redis",
    "restart/bullmq_worker",
];

/// A restart, and an outage that outlasts `timeouts.connect`.
const AWAY: [Duration; 2] = [Duration::from_millis(300), Duration::from_secs(6)];

struct Script {
    name: &'static str,
    child: Child,
    output: BufReader<ChildStdout>,
    /// What libraries and workers say of the outages, for whoever looks at a failure.
    said: NamedTempFile,
}

impl Script {
    fn start(name: &'static str, respite: &Respite, env: &[(&str, &str)]) -> Self {
        let said = NamedTempFile::new().expect("temp file");
        let mut child = script(name, respite)
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(said.reopen().expect("reopen"))
            .spawn()
            .expect("run.sh starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Self {
            name,
            child,
            output,
            said,
        }
    }

    #[track_caller]
    fn ready(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        assert_eq!(line.trim_end(), "ready", "{}:\n{}", self.name, self.said());
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.said.path()).unwrap_or_default()
    }

    #[track_caller]
    fn backing_is_back(&mut self) {
        let mut input = self.child.stdin.as_ref().expect("piped");
        let told = input.write_all(b"back\n");
        told.unwrap_or_else(|error| panic!("{}: {error}\n{}", self.name, self.said()));
    }

    #[track_caller]
    fn ends_well(mut self) {
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).expect("text");
        let status = self.child.wait().expect("wait for the script");
        assert!(
            status.success(),
            "{}: {status}\n{rest}\n{}",
            self.name,
            self.said()
        );
        assert!(
            rest.contains(" checks"),
            "{} printed no count of checks:\n{rest}",
            self.name
        );
        eprintln!("{}", rest.trim_end());
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        // It ends its workers first.
        let pid = i32::try_from(self.child.id()).expect("a pid fits");
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM); // it may have ended by itself
        let _ = self.child.wait();
    }
}

#[test]
fn libraries_and_workers_outlive_outages_of_the_backing() {
    // What was acknowledged outlives the server.
    let mut redis = RedisServer::builder().args(["--appendonly", "yes"]).start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .env("RESPITE_UPSTREAM_ON_LOSS", "close")
        .allow_log("link lost")
        .allow_log("backing not usable")
        .allow_log("slots are not served")
        .start();
    outlive(&respite, &[], |outage| {
        redis.kill();
        // The outage itself: nothing waits for it.
        std::thread::sleep(AWAY[outage]);
        redis.restart();
        wait_until("the backing has loaded its data", DEADLINE, || {
            !redis.call(&["GET", "k"]).is_error()
        });
    });
}

#[test]
fn libraries_and_workers_outlive_failovers_of_a_cluster() {
    let mut cluster = RedisCluster::start(3, 1);
    let respite = Respite::builder()
        .upstream(&cluster.url())
        .env("RESPITE_UPSTREAM_ON_LOSS", "close")
        .allow_log("link lost")
        .allow_log("backing not usable")
        .allow_log("slots are not served")
        .start();
    outlive(&respite, &CLUSTER, |outage| match outage {
        0 => (3..6).for_each(|replica| cluster.fail_over_to(replica)),
        _ => {
            cluster.wait_until_agreed();
            // All of RQ's keys are in one slot.
            let slot = slot_of(&mut cluster.servers[0].connect(), CLUSTER[1].1);
            let master = cluster.owner(slot);
            let replica = cluster.replica_of(master);
            // What was acknowledged outlives the server: nothing is written between here and its end.
            cluster.servers[master]
                .call(&["CLIENT", "PAUSE", "60000", "WRITE"])
                .assert_ok();
            cluster.wait_for_replica(master);
            cluster.servers[master].kill();
            cluster.wait_for_master(replica);
        }
    });
}

/// The scripts live through two outages side by side.
#[track_caller]
fn outlive(respite: &Respite, env: &[(&str, &str)], mut outage: impl FnMut(usize)) {
    let mut scripts: Vec<Script> = SCRIPTS
        .iter()
        .map(|name| Script::start(name, respite, env))
        .collect();
    for n in 0..AWAY.len() {
        scripts.iter_mut().for_each(Script::ready);
        outage(n);
        scripts.iter_mut().for_each(Script::backing_is_back);
    }
    scripts.into_iter().for_each(Script::ends_well);
}
