//! The servers of a row: direct Redis and what stands in front of it; and what they and the clients use of the processors.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::{fs, io, thread};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use crate::draws;
use crate::load::{Plan, Until, play};
use crate::report::Outcome;
use crate::shared::servers::cpu_time;
use crate::systems::{Kind, Setting, System};

/// A server in front of Redis.
pub(crate) struct Front {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) workers: Option<u16>,
    pub(crate) env: Vec<(&'static str, String)>,
}

/// Running servers; the first is direct Redis.
pub(crate) struct Stage(Vec<(String, System)>);

/// Hits of Respite's cache, and how much it holds.
#[derive(Clone, Copy)]
pub(crate) struct CacheStats {
    pub(crate) hits: f64,
    pub(crate) entries: f64,
}

/// Respite as a user runs it.
pub(crate) fn respite() -> Front {
    Front {
        name: "Respite".to_owned(),
        kind: Kind::Respite,
        workers: None,
        env: Vec::new(),
    }
}

/// Runs a system that is not to be kept apart from others.
pub(crate) fn start(front: &Front, backing: Option<u16>) -> io::Result<System> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mixtures");
    let env = front.env.iter();
    let setting = Setting {
        dir: place.join(front.name.replace(' ', "-")),
        workers: front.workers,
        env: env
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect(),
        threads: 1,
    };
    fs::create_dir_all(&setting.dir)?;
    let named = |error| io::Error::other(format!("{}: {error}", front.name));
    System::start(front.kind, &setting, backing).map_err(named)
}

/// Runs a program, which has to succeed.
pub(crate) fn run(program: &str, line: &str) -> io::Result<String> {
    let output = Command::new(program)
        .args(line.split_whitespace())
        .output()?;
    let [said, told] = [output.stdout, output.stderr].map(|text| {
        let text = String::from_utf8_lossy(&text);
        text.trim().to_owned()
    });
    if !output.status.success() {
        return Err(io::Error::other(format!("{program} {line}: {said} {told}")));
    }
    Ok(said)
}

/// Seconds of processor time of this process and of those that it has waited for.
fn own_time() -> io::Result<f64> {
    let mut seconds = 0.0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        let micros = (usage.user_time() + usage.system_time()).num_microseconds();
        seconds += micros as f64 / 1e6;
    }
    Ok(seconds)
}

// === impl Stage ===

impl Stage {
    /// Starts Redis, and the others that this machine has.
    pub(crate) fn start(fronts: &[Front]) -> io::Result<Self> {
        let direct = Front {
            name: "Redis".to_owned(),
            kind: Kind::Direct,
            workers: None,
            env: Vec::new(),
        };
        let redis = start(&direct, None)?;
        let backing = redis.port;
        let mut systems = vec![(direct.name, redis)];
        for front in fronts {
            if front.kind.program().is_none() {
                eprintln!("{}: not found, left out", front.name);
                continue;
            }
            systems.push((front.name.clone(), start(front, Some(backing))?));
        }
        Ok(Self(systems))
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn port(&self, system: usize) -> u16 {
        self.0[system].1.port
    }

    pub(crate) fn pid(&self, system: usize) -> u32 {
        self.0[system].1.process.pid()
    }

    /// Kibibytes that Redis and a system in front hold.
    pub(crate) fn resident(&self, system: usize) -> [f64; 2] {
        [0, system].map(|n| {
            let bytes = self.0[n].1.process.resident_bytes();
            bytes.map_or(f64::NAN, |bytes| bytes as f64 / 1024.0)
        })
    }

    /// Writes keys into Redis.
    pub(crate) fn fill(&self, keys: std::ops::Range<u32>, value_bytes: usize) -> io::Result<()> {
        self.once(0, &draws::all_written(keys), value_bytes)
    }

    /// Reads keys once, so that a cache holds them.
    pub(crate) fn warm(
        &self,
        system: usize,
        keys: std::ops::Range<u32>,
        value_bytes: usize,
    ) -> io::Result<()> {
        self.once(system, &draws::reads(keys), value_bytes)
    }

    fn once(&self, system: usize, draws: &[u32], value_bytes: usize) -> io::Result<()> {
        let plan = Plan {
            port: self.port(system),
            clients: 4,
            pipeline: 16,
            value_bytes,
            draws,
            base: 0,
            from: 0,
            threads: 1,
        };
        play(plan, Until::Sent).map(drop)
    }

    /// What a run of so many commands in a second costs each process; `act` says how many there were, and what else it has seen.
    pub(crate) fn metered(
        &self,
        system: usize,
        act: impl FnOnce() -> io::Result<(u64, Outcome)>,
    ) -> io::Result<Outcome> {
        let times = || [0, system].map(|n| cpu_time(self.pid(n)).as_secs_f64());
        let (before, own) = (times(), own_time()?);
        let (commands, outcome) = act()?;
        let (after, own) = (times(), own_time()? - own);
        let each = |seconds: f64| seconds * 1e6 / commands as f64;
        Ok(Outcome {
            client: each(own),
            front: match system {
                0 => f64::NAN,
                _ => each(after[1] - before[1]),
            },
            redis: each(after[0] - before[0]),
            ..outcome
        })
    }

    pub(crate) fn cache(&self, system: usize) -> io::Result<CacheStats> {
        let url = format!("redis://127.0.0.1:{}", self.port(system));
        let stats = redis::Client::open(url)
            .and_then(|client| client.get_connection())
            .and_then(|mut connection| redis::cmd("CACHE.STATS").query(&mut connection));
        let stats: HashMap<String, String> = stats.map_err(io::Error::other)?;
        let number = |name: &str| {
            let number = stats.get(name).and_then(|text| text.parse().ok());
            number.ok_or_else(|| io::Error::other(format!("no {name} in CACHE.STATS")))
        };
        Ok(CacheStats {
            hits: number("hits")?,
            entries: number("entries")?,
        })
    }
}

/// Lets connections close that were in use.
pub(crate) fn pause() {
    thread::sleep(std::time::Duration::from_millis(50));
}
