//! Plays one fault in front of clients, and tells what they saw.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::backing::{Backing, Kind};
use super::client::{KEYS, Player, Told, World, key};
use super::fault::{Fault, Needs, Stage};
use crate::support::{DEADLINE, Random, RedisServer, Respite, wait_until};

/// Clients of a run.
const CLIENTS: usize = 8;
/// Packets that every client has to have served before the fault, and after it.
const CALM: u64 = 40;

/// How a run went.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) told: Told,
    /// From the moment when all was whole again until every client was served.
    pub(crate) back_after: Duration,
}

/// What stops the clients when the fault fails, so that the test ends.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a World);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

/// Plays it; panics with whatever is wrong.
#[track_caller]
pub(crate) fn play(fault: &Fault, kind: Kind, hold: Duration) -> Seen {
    let folder = TempDir::new().expect("a folder");
    let (mut backing, respite) = start(fault, kind, folder.path());
    let world = World::default();
    let mut random = Random::from_env();
    let seeds: Vec<u64> = (0..CLIENTS).map(|_| random.next()).collect();
    // Packets served, and whether service is back.
    let progress: Vec<(AtomicU64, AtomicBool)> = (0..CLIENTS).map(|_| Default::default()).collect();
    let mut told = Told::default();
    std::thread::scope(|scope| {
        let players: Vec<_> = seeds
            .iter()
            .zip(&progress)
            .enumerate()
            .map(|(number, (seed, (served, back)))| {
                let random = Random::with_seed(*seed);
                let player = Player::new(number, respite.port(), &world, fault.allowed, random);
                scope.spawn(move || {
                    player.play(|told| {
                        served.store(told.tally.served, Ordering::SeqCst);
                        back.store(told.back.is_some(), Ordering::SeqCst);
                    })
                })
            })
            .collect();
        let end = StopAtEnd(&world);
        let goes_on = |what: &str| {
            let counts = || {
                progress
                    .iter()
                    .map(|(served, _)| served.load(Ordering::SeqCst))
            };
            let before: Vec<u64> = counts().collect();
            wait_until(what, DEADLINE, || {
                players.iter().any(|player| player.is_finished())
                    || counts()
                        .zip(&before)
                        .all(|(now, before)| now > before + CALM)
            });
        };
        goes_on("all clients are served");
        if fault.loses {
            world.begin_loss();
        }
        (fault.strike)(&mut Stage {
            backing: &mut backing,
            world: &world,
            random: &mut random,
            hold,
            folder: folder.path().to_owned(),
        });
        wait_until("all clients are served again", DEADLINE, || {
            players.iter().any(|player| player.is_finished())
                || progress.iter().all(|(_, back)| back.load(Ordering::SeqCst))
        });
        if fault.loses {
            world.end_loss();
        }
        goes_on("all clients go on");
        drop(end);
        for player in players {
            told.add(&player.join().expect("no wrong reply"));
        }
    });
    nothing_old_is_kept(&backing, &respite, CLIENTS);
    Seen {
        back_after: told.back.map_or(Duration::ZERO, |(healed, back)| {
            back.saturating_duration_since(healed)
        }),
        told,
    }
}

/// What Respite replies is what the backing has.
#[track_caller]
pub(crate) fn nothing_old_is_kept(backing: &Backing, respite: &Respite, clients: usize) {
    let mut client = respite.connect();
    for number in 0..clients {
        for key in (0..KEYS).map(|at| key(number, at)) {
            let mut last = None;
            let end = Instant::now() + Duration::from_secs(5);
            // What was sent and not answered may still be executed.
            loop {
                let pair = (client.call(&["GET", &key]), backing.get(&key));
                if pair.0 == pair.1 {
                    break;
                }
                assert!(Instant::now() < end, "{key}: {pair:?} after {last:?}");
                last = Some(pair);
            }
        }
    }
}

fn start(fault: &Fault, kind: Kind, folder: &Path) -> (Backing, Respite) {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    let args: Vec<String> = match fault.needs {
        Needs::File => words(&["--appendonly", "yes", "--appendfsync", "no"]),
        Needs::FileLimit => words(&["--appendonly", "yes", "--appendfsync", "everysec"]),
        Needs::SlowLoad => words(&[
            "--key-load-delay",
            "1000",
            "--loading-process-events-interval-bytes",
            "1024",
        ]),
        Needs::Password => words(&["--requirepass", "old"]),
        _ => Vec::new(),
    };
    let program = match fault.needs {
        Needs::FileLimit => Some(script(folder, "trap '' XFSZ")),
        Needs::Clock => {
            let library = clock(folder);
            let set = format!(
                "export LD_PRELOAD='{}' STEPPED_CLOCK='{}'",
                library.display(),
                folder.join("seconds").display()
            );
            Some(script(folder, &set))
        }
        _ => None,
    };
    let networked = fault.needs == Needs::Relays;
    let program = program.map(|program| program.display().to_string());
    let mut backing = Backing::start(kind, networked, &args, program.as_deref());
    if fault.needs == Needs::Password {
        backing = backing.with_login(":old@");
    }
    // One server is expected back soon; others are replaced, which takes them seconds.
    let connect = if kind == Kind::One { "1s" } else { "10s" };
    let config = format!("[timeouts]\nconnect = \"{connect}\"\nreply = \"2s\"\n");
    let mut builder = Respite::builder()
        .upstream(&backing.url())
        .config(&config)
        // Whatever it says; a panic fails the test nevertheless.
        .allow_log("");
    if fault.needs == Needs::Clock {
        let library = folder.join("clock.so").display().to_string();
        let file = folder.join("seconds").display().to_string();
        builder = builder
            .env("LD_PRELOAD", &library)
            .env("STEPPED_CLOCK", &file);
    }
    let respite = builder.start();
    (backing, respite)
}

/// A program that starts the server in another way.
fn script(folder: &Path, first: &str) -> PathBuf {
    let file = folder.join("redis-server");
    let program = RedisServer::program();
    let text = format!("#!/bin/sh\n{first}\nexec '{}' \"$@\"\n", program.display());
    fs::write(&file, text).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).expect("a program");
    file
}

/// Builds the clock that can be stepped.
fn clock(folder: &Path) -> PathBuf {
    fs::write(folder.join("seconds"), 0_i64.to_ne_bytes()).expect("written");
    let library = folder.join("clock.so");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults/clock.c");
    let built = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .arg("-ldl")
        .status();
    assert!(built.expect("a C compiler").success());
    library
}
