//! Commands of Respite's own: what discovery, the bus and the fleet keep in the backing.
//!
//! Each thread that asks gets a multiplexed connection of its own, opened when it first needs one
//! and again after it was lost, so that a command never crosses threads. The `redis` crate speaks
//! on it; sockets, TLS and credentials are those of every other connection to the backing. On a cluster each command
//! goes to the node that has its key (`placed`).

mod placed;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use parking_lot::Mutex;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, RedisConnectionInfo, RedisError, Script, ToRedisArgs};
use redis::{ProtocolVersion, Value};
use tokio::sync::OnceCell;

use super::backing::Backing;
use super::bounded::{Bounded, MESSAGE_BYTES, REPLY_BYTES};
use super::connect::{Conn, ConnectOptions};
use super::error::{Sent, UpstreamError};
use super::link_key::LinkKey;
use super::oversized::Oversized;
use super::topology::{HOME, NodeId};
use crate::resp::Proto;
use crate::tasks::{self, Kind};

/// What `timeouts.failover` is until the configuration is known.
const FAILOVER: Duration = Duration::from_secs(20);

/// What a command to the backing ended with, instead of a reply.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ControlError {
    /// The backing could not be asked, or did not answer.
    #[error("{}", .0.client_text(*.1))]
    Upstream(UpstreamError, Sent),
    /// The backing's own error, with its code.
    #[error("{0}")]
    Server(String),
}

/// Connections for Respite's own commands; shared by all threads.
pub struct ControlLink {
    backing: Arc<Backing>,
    /// What one command waits for, at most.
    patience: Mutex<Patience>,
    open: DashMap<(ThreadId, LinkKey), Shared>,
    /// The nodes of a cluster that cannot be reached, and since when.
    away: DashMap<NodeId, Instant>,
    oversized: Oversized,
}

#[derive(Debug, Clone, Copy)]
struct Patience {
    connect: Duration,
    reply: Duration,
    /// How long a slot of a cluster may be without a master that serves it.
    failover: Duration,
}

/// A script for the backing.
#[derive(Debug)]
pub struct ControlScript {
    code: &'static str,
    hash: String,
    /// Nothing is changed by its being executed once more.
    repeatable: bool,
}

impl ControlScript {
    /// Names a script by its hash, which is the work of a moment: make it once.
    #[must_use]
    pub fn new(code: &'static str) -> Self {
        let hash = Script::new(code).get_hash().to_owned();
        ControlScript {
            code,
            hash,
            repeatable: false,
        }
    }

    /// The same of a script that may be executed once more than it was asked for.
    #[must_use]
    pub fn repeatable(self) -> Self {
        ControlScript {
            repeatable: true,
            ..self
        }
    }
}

/// A thread's connection: opened once, by the first that needs it; replaced when it is lost.
type Shared = Arc<OnceCell<Open>>;

/// A connection, and whether it has ended.
type Open = (MultiplexedConnection, Arc<AtomicBool>);

impl ControlError {
    /// The error reply for a client, without the `-`.
    #[must_use]
    pub fn client_text(&self) -> String {
        self.to_string()
    }

    /// Whether the backing's own error has this code.
    #[must_use]
    pub fn has_code(&self, code: &str) -> bool {
        matches!(self, Self::Server(text) if text.split(' ').next() == Some(code))
    }
}

impl fmt::Debug for ControlLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlLink")
            .field("backing", &self.backing)
            .finish_non_exhaustive()
    }
}

impl ControlLink {
    /// No connection yet. `connect` and `reply` limit what one command waits for.
    #[must_use]
    pub fn new(backing: Arc<Backing>, connect: Duration, reply: Duration) -> Arc<Self> {
        Arc::new(ControlLink {
            backing,
            patience: Mutex::new(Patience {
                connect,
                reply,
                failover: FAILOVER,
            }),
            open: DashMap::new(),
            away: DashMap::new(),
            oversized: Oversized::default(),
        })
    }

    /// Changes what one command waits for. Connections that are open know the old limits: they are used no more.
    pub fn set_patience(&self, connect: Duration, reply: Duration) {
        let mut patience = self.patience.lock();
        (patience.connect, patience.reply) = (connect, reply);
        drop(patience);
        self.open.clear();
    }

    /// Changes how long one command waits for its slot of a cluster to have a master.
    pub fn set_failover(&self, failover: Duration) {
        self.patience.lock().failover = failover;
    }

