//! The systems under comparison: how each is found, configured, started and asked its version.
//! Sends no load.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::client::Connection;
use crate::leash::Leash;

/// How long a system may take until it answers.
const START_LIMIT: Duration = Duration::from_secs(15);

/// One of the systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The backing Redis itself, which every ratio refers to.
    Direct,
    /// Respite as a user runs it.
    Respite,
    /// Respite with its cache off; runs only where Respite has a cache.
    Uncached,
    /// twemproxy (nutcracker).
    Twemproxy,
    /// Envoy's Redis filter.
    Envoy,
}

/// What every system is started with.
pub(crate) struct Setting {
    /// Configuration files and logs go here.
    pub(crate) dir: PathBuf,
    /// Respite's number of workers; its own choice when absent.
    pub(crate) workers: Option<u16>,
    /// More environment variables of Respite.
    pub(crate) env: Vec<(String, String)>,
    /// Envoy's number of worker threads.
    pub(crate) threads: usize,
}

/// The ports of one system as text, so that the report can print names in their place.
pub(crate) struct Ports {
    /// Where the system listens.
    pub(crate) own: String,
    /// Where the backing Redis listens.
    pub(crate) backing: String,
    /// For twemproxy's statistics, which cannot be switched off.
    pub(crate) spare: String,
}

/// A running system.
pub(crate) struct System {
    /// Which one.
    pub(crate) kind: Kind,
    /// Where it listens on 127.0.0.1.
    pub(crate) port: u16,
    /// Its process.
    pub(crate) process: Leash,
}

// === impl Kind ===

impl Kind {
    /// The systems that can be chosen, in the order of the report.
    pub(crate) const ALL: [Self; 4] = [Self::Direct, Self::Respite, Self::Twemproxy, Self::Envoy];

    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Respite => "respite",
            Self::Uncached => "respite-uncached",
            Self::Twemproxy => "twemproxy",
            Self::Envoy => "envoy",
        }
    }

    /// The name in the report.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Direct => "direct Redis",
            Self::Respite | Self::Uncached => "Respite",
            Self::Twemproxy => "twemproxy",
            Self::Envoy => "Envoy",
        }
    }

    /// The program, if this machine has it.
    pub(crate) fn program(self) -> Option<PathBuf> {
        match self {
            Self::Direct => on_path("redis-server").or_else(|| on_path("valkey-server")),
            Self::Respite | Self::Uncached => env::var_os("RESPITE_BIN")
                .map(PathBuf::from)
                .or_else(|| option_env!("CARGO_BIN_EXE_respite").map(PathBuf::from))
                .filter(|path| path.is_file()),
            Self::Twemproxy => on_path("nutcracker"),
            Self::Envoy => on_path("envoy").or_else(|| {
                let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
                Some(target.join("peers/envoy/_bin/envoy")).filter(|path| path.is_file())
            }),
        }
    }

    /// What the program says its version is.
    pub(crate) fn version(self) -> Option<String> {
        let said = first_line(&self.program()?, &["--version"])?;
        // `… version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`, after the program's own path.
        let envoy = || {
            said.split('/')
                .rev()
                .nth(3)
                .map(|version| format!("envoy {version}"))
        };
        match self {
            Self::Envoy => envoy().or(Some(said)),
            Self::Twemproxy => Some(said.trim_start_matches("This is ").to_owned()),
            Self::Direct | Self::Respite | Self::Uncached => Some(said),
        }
    }

    /// The arguments.
    pub(crate) fn args(self, setting: &Setting, ports: &Ports) -> Vec<String> {
        let Ports {
            own,
            backing,
            spare,
        } = ports;
        let file = |name: &str| setting.dir.join(name).display().to_string();
        let line = match self {
            Self::Direct => format!("--bind 127.0.0.1 --port {own} --appendonly no --save"),
            Self::Respite | Self::Uncached => format!(
                "serve --upstream redis://127.0.0.1:{backing} --listen 127.0.0.1:{own} --http"
            ),
            Self::Twemproxy => format!("-c {} -a 127.0.0.1 -s {spare}", file("twemproxy.yml")),
            Self::Envoy => format!(
                "-c {} --concurrency {} --log-level error --disable-hot-restart",
                file("envoy.yaml"),
                setting.threads
            ),
        };
        let mut args: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        if matches!(self, Self::Direct | Self::Respite | Self::Uncached) {
            // The value of the last option: no snapshots, no HTTP.
            args.push(String::new());
        }
        args
    }

    /// The environment variables that Respite is given.
    pub(crate) fn env(self, setting: &Setting) -> Vec<(String, String)> {
        let mut env = Vec::new();
        if matches!(self, Self::Respite | Self::Uncached) {
            env.extend(
                setting
                    .workers
                    .map(|n| ("RESPITE_WORKERS".into(), n.to_string())),
            );
            env.extend(setting.env.iter().cloned());
        }
        if self == Self::Uncached {
            env.push(("RESPITE_CACHE__MODE".into(), "off".into()));
        }
        env
    }

    /// The configuration file, by name and content, of the systems that need one.
    pub(crate) fn config(self, ports: &Ports) -> Option<(&'static str, String)> {
        let (name, text) = match self {
            Self::Direct | Self::Respite | Self::Uncached => return None,
            Self::Twemproxy => ("twemproxy.yml", TWEMPROXY),
            Self::Envoy => ("envoy.yaml", ENVOY),
        };
        Some((
            name,
            text.replace("BACKING", &ports.backing)
                .replace("PORT", &ports.own),
        ))
    }
}

