//! Keeps what is known of the backing up to date: whether it can be used, which commands it has, whether the address
//! still leads to the server that is connected.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::backing::Backing;
use super::backing::apart::ask;
use super::connect::{Conn, ConnectOptions};
use super::error::UpstreamError;
use super::link_key::LinkKey;
use super::reached::sleep_unless_reached;
use super::topology::{HOME, NodeId};
use crate::backoff::Backoff;
use crate::resp::Proto;

/// How often the monitor asks whether the backing is there.
pub(super) const PING_EVERY: Duration = Duration::from_secs(1);

impl Backing {
    /// Keeps what is known up to date, for ever.
    pub async fn monitor(self: Arc<Self>) {
        let mut backoff = Backoff::default();
        let mut told = false;
        let mut tries = 0;
        let mut failures = 0;
        loop {
            let mut reached = self.reached(HOME);
            let mut known = reached.count();
            let node = self.monitored(tries);
            let monitored = self.monitor_once(node, &mut backoff, &mut told, &mut known);
            match monitored.await {
                Ok(never) => match never {},
                Err(error) => {
                    tries += 1;
                    failures += 1;
                    self.away_since.lock().get_or_insert_with(Instant::now);
                    self.ailing.store(error.is_refusal(), Ordering::Relaxed);
                    if self.ready.swap(false, Ordering::Relaxed) {
                        failures = 1;
                    }
                    // Of a cluster another node is asked; that one of them is away is told of elsewhere.
                    if !told && failures >= self.monitors() && !self.is_leaving() {
                        warn!(backing = self.address(), "backing not usable: {error}");
                        told = true;
                    }
                    debug!("monitor not connected: {error}");
                }
            }
            if sleep_unless_reached(backoff.next(), &mut reached).await {
                // Its own connection, which was lost again, counts as well: not at once.
                if reached.count() > known {
                    backoff.reset();
                }
                sleep(backoff.next()).await;
            }
        }
    }

    /// Whether the address leads to another server than the one that is connected, and that one
    /// is of no use: it has become a replica, or answers nothing but errors.
    async fn is_another_behind(
        &self,
        conn: &mut Conn,
        pong: &[u8],
        options: ConnectOptions<'_>,
    ) -> Result<bool, UpstreamError> {
        let limit = options.timeout.max(PING_EVERY);
        let replica = is_replica(&ask(conn, &[b"ROLE"], limit).await?);
        if self.follows {
            if replica {
                self.doubt();
            }
            return Ok(false);
        }
        if !replica && !pong.starts_with(b"-") {
            return Ok(false);
        }
        let Ok(mut other) = self.open(options).await else {
            return Ok(false);
        };
        let serves = other.hello.role == "master"
            && ask(&mut other, &[b"PING"], limit).await? == b"+PONG\r\n";
        // What ailed may have passed meanwhile.
        let still = replica || ask(conn, &[b"PING"], limit).await?.starts_with(b"-");
        Ok(serves && still)
    }

    /// Which node is asked what the backing is: behind a cluster another one when that one is away.
    fn monitored(&self, tries: usize) -> NodeId {
        match self.is_cluster() {
            true => self.topology().node_after(HOME, tries).unwrap_or(HOME),
            false => HOME,
        }
    }

    /// How many nodes are asked before the backing is said to be away.
    fn monitors(&self) -> usize {
        match self.is_cluster() {
            true => self.topology().nodes().len(),
            false => 1,
        }
    }

    async fn monitor_once(
        &self,
        node: NodeId,
        backoff: &mut Backoff,
        told: &mut bool,
        known: &mut u64,
    ) -> Result<std::convert::Infallible, UpstreamError> {
        let connect_timeout = self.connect_timeout();
        let options = ConnectOptions {
            key: LinkKey::new(node, 0, Proto::Resp3),
            name: "respite-monitor",
            timeout: connect_timeout,
        };
        let mut conn = self.open(options).await?;
        *known += 1;
        self.intake.tried(None);
        let hello = Arc::new(conn.hello.clone());
        loop {
            let commands = ask(&mut conn, &[b"COMMAND"], connect_timeout).await?;
            if commands.first() != Some(&b'*') {
                let text = String::from_utf8_lossy(&commands).trim_end().to_owned();
                warn!("the backing does not list its commands, the built-in table serves: {text}");
            }
            self.state.send_modify(|state| {
                state.hello = Some(Arc::clone(&hello));
                state.commands = Arc::new(commands);
            });
            *self.away_since.lock() = None;
            self.ready.store(true, Ordering::Relaxed);
            if std::mem::take(told) {
                info!(backing = self.address(), "backing usable again");
            }
            backoff.reset();
            loop {
                let doubt = tokio::select! {
                    () = self.look_again.notified() => break,
                    () = self.intake.doubted() => true,
                    () = sleep(PING_EVERY) => self.intake.is_doubtful(),
                };
                let limit = connect_timeout.max(PING_EVERY);
                if conn.stream.is_outdated() {
                    conn = self.open(options).await?;
                    *known += 1;
                }
                let pong = ask(&mut conn, &[b"PING"], limit).await?;
                self.ailing.store(pong.starts_with(b"-"), Ordering::Relaxed);
                let fewer = |left: u32| left.checked_sub(1);
                let _ = (self.distrusted).fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer);
                if self.is_another_behind(&mut conn, &pong, options).await? {
                    info!(
                        backing = self.address(),
                        "the address leads to another server now"
                    );
                    self.renew();
                }
                if doubt {
                    let tried = self.open(options).await.map(drop);
                    // Not when it is the backing that is away.
                    ask(&mut conn, &[b"PING"], limit).await?;
                    self.intake.tried(tried.as_ref().err());
                }
            }
        }
    }
}

/// Whether a reply to `ROLE` says that it is a replica's.
fn is_replica(role: &[u8]) -> bool {
    role.starts_with(b"*5\r\n$5\r\nslave\r\n")
}
