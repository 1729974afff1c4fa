//! How a server ends: by a signal, or by handing its sockets to a successor; clients finish what they have begun.

use std::io;
use std::time::{Duration, Instant};

use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing::{error, info, warn};

use super::handover::{notify, start_successor};
use super::{App, Failure, cannot, gateway};
use crate::session::mailbox::ToWorker;
use crate::tasks::{self, Kind};

/// A client that is silent for so long is taken to wait for nothing while another process takes over.
const SILENT: Duration = Duration::from_secs(1);
/// How often a drain looks whether the last client has gone.
const DRAIN_LOOK: Duration = Duration::from_millis(10);

/// The signals that the server listens to.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    upgrade: Signal,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(cannot("listen for signals"));
        Ok(Signals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            hangup: listen(SignalKind::hangup())?,
            upgrade: listen(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a signal to stop.
    pub(super) async fn stop(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

impl App {
    pub(super) async fn until_stopped(self, mut signals: Signals) -> Result<(), Failure> {
        loop {
            tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.upgrade.recv() => match self.hand_over().await {
                    Ok(()) => {
                        self.leave(signals).await;
                        return Ok(());
                    }
                    Err(error) => warn!("no successor, this process goes on: {error}"),
                },
                _ = signals.hangup.recv() => {
                    let reloaded = tasks::catch(Kind::Upkeep, self.reloader.reload()).await;
                    if let Some(Err(error)) = reloaded {
                        warn!("the old configuration stays in force: {error}");
                    }
                }
            }
        }
        notify(&[NotifyState::Stopping]);
        self.drain(signals).await;
        Ok(())
    }

    /// Starts a successor, which then has the listening sockets.
    async fn hand_over(&self) -> io::Result<()> {
        if self.embedded.is_some() {
            let why = "the embedded Redis belongs to this process: name an upstream of its own";
            return Err(io::Error::other(why));
        }
        let sockets = self.listening.lock().await.sockets()?;
        let successor = start_successor(self.program.clone(), sockets).await?;
        self.listening.lock().await.hand_over().await;
        info!("process {successor} serves new clients");
        Ok(())
    }

    /// Serves the clients that there are, until they have gone or it has taken too long.
    async fn leave(self, mut signals: Signals) {
        let limit = self.shared.settings().timeouts.handover;
        self.shared.broadcast(|| ToWorker::Leave(SILENT));
        self.until_idle(limit, &mut signals).await;
        self.drain(signals).await;
    }

    /// Waits until nobody is owed anything, at most so long, and not after a signal to stop.
    async fn until_idle(&self, limit: Duration, signals: &mut Signals) {
        let end = Instant::now() + limit;
        while !self.is_idle().await && Instant::now() < end {
            tokio::select! {
                () = tokio::time::sleep(DRAIN_LOOK) => {}
                () = signals.stop() => break,
            }
        }
    }

    /// Whether nobody is owed anything.
    async fn is_idle(&self) -> bool {
        self.shared.clients.is_empty() && self.listening.lock().await.connections() == 0
    }

    /// Stops accepting, lets clients finish, ends the workers, then the embedded server.
    async fn drain(self, mut signals: Signals) {
        self.listening.lock().await.drain().await;
        let limit = self.shared.settings().timeouts.drain;
        let clients = self.shared.clients.len();
        info!(
            clients,
            "stopping: finishing what is in flight, at most {limit:?}"
        );
        self.shared.broadcast(|| ToWorker::Drain);
        self.until_idle(limit, &mut signals).await;
        let left = self.shared.clients.len();
        if left > 0 {
            warn!(clients = left, "closing clients that are not done");
        }
        self.shared.broadcast(|| ToWorker::Stop);
        let gateways = self.listening.lock().await.take_gateways();
        let (workers, embedded) = (self.workers, self.embedded);
        let ended = tokio::task::spawn_blocking(move || {
            gateways.into_iter().for_each(gateway::end);
            for worker in workers {
                let _ = worker.join(); // a panic was logged
            }
        });
        let workers_ended = ended.await;
        self.bus.close().await;
        self.fleet.leave().await;
        if embedded.is_some() {
            self.shared.backing.leave();
        }
        let ended = tokio::task::spawn_blocking(move || drop(embedded));
        if workers_ended.and(ended.await).is_err() {
            error!("could not stop everything");
        }
        info!("stopped");
    }
}