// === impl System ===

impl System {
    /// Starts a system on a free port in front of the Redis at `backing` (its own port when the
    /// system is that Redis) and waits until it answers a read from there.
    pub(crate) fn start(kind: Kind, setting: &Setting, backing: Option<u16>) -> io::Result<Self> {
        let program = kind
            .program()
            .ok_or_else(|| io::Error::other("not found"))?;
        let port = free_port()?;
        let ports = Ports {
            own: port.to_string(),
            backing: backing.unwrap_or(port).to_string(),
            spare: free_port()?.to_string(),
        };
        if let Some((name, text)) = kind.config(&ports) {
            fs::write(setting.dir.join(name), text)?;
        }
        let log = setting.dir.join(format!("{}.log", kind.name()));
        let process = Leash::start(
            &program,
            &kind.args(setting, &ports),
            &kind.env(setting),
            log,
        )?;
        let system = Self {
            kind,
            port,
            process,
        };
        system.wait_until_ready()?;
        Ok(system)
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            let reply =
                Connection::open(self.port).and_then(|mut c| c.ask(&["GET", "key:000000000000"]));
            match reply {
                Ok(line) if line.starts_with('$') || line.starts_with('_') => return Ok(()),
                reply if Instant::now() > deadline => {
                    let words = self.process.last_words();
                    return Err(io::Error::other(format!("not ready: {reply:?}\n{words}")));
                }
                _ => thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

/// The program of that name on `PATH`; `/usr/sbin` is searched too, where Debian puts nutcracker.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let dirs = env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    dirs.map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// The first line that a program prints, on either stream.
pub(crate) fn first_line(program: &Path, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .map(str::to_owned)
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

const TWEMPROXY: &str = "\
compare:
  listen: 127.0.0.1:PORT
  redis: true
  hash: fnv1a_64
  distribution: ketama
  auto_eject_hosts: false
  preconnect: true
  servers:
   - 127.0.0.1:BACKING:1
";

const ENVOY: &str = "\
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: PORT } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.redis_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.redis_proxy.v3.RedisProxy
          stat_prefix: compare
          settings: { op_timeout: 5s }
          prefix_routes: { catch_all_route: { cluster: backing } }
  clusters:
  - name: backing
    type: STATIC
    connect_timeout: 1s
    load_assignment:
      cluster_name: backing
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: { socket_address: { address: 127.0.0.1, port_value: BACKING } }
";
