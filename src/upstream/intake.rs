//! Whether the backing takes new connections.
//!
//! Those that are open may work on while it takes no others: a password was set, it has as many
//! clients as it may have, something between refuses. Clients whose commands need a connection of
//! their own notice; so must whoever looks at `/ready`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::error::UpstreamError;

/// Refused connections are logged no more often.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// What a server says of itself for a while, and not of the connection.
const FOR_A_WHILE: [&str; 2] = ["LOADING ", "MASTERDOWN "];

/// What is known of it.
#[derive(Debug)]
pub(super) struct Intake {
    open: AtomicBool,
    /// A connection was refused: somebody should try another.
    doubt: Notify,
    /// One failed otherwise: perhaps the backing is away, which is noticed soon.
    suspected: AtomicBool,
    logged: Mutex<Option<Instant>>,
}

impl Default for Intake {
    fn default() -> Self {
        Intake {
            open: AtomicBool::new(true),
            doubt: Notify::new(),
            suspected: AtomicBool::new(false),
            logged: Mutex::default(),
        }
    }
}

impl Intake {
    /// Whether new connections were taken when that was last looked at.
    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Relaxed)
    }

    /// A connection could not be opened, although others work.
    pub(super) fn failed(&self, error: &UpstreamError) {
        if is_about_the_master(error) {
            return;
        }
        self.suspected.store(true, Ordering::Relaxed);
        if let UpstreamError::Refused { reply, .. } = error
            && !FOR_A_WHILE.iter().any(|word| reply.starts_with(word))
        {
            let mut logged = self.logged.lock();
            if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                *logged = Some(Instant::now());
                drop(logged);
                warn!("backing not usable for a new connection: {error}");
            }
            self.doubt.notify_one();
        }
    }

    /// Waits until a connection was refused.
    pub(super) async fn doubted(&self) {
        self.doubt.notified().await;
    }

    /// Whether another connection should be tried: the last one could not be opened.
    pub(super) fn is_doubtful(&self) -> bool {
        self.suspected.load(Ordering::Relaxed) || !self.is_open()
    }

    /// Notes that one more connection could be opened, or why not.
    pub(super) fn tried(&self, error: Option<&UpstreamError>) {
        if error.is_some_and(is_about_the_master) {
            return;
        }
        self.suspected.store(false, Ordering::Relaxed);
        let was_open = self.open.swap(error.is_none(), Ordering::Relaxed);
        match error {
            None if !was_open => info!("the backing takes new connections again"),
            Some(error) if was_open => warn!("backing not usable for new connections: {error}"),
            _ => {}
        }
    }
}

/// Whether there is no master to connect to, which is told elsewhere.
fn is_about_the_master(error: &UpstreamError) -> bool {
    matches!(
        error,
        UpstreamError::NoMaster | UpstreamError::NotMaster { .. }
    )
}
