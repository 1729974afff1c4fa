//! Builds every component, wires them, and shuts them down in order.

mod api;
mod backlog;
mod behind;
mod bound;
mod certificates;
mod denied;
mod ending;
mod family;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod gateway;
mod handover;
mod listed;
mod listening;
mod nodes;
mod observer;
mod pages;
mod reload;
mod shards;
mod users;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::runtime::Handle;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::{error, info, warn};

use self::behind::{Own, Way, learn_from_backing, reach, swap_watch};
use self::ending::Signals;
use self::family::RespiteFamily;
use self::gateway::PreparedGateway;
use self::listening::{Listening, Served, Wanted};
use self::nodes::ServiceNodes;
use self::observer::Observer;
use self::pages::Shown;
use self::reload::{Parts, Reloader, first_settings};
use crate::access::AccessList;
use crate::bus::{BusFamily, Hub};
use crate::cache::{Cache, CacheFamily, check_commands};
use crate::command::{AboutRespite, Family, InfoSource};
use crate::config::{
    ClusterSeeds, Config, Endpoint, SentinelSet, Source, Upstream, environment, load,
};
use crate::discovery::{Discovery, DiscoveryFamily};
use crate::fleet::watcher::check_listed;
use crate::fleet::{self, Fleet, ShardFamily};
use crate::gateway::{Gateway, GatewayFamily};
use crate::session::listener::acceptor;
use crate::session::shared::Shared;
use crate::session::worker_thread;
use crate::tasks::{self, Kind};
use crate::telemetry;
use crate::upstream::{Backing, ControlLink, client_connector};

/// Why the server did not start, or ended.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// Something that the user has to put right.
    #[error("{0}")]
    Refused(String),
    /// The system's fault.
    #[error("cannot {what}: {error}")]
    Io { what: String, error: io::Error },
}

impl Failure {
    /// Whether an address is in use already.
    fn is_taken(&self) -> bool {
        matches!(self, Failure::Io { error, .. } if error.kind() == io::ErrorKind::AddrInUse)
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Refused(_) => ExitCode::from(2),
            Failure::Io { .. } => ExitCode::FAILURE,
        }
    }
}

fn cannot(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
    |error| Failure::Io {
        what: what.into(),
        error,
    }
}

/// Serves until a signal ends it. Returns 0 after an orderly end, 2 for a configuration that is
/// refused or a missing Redis, 1 for a failure of the system.
pub fn serve(source: &Source) -> ExitCode {
    let config = match load(source, environment()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("respite: the configuration is refused:\n{error}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = telemetry::init(config.log_format, &config.log_level) {
        eprintln!("respite: {error}");
        return ExitCode::from(2);
    }
    tasks::watch();
    match run(source, config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            error!("{failure}");
            failure.exit_code()
        }
    }
}