    fn patience(&self) -> Patience {
        *self.patience.lock()
    }

    /// The backing that is asked.
    #[must_use]
    pub fn backing(&self) -> &Arc<Backing> {
        &self.backing
    }

    /// Executes one command that does not block, and is about no key.
    ///
    /// # Errors
    /// The backing's error reply, or why it could not be asked. A command that may have been executed is never
    /// sent again.
    pub async fn command(&self, command: &Cmd) -> Result<Value, ControlError> {
        self.once(HOME, false, command).await
    }

    /// Executes one command that does not block, at a node.
    ///
    /// # Errors
    /// As [`ControlLink::command`].
    pub async fn command_on(&self, node: NodeId, command: &Cmd) -> Result<Value, ControlError> {
        self.once(node, false, command).await
    }

    /// Executes one command that does not block, where this key is.
    ///
    /// # Errors
    /// As [`ControlLink::command`].
    pub async fn command_at(&self, key: &str, command: &Cmd) -> Result<Value, ControlError> {
        self.at(key, command, false).await
    }

    async fn at(&self, key: &str, command: &Cmd, repeatable: bool) -> Result<Value, ControlError> {
        match self.backing.is_cluster() {
            true => self.placed(key, command, repeatable).await,
            false => self.once(HOME, false, command).await,
        }
    }

    /// Executes a command at a node; `asking` for a slot that is about to be there.
    async fn once(&self, node: NodeId, asking: bool, command: &Cmd) -> Result<Value, ControlError> {
        let shared = self.shared(node);
        let reply = Some(self.patience().reply);
        let opened = shared.get_or_try_init(|| self.open(node, "respite-control", reply));
        let mut conn = opened
            .await
            .map_err(|error| ControlError::Upstream(error, Sent::No))?
            .0
            .clone();
        let replied = match asking {
            false => conn.send_packed_command(command).await,
            true => {
                let mut both = redis::pipe();
                both.cmd("ASKING").add_command(command.clone());
                let replied = conn.send_packed_commands(&both, 1, 1).await;
                replied.map(|mut replies| replies.pop().unwrap_or(Value::Nil))
            }
        };
        replied.and_then(Value::extract_error).map_err(|error| {
            let failed = self.failed(&shared, &error);
            match &failed {
                ControlError::Server(text) => self.oversized.note_refused(text),
                ControlError::Upstream(why, _) => self.oversized.note_lost(&why.to_string()),
            }
            failed
        })
    }

    /// Executes a script, which the backing keeps from the first time on, where its keys are: all in one slot. On
    /// a cluster it gets one more key, which is never there.
    ///
    /// # Errors
    /// As [`ControlLink::command`].
    pub async fn script(
        &self,
        script: &ControlScript,
        keys: &[impl AsRef<str>],
        args: &[impl ToRedisArgs],
    ) -> Result<Value, ControlError> {
        let first = keys.first().map_or("", AsRef::as_ref);
        let absent = self.backing.is_cluster().then(|| placed::absent(first));
        let command = |name: &str, what: &str| {
            let mut command = redis::cmd(name);
            command.arg(what).arg(keys.len() + absent.iter().len());
            keys.iter().for_each(|key| {
                command.arg(key.as_ref());
            });
            command.arg(absent.as_ref()).arg(args);
            command
        };
        let repeatable = script.repeatable;
        let known = command("EVALSHA", &script.hash);
        match self.at(first, &known, repeatable).await {
            Err(error) if error.has_code("NOSCRIPT") => {
                let whole = command("EVAL", script.code);
                self.at(first, &whole, repeatable).await
            }
            known => known,
        }
    }

    /// Opens a connection for one user alone, who may block on it as long as it likes. `name` is
    /// what `CLIENT LIST` of the backing shows. It leads to one node: nothing there is about keys.
    ///
    /// # Errors
    /// When the backing cannot be reached.
    pub async fn dedicated(&self, name: &str) -> Result<MultiplexedConnection, ControlError> {
        let opened = self.open(HOME, name, None).await;
        opened
            .map(|(conn, _)| conn)
            .map_err(|error| ControlError::Upstream(error, Sent::No))
    }

