//! Workers that are killed at random while many calls run: who executed what is written down by the workers
//! themselves, and compared with what the callers were told.
//!
//! `BUS_FAULT_SECONDS` makes it longer.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::{Fetched, World, wait_for_worker};
use crate::support::{Client, DEADLINE, Random, Reply, Respite, wait_until};

const WORKERS: usize = 4;
const CALLERS: usize = 8;
const WORKER_PORT: &str = "BUS_TEST_WORKER_PORT";
const WORKER_LOG: &str = "BUS_TEST_WORKER_LOG";

/// Not a test: the body of a worker process, which the others start and kill.
#[test]
fn worker_process() {
    let (Ok(port), Ok(log)) = (std::env::var(WORKER_PORT), std::env::var(WORKER_LOG)) else {
        return;
    };
    let mut log = OpenOptions::new().append(true).open(log).expect("the log");
    let mut client = Client::connect(port.parse().expect("a port"));
    let name = format!("w{}", std::process::id());
    loop {
        let reply = client.call(&[
            "BUS.FETCH",
            "b",
            &name,
            "m",
            "COUNT",
            "2",
            "TIMEOUT",
            "1000",
        ]);
        for call in Fetched::all(&reply) {
            let number = call.args()[0].to_owned();
            // One write, so that a kill leaves the whole line or nothing.
            log.write_all(format!("{number}\n").as_bytes())
                .expect("a line");
            std::thread::sleep(Duration::from_micros(500));
            client.call(&["BUS.REPLY", "b", &call.id, &call.token, &number]);
        }
    }
}

struct Worker(Child);

impl Worker {
    fn start(port: u16, log: &Path) -> Self {
        let test = std::env::current_exe().expect("this test");
        let mut command = Command::new(test);
        command
            .args(["bus::faults::worker_process", "--exact", "--nocapture"])
            .env(WORKER_PORT, port.to_string())
            .env(WORKER_LOG, log)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Worker(command.spawn().expect("a worker"))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // SIGKILL.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// For how long workers are killed.
fn fault_time(usual_seconds: f64) -> Duration {
    let seconds = std::env::var("BUS_FAULT_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs_f64(seconds.unwrap_or(usual_seconds))
}

/// What callers were told, by the number of the call.
fn run(world: &World, random: &mut Random, log: &Path) -> HashMap<usize, Reply> {
    let end = Instant::now() + fault_time(3.0);
    let port = |number: usize| world.respites[number % world.respites.len()].port();
    let mut workers: Vec<Worker> = (0..WORKERS).map(|n| Worker::start(port(n), log)).collect();
    wait_for_worker(world, &format!("w{}", workers[0].0.id()));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (next, stop) = (&next, &stop);
                scope.spawn(move || {
                    let mut client = Client::connect(port(caller));
                    let mut told = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        let reply = client.call(&[
                            "BUS.CALL",
                            "b",
                            "m",
                            "TIMEOUT",
                            "9000",
                            "ARGS",
                            &number.to_string(),
                        ]);
                        told.push((number, reply));
                    }
                    told
                })
            })
            .collect();
        let mut kills = 0;
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(random.between(5, 60) as u64));
            let victim = random.below(WORKERS);
            workers[victim] = Worker::start(port(random.below(2)), log);
            kills += 1;
        }
        stop.store(true, Ordering::Relaxed);
        let told: HashMap<usize, Reply> = callers
            .into_iter()
            .flat_map(|caller| caller.join().expect("no panic"))
            .collect();
        eprintln!("{} calls, {kills} workers killed", told.len());
        told
    })
}

/// What callers were told while Respites are killed and stopped, too. A call whose caller lost its connection was told nothing.
fn run_among_respites(world: &mut World, random: &mut Random, log: &Path) -> Vec<(usize, Reply)> {
    let end = Instant::now() + fault_time(5.0);
    let ports = Mutex::new([0, 1].map(|n: usize| world.respites[n].port()));
    let port = |number: usize| ports.lock().expect("no panic")[number % 2];
    let mut workers: Vec<Worker> = (0..WORKERS).map(|n| Worker::start(port(n), log)).collect();
    wait_for_worker(world, &format!("w{}", workers[0].0.id()));
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| {
                let (next, stop, port) = (&next, &stop, &port);
                scope.spawn(move || {
                    let mut told = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(mut client) = Client::try_connect(port(caller)) else {
                            continue;
                        };
                        while !stop.load(Ordering::Relaxed) {
                            let number = next.fetch_add(1, Ordering::Relaxed);
                            let text = number.to_string();
                            client.send(&["BUS.CALL", "b", "m", "TIMEOUT", "9000", "ARGS", &text]);
                            match client.try_read_reply_raw() {
                                Ok(raw) => told.push((number, Reply::parse(&raw))),
                                Err(_) => break,
                            }
                        }
                    }
                    told
                })
            })
            .collect();
        let (mut kills, mut respites) = (0, 0);
        while Instant::now() < end {
            std::thread::sleep(Duration::from_millis(random.between(20, 100) as u64));
            let victim = random.below(WORKERS);
            workers[victim] = Worker::start(port(random.below(2)), log);
            kills += 1;
            if kills % 8 == 0 {
                let place = random.below(2);
                let again = Respite::in_front_of(&world.redis);
                ports.lock().expect("no panic")[place] = again.port();
                let old = std::mem::replace(&mut world.respites[place], again);
                if random.below(2) == 0 {
                    old.kill();
                } else {
                    old.signal(Signal::SIGTERM);
                    old.ended();
                }
                respites += 1;
            }
        }
        stop.store(true, Ordering::Relaxed);
        let told: Vec<(usize, Reply)> = callers
            .into_iter()
            .flat_map(|caller| caller.join().expect("no panic"))
            .collect();
        let count = told.len();
        eprintln!("{count} calls, {kills} workers and {respites} Respites killed or stopped");
        told
    })
}

