//! What is known about the backing Redis, and the one connection that keeps it known.
//!
//! The monitor task connects, asks for `HELLO` and `COMMAND`, then sends `PING` and `ROLE` each second. When
//! the connection is lost it connects again and asks again, so that an upgraded or replaced
//! backing is noticed. A server that has become a replica is left when the address leads to another.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_rustls::TlsConnector;

use super::accounts::{Accounts, Credentials};
use super::connect::{Conn, ConnectOptions, connect};
use super::error::UpstreamError;
use super::intake::Intake;
use super::link_key::LoginId;
use super::open_conns::OpenConns;
use super::reached::{Reached, ReachedNode, sleep_unless_reached};
use super::served::Served;
use super::server_hello::ServerHello;
use super::topology::{HOME, NodeId, Topology};
use crate::backoff::Backoff;
use crate::config::{Endpoint, Secret};

/// How long a connection may take to open until the configuration is known.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// So many answers to the monitor's `PING` say nothing of a command that was executed meanwhile: one may be on its way.
const STALE_PINGS: u32 = 2;

/// What was learnt from the backing at the last successful connection.
#[derive(Debug, Clone, Default)]
pub struct BackingState {
    /// Its `HELLO`; absent until it was reached once.
    pub hello: Option<Arc<ServerHello>>,
    /// Its reply to `COMMAND` (RESP3), as it came.
    pub commands: Arc<Vec<u8>>,
}

/// The backing Redis, as all of Respite sees it.
pub struct Backing {
    topology: watch::Sender<Arc<Topology>>,
    /// Holds for every topology of this backing.
    first_db: u32,
    /// The connections to the present masters.
    open: Arc<OpenConns>,
    /// The logins that are not Respite's own.
    accounts: Accounts,
    /// What has to be done when the master becomes another one, before the new one is used.
    on_switch: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Whether replicas are refused as masters, because somebody will name the right one.
    pub(super) follows: bool,
    /// Keys are divided among several nodes.
    is_cluster: bool,
    /// The servers behind are Respite's own and are stopped: that they go is no news.
    leaving: AtomicBool,
    /// Held by whoever changes the nodes of a cluster.
    changes: Mutex<()>,
    /// Somebody has seen that the master is none any more.
    doubted: Notify,
    /// What is known of a cluster's nodes.
    pub(super) served: Served,
    tls: ArcSwapOption<TlsConnector>,
    pub(super) state: watch::Sender<BackingState>,
    pub(super) ready: AtomicBool,
    /// Since when the monitor has found it unusable.
    pub(super) away_since: Mutex<Option<Instant>>,
    connect_timeout: Mutex<Duration>,
    /// Counts the connections that were opened and the masters that were named.
    reached: Reached,
    pub(super) look_again: Notify,
    pub(super) intake: Intake,
    /// The monitor's last `PING` got an error (`BUSY`, `LOADING`, `MASTERDOWN`), or it is refused its login.
    pub(super) ailing: AtomicBool,
    /// So many more of its `PING`s have to be answered until what they say is true again.
    pub(super) distrusted: AtomicU32,
}

// === impl Backing ===

impl fmt::Debug for Backing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backing")
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

impl Backing {
    /// A backing that has not been reached yet.
    pub fn new(endpoint: Endpoint, tls: Option<TlsConnector>) -> Arc<Self> {
        let first_db = endpoint.db;
        Self::with(Topology::single(endpoint), first_db, false, tls)
    }

    /// A backing whose master somebody else names ([`Backing::switch`]), and names again.
    pub fn followed(first_db: u32, tls: Option<TlsConnector>) -> Arc<Self> {
        Self::with(Topology::unknown(), first_db, true, tls)
    }

    /// A backing of several nodes, which somebody else names ([`Backing::update`]).
    pub fn clustered(tls: Option<TlsConnector>) -> Arc<Self> {
        let mut backing = Self::with(Topology::unknown(), 0, true, tls);
        if let Some(backing) = Arc::get_mut(&mut backing) {
            backing.is_cluster = true;
        }
        backing
    }

    fn with(
        topology: Topology,
        first_db: u32,
        follows: bool,
        tls: Option<TlsConnector>,
    ) -> Arc<Self> {
        Arc::new(Backing {
            topology: watch::Sender::new(Arc::new(topology)),
            first_db,
            open: Arc::default(),
            accounts: Accounts::default(),
            on_switch: OnceLock::new(),
            follows,
            is_cluster: false,
            leaving: AtomicBool::new(false),
            changes: Mutex::default(),
            doubted: Notify::new(),
            served: Served::default(),
            tls: ArcSwapOption::from_pointee(tls),
            state: watch::Sender::default(),
            ready: AtomicBool::new(false),
            away_since: Mutex::default(),
            connect_timeout: Mutex::new(CONNECT_TIMEOUT),
            reached: Reached::default(),
            look_again: Notify::new(),
            intake: Intake::default(),
            ailing: AtomicBool::new(false),
            distrusted: AtomicU32::new(0),
        })
    }