fn run(source: &Source, config: Config) -> Result<(), Failure> {
    let prepared = prepare(&config)?;
    raise_descriptor_limit(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(cannot("start a runtime"))?;
    let result = runtime.block_on(async {
        // First of all: a signal that comes while the server starts is meant for it, too.
        let mut signals = Signals::listen()?;
        let app = tokio::select! {
            app = App::start(source, config, prepared) => app?,
            () = signals.stop() => {
                info!("stopped before it served");
                return Ok(());
            }
        };
        app.until_stopped(signals).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

/// What is made from the configuration and the files that it names, before any port is bound.
struct Prepared {
    access: AccessList,
    /// TLS for clients.
    acceptor: Option<TlsAcceptor>,
    /// TLS towards the backing.
    connector: Option<TlsConnector>,
    /// The services file.
    gateway: PreparedGateway,
}

fn prepare(config: &Config) -> Result<Prepared, Failure> {
    let refused = |text: String| Failure::Refused(text);
    let access = reload::access_list(config).map_err(refused)?;
    check_listed(&config.targets).map_err(refused)?;
    check_commands(&config.cache.commands).map_err(refused)?;
    let acceptor = config.tls.server.as_ref().map(acceptor).transpose();
    let acceptor = acceptor.map_err(|e| refused(format!("tls: {e}")))?;
    let connector = match &config.upstream {
        Upstream::Single(Endpoint { tls: true, .. })
        | Upstream::Sentinel(SentinelSet { tls: true, .. })
        | Upstream::Cluster(ClusterSeeds { tls: true, .. }) => {
            let connector = client_connector(config.tls.upstream_ca.as_deref());
            Some(connector.map_err(|e| refused(format!("tls.upstream_ca: {e}")))?)
        }
        _ => None,
    };
    Ok(Prepared {
        access,
        acceptor,
        connector,
        gateway: gateway::prepare(config).map_err(refused)?,
    })
}

/// Whether the server could start with this configuration, as far as can be told without binding
/// a port or reaching the backing.
///
/// # Errors
/// Says what has to be put right.
pub fn check(config: &Config) -> Result<(), String> {
    prepare(config)
        .map(|_| ())
        .map_err(|failure| failure.to_string())
}

/// A server that is running.
struct App {
    /// The file that it was started from, where the next version will be.
    program: PathBuf,
    shared: Arc<Shared>,
    reloader: Arc<Reloader>,
    workers: Vec<JoinHandle<()>>,
    listening: Arc<tokio::sync::Mutex<Listening>>,
    bus: Arc<Hub>,
    fleet: Arc<Fleet>,
    embedded: Option<Own>,
}

impl App {
    async fn start(source: &Source, config: Config, prepared: Prepared) -> Result<App, Failure> {
        let Prepared {
            access,
            acceptor: tls,
            connector,
            gateway: prepared_gateway,
        } = prepared;
        let program = handover::own_program().map_err(cannot("find its own program"))?;
        let wanted = Wanted::new(&config, prepared_gateway.addresses(source, &config));
        // Ports first: nothing else is worth starting when they are taken.
        let (bound, mut inherited) = bound::bind_first(&wanted.clients, &wanted.http).await?;
        let Way {
            backing,
            own: embedded,
            named,
        } = reach(&config, connector).await?;
        backing.set_connect_timeout(config.timeouts.connect);
        let monitored = Arc::clone(&backing);
        let monitor = move || Arc::clone(&monitored).monitor();
        tokio::spawn(tasks::keep(Kind::Backing, monitor));

        let threads = worker_threads(config.workers);
        let access = Arc::new(access);
        let guard = gateway::http_guard(&config, &access);
        let reloader = Arc::new(Reloader::new(source.clone(), config.clone()));
        let cache = Cache::new(config.cache.clone());
        let told = Arc::clone(&cache);
        backing.set_on_switch(move || told.end_epochs());
        let control = control_link(&backing, &config);
        let discovery = Discovery::start(Arc::clone(&control), &Handle::current());
        let bus = Hub::new(Arc::clone(&control), config.bus.worker_ttl);
        let nodes = Arc::new(ServiceNodes::new(&discovery, Handle::current()));
        let fleet = Fleet::start(&config, Arc::clone(&control), Arc::clone(&nodes) as _);
        let (gateway, services) = prepared_gateway.build(&config, nodes);
        let (about, observed) = RespiteFamily::new(Arc::clone(&reloader));
        let families = families(about, &cache, &fleet, &discovery, &bus, &gateway);
        let swaps = swap_watch(&config, &backing, &cache);
        let settings = first_settings(&config, access, &guard, embedded.is_some());
        let shared = Arc::new(Shared::new(
            Arc::clone(&backing),
            Arc::clone(&cache),
            swaps,
            families,
            Arc::clone(&fleet) as Arc<dyn InfoSource>,
            threads,
            settings,
        ));
        users::look_after(&config, &shared, &control);
        fleet.attach(Arc::downgrade(&shared) as Weak<dyn AboutRespite>);
        learn_from_backing(&shared, config.timeouts.connect).await;

        let workers = spawn_workers(&shared, threads)?;
        announce(&backing, embedded.is_some(), threads);
        if wanted.http.admin.is_none() {
            info!("http:     off");
        }
        let observer = Observer::start(&shared, &fleet, &gateway, &bus, &reloader, &observed);
        let shown = Shown {
            shared: Arc::clone(&shared),
            observer,
            fleet: Arc::clone(&fleet),
            discovery,
            bus: Arc::clone(&bus),
            gateway: Arc::clone(&gateway),
        };
        let tls = Arc::new(ArcSwapOption::from_pointee(tls));
        let served = Served {
            shared: Arc::clone(&shared),
            tls: Arc::clone(&tls),
            guard: Arc::clone(&guard),
            sources: shown.sources(),
            gateway: Arc::clone(&gateway),
        };
        let listening = Listening::new(served, &wanted);
        let listening = Arc::new(tokio::sync::Mutex::new(listening));
        reloader.attach(Parts {
            shared: Arc::clone(&shared),
            fleet: Arc::clone(&fleet),
            bus: Arc::clone(&bus),
            gateway,
            services,
            named,
            control,
            guard,
            tls,
            listening: Arc::clone(&listening),
        });
        listening.lock().await.start(wanted, bound)?;
        let renews = Arc::clone(&reloader);
        let renew = move || certificates::watch(Arc::clone(&renews));
        tokio::spawn(tasks::keep(Kind::Upkeep, renew));
        inherited.tell_ready();
        Ok(App {
            program,
            shared,
            reloader,
            workers,
            listening,
            bus,
            fleet,
            embedded,
        })
    }
}

fn announce(backing: &Backing, embedded: bool, threads: usize) {
    let kind = match embedded {
        true => " (embedded, private)",
        false => "",
    };
    let version = env!("CARGO_PKG_VERSION");
    let workers = match threads {
        1 => "1 worker".to_owned(),
        many => format!("{many} workers"),
    };
    info!("respite {version} with {workers}");
    info!("backing:  {}{kind}", backing.address());
}

fn spawn_workers(shared: &Arc<Shared>, threads: usize) -> Result<Vec<JoinHandle<()>>, Failure> {
    let mut workers = Vec::new();
    let mut mailboxes = Vec::new();
    for index in 0..threads {
        let spawned = worker_thread::spawn(index, Arc::clone(shared));
        let (mailbox, thread) = spawned.map_err(cannot("start a worker"))?;
        mailboxes.push(mailbox);
        workers.push(thread);
    }
    shared.set_workers(mailboxes);
    Ok(workers)
}

/// How Respite's own commands reach the backing.
fn control_link(backing: &Arc<Backing>, config: &Config) -> Arc<ControlLink> {
    let (connect, reply) = control_patience(config);
    let link = ControlLink::new(Arc::clone(backing), connect, reply);
    link.set_failover(config.timeouts.failover);
    link
}

/// How long Respite's own commands wait, to connect and for a reply.
fn control_patience(config: &Config) -> (Duration, Duration) {
    let connect = config.timeouts.connect;
    (connect, config.timeouts.reply.unwrap_or(connect))
}

/// Respite's own commands: a line for each family.
fn families(
    about: RespiteFamily,
    cache: &Arc<Cache>,
    fleet: &Arc<Fleet>,
    discovery: &Arc<Discovery>,
    bus: &Arc<Hub>,
    gateway: &Arc<Gateway>,
) -> Vec<Arc<dyn Family>> {
    vec![
        Arc::new(about),
        Arc::new(CacheFamily::new(Arc::clone(cache))),
        Arc::new(ShardFamily::new(Arc::clone(fleet))),
        Arc::new(DiscoveryFamily::new(Arc::clone(discovery))),
        Arc::new(GatewayFamily::new(Arc::clone(gateway))),
        Arc::new(BusFamily::new(Arc::clone(bus))),
    ]
}

/// A worker for every two cores: the other halves are for the backing and the clients beside it,
/// and a worker that shares its core is slower at every pipeline depth but the deepest.
fn worker_threads(configured: usize) -> usize {
    match configured {
        0 => std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2)),
        n => n,
    }
}

/// Each client takes a descriptor, and so does each connection to the backing.
fn raise_descriptor_limit(config: &Config) {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    // A forwarded request has two connections.
    let forwarded = config
        .gateway
        .services
        .as_ref()
        .map_or(0, |_| 2 * config.gateway.connections);
    let wanted = (config.limits.clients + config.limits.pinned + forwarded + 128) as u64;
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    // And each tracked shard takes one; nobody knows yet how many those will be.
    let most = (wanted + fleet::MAX_TARGETS as u64).min(hard);
    if soft < most && setrlimit(Resource::RLIMIT_NOFILE, most, hard).is_err() {
        warn!("cannot raise the limit of open files from {soft}");
    }
    if hard < wanted {
        warn!(
            "the system allows {hard} open files: fewer than the limits of connections add up to"
        );
    }
}