/// How often each call was begun.
fn executions(log: &Path) -> HashMap<usize, usize> {
    let mut counts = HashMap::new();
    for line in fs::read_to_string(log).expect("the log").lines() {
        *counts.entry(line.parse().expect("a number")).or_default() += 1;
    }
    counts
}

fn start(options: &[&str]) -> (World, Vec<String>, tempfile::NamedTempFile) {
    let world = World::of(2);
    let before = world.keys();
    world.register("m", &[&["PARAMS", "1", "number"], options].concat());
    (
        world,
        before,
        tempfile::NamedTempFile::new().expect("a log"),
    )
}

/// Nothing is left of the calls, and after a cleanup nothing at all.
fn nothing_leaks(world: &World, before: &[String], dead: usize) {
    wait_until("no call is kept", DEADLINE, || {
        world.calls_kept().len() <= 3 * dead
    });
    world
        .redis
        .call(&["XLEN", "respite:b:{b}:q:m"])
        .assert_int(0);
    wait_until("the keys are as before", DEADLINE, || {
        world.connect().call(&["BUS.CLEANUP", "b"]);
        world.keys() == before
    });
}

#[test]
fn at_most_once_whoever_is_killed() {
    let (world, before, log) = start(&[]);
    let log_path: PathBuf = log.path().to_owned();
    let told = run(&world, &mut Random::from_env(), &log_path);
    let executed = executions(&log_path);
    let mut lost = 0;
    for (number, reply) in &told {
        let times = executed.get(number).copied().unwrap_or(0);
        match reply {
            Reply::Bulk(payload) => {
                assert_eq!(payload, number.to_string().as_bytes());
                assert_eq!(times, 1, "call {number} was answered");
            }
            _ => {
                reply.assert_error("WORKERLOST ");
                assert!(times <= 1, "call {number} was executed {times} times");
                lost += 1;
            }
        }
    }
    eprintln!("{lost} lost");
    assert!(told.len() > 20, "only {} calls", told.len());
    nothing_leaks(&world, &before, 0);
}

#[test]
fn at_most_once_whatever_respite_is_killed() {
    let (mut world, before, log) = start(&["VISIBILITY", "2000"]);
    let log_path: PathBuf = log.path().to_owned();
    let told = run_among_respites(&mut world, &mut Random::from_env(), &log_path);
    let executed = executions(&log_path);
    for (number, times) in &executed {
        assert!(*times <= 1, "call {number} was executed {times} times");
    }
    let mut ends: HashMap<String, usize> = HashMap::new();
    for (number, reply) in &told {
        if let Reply::Bulk(payload) = reply {
            assert_eq!(payload, number.to_string().as_bytes());
            assert!(executed.contains_key(number), "call {number} was answered");
        } else {
            let code = reply
                .error()
                .split(' ')
                .next()
                .unwrap_or_default()
                .to_owned();
            *ends.entry(code).or_default() += 1;
        }
    }
    eprintln!("{ends:?}");
    let allowed = ["WORKERLOST", "NOWORKER", "DEADLINE"];
    assert!(
        ends.keys().all(|code| allowed.contains(&code.as_str())),
        "{ends:?}"
    );
    assert!(told.len() > 20, "only {} calls", told.len());
    // What was meant for a Respite that is no more is kept for a minute, and then gone.
    let is_call = |key: &String| key.contains("}:k:") || key.contains("}:r:");
    for key in world.keys().into_iter().filter(is_call) {
        let lives = world.redis.call(&["PTTL", &key]).int();
        assert!(
            (-2..=120_000).contains(&lives) && lives != -1,
            "{key} lives {lives} ms"
        );
    }
    wait_until("the keys are as before", DEADLINE, || {
        world.connect().call(&["BUS.CLEANUP", "b"]);
        world.keys() == before
    });
}

#[test]
fn idempotent_calls_are_answered_whoever_is_killed() {
    let (world, before, log) = start(&["IDEMPOTENT", "MAXDELIVERIES", "4"]);
    let log_path: PathBuf = log.path().to_owned();
    let told = run(&world, &mut Random::from_env(), &log_path);
    let executed = executions(&log_path);
    let mut poisoned = 0;
    for (number, reply) in &told {
        match reply {
            Reply::Bulk(payload) => {
                assert_eq!(payload, number.to_string().as_bytes());
                assert!(
                    executed.get(number).is_some_and(|times| *times >= 1),
                    "call {number} was answered"
                );
            }
            _ => {
                reply.assert_error("POISON ");
                poisoned += 1;
            }
        }
    }
    eprintln!("{poisoned} poisoned");
    let dead = world
        .connect()
        .call(&["BUS.DEAD", "b", "m", "COUNT", "1000"]);
    assert_eq!(dead.items().len(), poisoned);
    nothing_leaks(&world, &before, poisoned);
}