    /// Opens a connection that listens to a channel, at the node that has a key of that name: there `PUBLISH` counts
    /// those who listen, and from everywhere they hear it. `name` is what `CLIENT LIST` of the backing shows.
    ///
    /// # Errors
    /// When the backing cannot be reached, or refuses.
    pub async fn listen(&self, name: &str, channel: &str) -> Result<PubSub, ControlError> {
        let node = self.node_of(channel).unwrap_or(HOME);
        let mut listener = self.listener_at(node, name).await?;
        let subscribed = listener.subscribe(channel);
        self.in_time(subscribed).await?;
        Ok(listener)
    }

    /// Opens a connection that can listen to channels, at any node.
    ///
    /// # Errors
    /// When the backing cannot be reached.
    pub async fn listener(&self, name: &str) -> Result<PubSub, ControlError> {
        self.listener_at(HOME, name).await
    }

    async fn listener_at(&self, node: NodeId, name: &str) -> Result<PubSub, ControlError> {
        let conn = self.connect(node, name).await;
        let conn = conn.map_err(|error| ControlError::Upstream(error, Sent::No))?;
        let stream = Bounded::new(conn.stream, MESSAGE_BYTES);
        self.in_time(PubSub::new(&connection_info(), stream)).await
    }

    /// What a connection is asked that is nobody else's yet.
    async fn in_time<T>(
        &self,
        asked: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, ControlError> {
        let not_sent = |error| ControlError::Upstream(error, Sent::No);
        match tokio::time::timeout(self.patience().reply, asked).await {
            Ok(replied) => replied.map_err(|error| {
                server_error(&error)
                    .unwrap_or_else(|| not_sent(UpstreamError::Lost(error.to_string())))
            }),
            Err(_) => Err(not_sent(UpstreamError::ReplyTimeout)),
        }
    }

    /// What Respite keeps for itself is where clients begin.
    fn key(&self, node: NodeId) -> LinkKey {
        LinkKey::new(node, self.backing.first_db(), Proto::Resp2)
    }

    fn shared(&self, node: NodeId) -> Shared {
        let mut shared = self
            .open
            .entry((thread::current().id(), self.key(node)))
            .or_default();
        // One that the backing has closed is found before a command is lost to it.
        if shared
            .get()
            .is_some_and(|(_, ended)| ended.load(Ordering::Acquire))
        {
            *shared = Shared::default();
        }
        Arc::clone(&shared)
    }

    async fn open(
        &self,
        node: NodeId,
        name: &str,
        reply: Option<Duration>,
    ) -> Result<Open, UpstreamError> {
        let conn = self.connect(node, name).await?;
        let config = AsyncConnectionConfig::new().set_response_timeout(reply);
        let opened = MultiplexedConnection::new_with_config(
            &connection_info(),
            Bounded::new(conn.stream, REPLY_BYTES),
            config,
        )
        .await;
        let (conn, driver) = opened.map_err(|error| UpstreamError::Lost(error.to_string()))?;
        let ended = Arc::new(AtomicBool::new(false));
        let tell = Arc::clone(&ended);
        tokio::spawn(tasks::named(Kind::Backing, async move {
            driver.await;
            tell.store(true, Ordering::Release);
        }));
        Ok((conn, ended))
    }

    async fn connect(&self, node: NodeId, name: &str) -> Result<Conn, UpstreamError> {
        let options = ConnectOptions {
            key: self.key(node),
            name,
            timeout: self.patience().connect,
        };
        let connected = self.backing.connect_patiently(options).await;
        if connected.is_err() && self.backing.is_cluster() {
            self.backing.doubt();
        }
        connected
    }

    fn failed(&self, shared: &Shared, error: &RedisError) -> ControlError {
        if let Some(refused) = server_error(error) {
            return refused;
        }
        // The next command opens a new connection.
        self.open.retain(|_, held| !Arc::ptr_eq(held, shared));
        let error = if error.is_timeout() {
            UpstreamError::ReplyTimeout
        } else {
            UpstreamError::Lost(error.to_string())
        };
        ControlError::Upstream(error, Sent::Yes)
    }
}

/// The backing's own error, if it is one.
fn server_error(error: &RedisError) -> Option<ControlError> {
    let code = error.code().filter(|_| !error.is_io_error())?;
    let text = error.detail().unwrap_or_default();
    Some(ControlError::Server(
        format!("{code} {text}").trim_end().to_owned(),
    ))
}

/// The handshake is done already.
fn connection_info() -> RedisConnectionInfo {
    RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name()
}