    /// Opens a connection to the current master; waits for one while there is none.
    ///
    /// # Errors
    /// When the socket, TLS or the handshake fails, or no master is named, within `options.timeout`.
    pub async fn connect(&self, options: ConnectOptions<'_>) -> Result<Conn, UpstreamError> {
        let opened = self.open(options).await;
        if let Err(error) = &opened
            && options.key.login.is_own()
            && self.ready.load(Ordering::Relaxed)
        {
            self.intake.failed(error);
        }
        opened
    }

    pub(super) async fn open(&self, options: ConnectOptions<'_>) -> Result<Conn, UpstreamError> {
        let end = Instant::now() + options.timeout;
        let login = options.key.login;
        loop {
            // Who waits for the connection should hear that it is the master that is missing.
            let until = end - options.timeout / 8;
            let (term, master) = self.wait_for_master(options.key.node, until).await?;
            let options = ConnectOptions {
                timeout: end.saturating_duration_since(Instant::now()),
                ..options
            };
            let tls = self.tls.load_full();
            let user = self.credentials(login)?;
            let opened = tokio::select! {
                opened = connect(&master, user.as_deref(), tls.as_deref(), options) => opened,
                () = self.left(options.key.node, term) => continue,
            };
            let (stream, hello) = opened?;
            if self.follows && matches!(hello.role.as_str(), "slave" | "replica") {
                self.doubt();
                return Err(UpstreamError::NotMaster {
                    address: master.address.to_string(),
                });
            }
            let added = self.open.add(stream, options.key.node, term);
            if let Some(stream) = added.map_err(|error| UpstreamError::lost(&error))? {
                *self.away_since.lock() = None;
                self.reached.note(options.key.node);
                return Ok(Conn {
                    stream,
                    key: options.key,
                    hello,
                    follows: self.follows,
                });
            }
            // The master has become another one meanwhile.
        }
    }

    /// What a user's connections log in with; none: Respite's own login.
    fn credentials(&self, login: LoginId) -> Result<Option<Arc<Credentials>>, UpstreamError> {
        if login.is_own() {
            return Ok(None);
        }
        let credentials = self.accounts.credentials(login);
        credentials.map(Some).ok_or(UpstreamError::LoggedOut)
    }

    /// The master of a node and the term that it is in, once there is one.
    async fn wait_for_master(
        &self,
        node: NodeId,
        end: Instant,
    ) -> Result<(u64, Arc<Endpoint>), UpstreamError> {
        let mut topologies = self.topology.subscribe();
        let named = |topology: &Topology| {
            let node = topology.node(node)?;
            Some((node.term, node.master.clone()?))
        };
        let known = topologies.wait_for(|topology| named(topology).is_some());
        match tokio::time::timeout_at(end.into(), known).await {
            Ok(Ok(topology)) => named(&topology).ok_or(UpstreamError::NoMaster),
            Ok(Err(_)) | Err(_) => Err(UpstreamError::NoMaster),
        }
    }

    /// Waits until a node has another master than in this term, or none.
    async fn left(&self, node: NodeId, term: u64) {
        let mut topologies = self.topology.subscribe();
        let left = topologies.wait_for(|topology| {
            let node = topology.node(node);
            node.is_none_or(|node| node.term != term)
        });
        if left.await.is_err() {
            std::future::pending::<()>().await; // the sender lives in the backing
        }
    }

    /// The logins of the backing's users.
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Says how long connections may take to open that are no client's own, each from its next attempt.
    pub fn set_connect_timeout(&self, timeout: Duration) {
        *self.connect_timeout.lock() = timeout;
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        *self.connect_timeout.lock()
    }

    /// A way to hear of the next connection that anybody opens to a node, and of its next master.
    pub(super) fn reached(&self, node: NodeId) -> ReachedNode {
        self.reached.of(node)
    }

    // === topology ===

    /// The servers behind, now.
    pub fn topology(&self) -> Arc<Topology> {
        Arc::clone(&self.topology.borrow())
    }

    /// A way to hear of changes of the topology.
    pub fn watch_topology(&self) -> watch::Receiver<Arc<Topology>> {
        self.topology.subscribe()
    }

    /// Sets, once, what has to be done when the master becomes another one, before the new one is used.
    pub fn set_on_switch(&self, hook: impl Fn() + Send + Sync + 'static) {
        let already = self.on_switch.set(Box::new(hook)).is_err();
        debug_assert!(!already, "the hook is set once");
    }

    /// Makes another server the master. All connections to the one before are given up first, so
    /// that nothing is read from it once anything was written to the new one.
    pub fn switch(&self, master: Endpoint) {
        self.suspend();
        let named = self.topology().with_master(HOME, master);
        self.topology.send_replace(Arc::new(named));
        self.reached.note(HOME);
        self.look_again.notify_one();
    }

    /// Opens connections to the same servers with another login from now on. Those that are open go on until nobody
    /// uses them: Redis asks for a password once.
    pub fn log_in(&self, user: Option<&String>, password: Option<&Secret>) {
        self.update(|topology| Some(topology.with_logins(user, password)));
        self.open.outdate();
        for node in self.topology().nodes() {
            self.reached.note(node.id);
        }
        self.look_again.notify_one();
    }

