//! The faults, one after the other.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use super::backing::Kind::{Cluster, One, Sentinels};
use super::fault::{Fault, Needs, Stage};
use crate::support::{Client, DEADLINE, Direction, RedisServer, Reply, Weather, wait_until};

/// Told when the connection to the backing is lost, or silent.
const UPSTREAM: &str = "UPSTREAM ";
/// Told who is blocked when the server becomes a replica.
const UNBLOCKED: &str = "UNBLOCKED ";
/// Told at the end of a transaction of which something was refused.
const ABORTED: &str = "EXECABORT ";
const LOST: &[&str] = &[UPSTREAM, ABORTED];

pub(crate) const FAULTS: &[Fault] = &[
    Fault {
        name: "killed (SIGKILL), back with its data",
        behind: &[One],
        needs: Needs::File,
        loses: false,
        allowed: &[UPSTREAM, ABORTED, "LOADING "],
        strike: |stage| {
            stage.backing.one().kill();
            stage.hold();
            stage.backing.one().restart();
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "killed, back empty",
        behind: &[One],
        needs: Needs::Nothing,
        loses: true,
        allowed: LOST,
        strike: |stage| {
            stage.backing.one().kill();
            stage.hold();
            stage.backing.one().restart();
            stage.healed();
        },
        short: false,
    },
    Fault {
        name: "killed, back with old data, which it takes seconds to load",
        behind: &[One],
        needs: Needs::SlowLoad,
        loses: true,
        allowed: &[UPSTREAM, ABORTED, "LOADING "],
        strike: |stage| {
            let redis = stage.backing.one();
            redis
                .call(&["DEBUG", "POPULATE", "2000", "filler", "100"])
                .assert_ok();
            redis.call(&["SAVE"]).assert_ok();
            stage.hold();
            let redis = stage.backing.one();
            redis.kill();
            redis.restart();
            wait_until("it has loaded", DEADLINE, || {
                !redis.call(&["GET", "x"]).is_error()
            });
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "killed, its replica takes over",
        behind: &[Sentinels, Cluster],
        needs: Needs::Nothing,
        loses: true,
        allowed: LOST,
        strike: |stage| stage.replace_master(true),
        short: false,
    },
    Fault {
        name: "stopped (SIGSTOP) and continued",
        behind: &[One],
        needs: Needs::Nothing,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            stage.backing.one().freeze();
            stage.hold();
            // Longer than a reply may take.
            stage.hold();
            stage.backing.one().thaw();
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "stopped, its replica takes over, continued",
        behind: &[Sentinels, Cluster],
        needs: Needs::Nothing,
        loses: true,
        allowed: LOST,
        strike: |stage| stage.replace_master(false),
        short: false,
    },
    Fault {
        name: "connections reset at random bytes",
        behind: &[One, Sentinels, Cluster],
        needs: Needs::Relays,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            let end = Instant::now() + stage.hold;
            while Instant::now() < end {
                let open = stage.backing.connections();
                if !open.is_empty() {
                    let one = stage.random.pick(&open);
                    let direction = *stage.random.pick(&[Direction::Up, Direction::Down]);
                    one.hold_after(direction, stage.random.between(0, 300));
                    std::thread::sleep(Duration::from_millis(5));
                    one.reset();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "connections half-open: nothing comes or goes any more",
        behind: &[One, Sentinels, Cluster],
        needs: Needs::Relays,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            for open in stage.backing.connections() {
                open.pause(Direction::Up);
                open.pause(Direction::Down);
            }
            stage.healed();
            stage.hold();
        },
        short: true,
    },
    Fault {
        name: "half-open, new ones are not answered either",
        behind: &[One],
        needs: Needs::Relays,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            let relay = &stage.backing.relays()[0];
            relay.black_hole(true);
            for open in stage.backing.connections() {
                open.pause(Direction::Up);
                open.pause(Direction::Down);
            }
            stage.hold();
            stage.hold();
            stage.backing.relays()[0].black_hole(false);
            stage.healed();
        },
        short: false,
    },
    Fault {
        name: "200 ms of delay each way",
        behind: &[One, Sentinels, Cluster],
        needs: Needs::Relays,
        loses: false,
        allowed: &[],
        strike: |stage| {
            let delay = Duration::from_millis(200);
            stage.weather(
                Weather {
                    delay,
                    ..Weather::default()
                },
                None,
            );
        },
        short: false,
    },
    Fault {
        name: "2 s of delay each way",
        behind: &[One],
        needs: Needs::Relays,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            let delay = Duration::from_secs(2);
            stage.weather(
                Weather {
                    delay,
                    ..Weather::default()
                },
                None,
            );
        },
        short: false,
    },
    Fault {
        name: "bytes drip: at most 3 in a millisecond",
        behind: &[One, Cluster],
        needs: Needs::Relays,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            let pause = Duration::from_millis(1);
            stage.weather(
                Weather {
                    pause,
                    ..Weather::default()
                },
                Some(3),
            );
        },
        short: true,
    },
    Fault {
        name: "out of memory (OOM)",
        behind: &[One, Sentinels, Cluster],
        needs: Needs::Nothing,
        loses: false,
        allowed: &["OOM ", ABORTED],
        strike: |stage| stage.configured("maxmemory", "1", "0"),
        short: true,
    },
    Fault {
        name: "made a replica of nobody (READONLY)",
        behind: &[One],
        needs: Needs::Nothing,
        loses: false,
        allowed: &["READONLY ", UNBLOCKED, UPSTREAM, ABORTED],
        strike: |stage| {
            let redis = stage.backing.one();
            redis.call(&["REPLICAOF", "127.0.0.1", "1"]).assert_ok();
            stage.hold();
            let redis = stage.backing.one();
            redis.call(&["REPLICAOF", "NO", "ONE"]).assert_ok();
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "a replica that serves nothing (MASTERDOWN)",
        behind: &[One],
        needs: Needs::Nothing,
        loses: false,
        allowed: &["MASTERDOWN ", "READONLY ", UNBLOCKED, UPSTREAM, ABORTED],
        strike: |stage| {
            let mut redis = stage.backing.one().connect();
            let stale = ["CONFIG", "SET", "replica-serve-stale-data", "no"];
            redis.call(&stale).assert_ok();
            redis.call(&["REPLICAOF", "127.0.0.1", "1"]).assert_ok();
            stage.hold();
            redis.call(&["REPLICAOF", "NO", "ONE"]).assert_ok();
            stage.healed();
        },
        short: false,
    },
    Fault {
        name: "a snapshot fails (MISCONF)",
        behind: &[One, Sentinels, Cluster],
        needs: Needs::Nothing,
        loses: false,
        allowed: &["MISCONF ", ABORTED],
        strike: misconf,
        short: true,
    },
    Fault {
        name: "disk full: the append-only file cannot grow",
        behind: &[One],
        needs: Needs::FileLimit,
        loses: false,
        allowed: &["MISCONF ", ABORTED],
        strike: disk_full,
        short: true,
    },
    Fault {
        name: "its password changed, connections closed",
        behind: &[One],
        needs: Needs::Password,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            let mut redis = stage.backing.one().connect();
            redis.call(&["AUTH", "old"]).assert_ok();
            redis
                .call(&["CONFIG", "SET", "requirepass", "new"])
                .assert_ok();
            redis.call(&["CLIENT", "KILL", "TYPE", "normal"]).int();
            stage.hold();
            redis
                .call(&["CONFIG", "SET", "requirepass", "old"])
                .assert_ok();
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "CLIENT PAUSE for longer than a reply may take",
        behind: &[One, Sentinels, Cluster],
        needs: Needs::Nothing,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            let millis = (2 * stage.hold).as_millis().to_string();
            for master in stage.backing.masters() {
                master
                    .call(&["CLIENT", "PAUSE", &millis, "ALL"])
                    .assert_ok();
            }
            stage.hold();
            stage.hold();
            stage.healed();
        },
        short: false,
    },
    Fault {
        name: "maxclients reached, connections closed",
        behind: &[One, Cluster],
        needs: Needs::Nothing,
        loses: false,
        allowed: LOST,
        strike: |stage| {
            let mut masters: Vec<Client> = stage
                .backing
                .masters()
                .iter()
                .map(|m| m.connect())
                .collect();
            for master in &mut masters {
                master
                    .call(&["CONFIG", "SET", "maxclients", "1"])
                    .assert_ok();
                master.call(&["CLIENT", "KILL", "TYPE", "normal"]).int();
            }
            stage.hold();
            for master in &mut masters {
                master
                    .call(&["CONFIG", "SET", "maxclients", "10000"])
                    .assert_ok();
            }
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "the clocks of Redis and Respite stepped by an hour, forward and back",
        behind: &[One],
        needs: Needs::Clock,
        loses: false,
        allowed: &[],
        strike: |stage| {
            let file = stage.folder.join("seconds");
            for seconds in [3600_i64, 0, -3600, 0] {
                write_in_place(&file, &seconds.to_ne_bytes());
                stage.hold();
            }
            stage.healed();
        },
        short: true,
    },
    Fault {
        name: "slots moved to other masters",
        behind: &[Cluster],
        needs: Needs::Nothing,
        loses: false,
        allowed: &[],
        strike: |stage| {
            stage.backing.change_map();
            stage.healed();
        },
        short: false,
    },
];

/// It is mapped: the same file, the same bytes.
pub(crate) fn write_in_place(file: &std::path::Path, bytes: &[u8]) {
    use std::os::unix::fs::FileExt;
    let file = fs::OpenOptions::new()
        .write(true)
        .open(file)
        .expect("it is there");
    file.write_all_at(bytes, 0).expect("written");
}

/// Snapshots fail for a while: a folder is where the file has to be.
fn misconf(stage: &mut Stage<'_>) {
    let snapshot = |redis: &RedisServer, status: &str| {
        wait_until("a snapshot", DEADLINE, || {
            let began = redis.call(&["BGSAVE"]);
            let ended = || redis.info("persistence", "rdb_bgsave_in_progress") == "0";
            wait_until("it ends", DEADLINE, ended);
            !began.is_error() && redis.info("persistence", "rdb_last_bgsave_status") == status
        });
    };
    let masters = stage.backing.masters();
    for redis in &masters {
        let file = redis.dir().join("dump.rdb");
        let _ = fs::remove_file(&file); // there may be none
        fs::create_dir_all(file.join("in-the-way")).expect("a folder");
        redis
            .call(&["CONFIG", "SET", "save", "86400 1"])
            .assert_ok();
        snapshot(redis, "err");
    }
    stage.hold();
    for redis in stage.backing.masters() {
        fs::remove_dir_all(redis.dir().join("dump.rdb")).expect("it is there");
        snapshot(redis, "ok");
        redis.call(&["CONFIG", "SET", "save", ""]).assert_ok();
    }
    stage.healed();
}

/// No file of the server can grow for a while.
fn disk_full(stage: &mut Stage<'_>) {
    let pid = stage.backing.one().pid().to_string();
    let limit = |size: &str| {
        let set = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={size}")])
            .status();
        assert!(set.is_ok_and(|status| status.success()), "prlimit");
    };
    limit("1:unlimited");
    stage.hold();
    limit("unlimited:unlimited");
    let redis = stage.backing.one();
    wait_until("it writes again", DEADLINE, || {
        !matches!(redis.call(&["SET", "probe", "1"]), Reply::Error(_))
    });
    stage.healed();
}