    /// Checks the certificates of connections that are opened from now on with this. Before another master
    /// has other certificates, the one before is given up ([`Backing::suspend`]).
    pub fn set_tls(&self, tls: Option<TlsConnector>) {
        self.tls.store(tls.map(Arc::new));
    }

    /// Gives up all connections, and opens new ones where the address leads now.
    pub(super) fn renew(&self) {
        if let Some(master) = self.master() {
            self.switch(Endpoint::clone(&master));
        }
    }

    /// Gives the master up without another one at hand: commands wait for one.
    pub fn suspend(&self) {
        if self.master().is_none() {
            return;
        }
        let without = self.topology().without_master(HOME);
        let term = without.node(HOME).map_or(0, |home| home.term);
        // In this order: nobody connects to it again, nothing that it told is served any more, nobody
        // hears of it any more.
        self.topology.send_replace(Arc::new(without));
        if let Some(hook) = self.on_switch.get() {
            hook();
        }
        self.open.give_up(HOME, term);
    }

    /// Whether keys are divided among several nodes.
    pub fn is_cluster(&self) -> bool {
        self.is_cluster
    }

    /// Notes the other servers that belong to the backing.
    pub fn set_others(&self, replicas: &[Endpoint], sentinels: &[Endpoint]) {
        self.topology.send_if_modified(|topology| {
            let changed = topology.with_others(replicas, sentinels).map(Arc::new);
            let changes = changed.is_some();
            *topology = changed.unwrap_or_else(|| Arc::clone(topology));
            changes
        });
    }

    /// Notes that the master says that it is none any more: whoever names it should look again.
    pub fn doubt(&self) {
        self.doubted.notify_one();
    }

    /// Waits until somebody doubts the master.
    pub async fn doubted(&self) {
        self.doubted.notified().await;
    }

    /// The servers behind are about to be stopped, with Respite: nobody need hear that they are away.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Whether they are.
    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Whether the master is somebody else's to name, and a replica is none.
    pub fn follows(&self) -> bool {
        self.follows
    }

    /// Opens a connection as [`Backing::connect`] does, trying again for as long as
    /// `options.timeout` lasts; once, when the backing has been away for that long already.
    ///
    /// # Errors
    /// The last failure.
    pub async fn connect_patiently(
        &self,
        options: ConnectOptions<'_>,
    ) -> Result<Conn, UpstreamError> {
        let end = Instant::now() + options.timeout;
        let away = self.away_since.lock().map(|since| since.elapsed());
        let patient = away.is_none_or(|away| away < options.timeout);
        let mut backoff = Backoff::default();
        loop {
            let mut reached = self.reached(options.key.node);
            let left = end.saturating_duration_since(Instant::now());
            let error = match self
                .connect(ConnectOptions {
                    timeout: left,
                    ..options
                })
                .await
            {
                Ok(conn) => return Ok(conn),
                Err(UpstreamError::ConnectTimeout { address, .. }) => {
                    let millis = options.timeout.as_millis();
                    return Err(UpstreamError::ConnectTimeout { address, millis });
                }
                Err(error) => error,
            };
            if !options.key.login.is_own() && error.is_refusal() {
                return Err(error); // a user's login, which does not become right by waiting
            }
            let wait = backoff.next();
            if !patient || Instant::now() + wait >= end {
                return Err(error);
            }
            sleep_unless_reached(wait, &mut reached).await;
        }
    }

    /// A way to hear of what is known and of changes; what is known already counts as a change.
    pub fn watch(&self) -> watch::Receiver<BackingState> {
        let mut states = self.state.subscribe();
        if states.borrow().hello.is_some() {
            states.mark_changed();
        }
        states
    }

    /// The database that clients begin in.
    pub fn first_db(&self) -> u32 {
        self.first_db
    }

    /// The current master and how to log in to it.
    pub fn master(&self) -> Option<Arc<Endpoint>> {
        self.topology.borrow().node(HOME)?.master.clone()
    }

    /// The address of the current master, without its password.
    pub fn address(&self) -> String {
        self.address_of(HOME)
    }

    /// Whether the monitor's connection is up, and others can be opened; of a cluster, whether every slot has a
    /// master that answers.
    pub fn is_ready(&self) -> bool {
        let is_up = self.ready.load(Ordering::Relaxed) && self.intake.is_open();
        is_up && (!self.is_cluster || self.served.is_all(&self.topology()))
    }

    /// Whether it answers a `PING` with an error, or no login.
    pub fn is_ailing(&self) -> bool {
        self.ailing.load(Ordering::Relaxed) || self.distrusted.load(Ordering::Relaxed) > 0
    }

    /// A command was executed that may change what `PING` is answered with.
    pub fn distrust(&self) {
        self.distrusted.store(STALE_PINGS, Ordering::Relaxed);
    }

    /// Asks for the list of commands again soon, as after `MODULE LOAD`.
    pub fn look_again(&self) {
        self.look_again.notify_one();
    }
}

pub(super) mod apart;
mod nodes;
#[cfg(test)]
mod tests;
