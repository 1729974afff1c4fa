//! `respite join`: keeps a node in a service until it is stopped, then has it leave.
//!
//! A Respite that is gone for a while, a backing that has lost its data: it comes back by itself. Only a
//! successor ends it, which another process becomes by joining under the same name.

use std::io;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::lease::{NodeLease, Step};
use super::server;
use crate::backoff::Backoff;
use crate::cli::JoinArgs;
use crate::config::LogFormat;
use crate::telemetry;

/// The waits between attempts that fail.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_LONGEST: Duration = Duration::from_secs(2);
/// How long leaving may take.
const LEAVE: Duration = Duration::from_secs(3);

/// Runs the agent. Returns 0 after a signal to stop, 1 when the node was taken over or refused, 2 for
/// flags that make no sense.
pub fn run(args: JoinArgs) -> ExitCode {
    if let Err(error) = telemetry::init(LogFormat::Text, "info") {
        eprintln!("respite: {error}");
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(failed) => {
            error!("cannot start a runtime: {failed}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(keep_joined(args));
    // A name server that does not answer must not hold it up.
    runtime.shutdown_background();
    code
}

async fn keep_joined(args: JoinArgs) -> ExitCode {
    let link = match server::link(&args.server) {
        Ok(link) => link,
        Err(refused) => {
            error!("{refused}");
            return ExitCode::from(2);
        }
    };
    let mut stop = match Stop::listen() {
        Ok(stop) => stop,
        Err(failed) => {
            error!("cannot listen for signals: {failed}");
            return ExitCode::FAILURE;
        }
    };
    let (service, node) = (args.service.clone(), args.node.clone());
    let mut lease = NodeLease::new(link, args);
    if let Some(over) = step_until_stopped(&mut lease, &mut stop, &service, &node).await {
        error!(service, node, "{over}");
        return ExitCode::FAILURE;
    }
    match timeout(LEAVE, lease.leave()).await {
        Ok(Ok(true)) => info!(service, node, "left"),
        Ok(Ok(false)) => info!(service, node, "stopped; the node was not in"),
        Ok(Err(failed)) => warn!(service, node, "could not leave: {failed}"),
        Err(_) => warn!(service, node, "could not leave in {LEAVE:?}: no answer"),
    }
    ExitCode::SUCCESS
}

/// Joins and renews until a signal to stop, or until that is of no use any more; says why.
async fn step_until_stopped(
    lease: &mut NodeLease,
    stop: &mut Stop,
    service: &str,
    node: &str,
) -> Option<String> {
    let mut failures = Failures(Backoff::new(RETRY_FIRST, RETRY_LONGEST));
    loop {
        let (step, stopped) = {
            let mut step = pin!(lease.step());
            tokio::select! {
                step = &mut step => (Some(step), false),
                // A step that is under way is finished: the lease that it brings has to be given back.
                () = stop.asked() => (timeout(LEAVE, step).await.ok(), true),
            }
        };
        let wait = match step {
            Some(Step::Over(why)) => return Some(why),
            Some(step) => failures.after(&step, lease.pause(), service, node),
            None => Duration::ZERO,
        };
        if stopped {
            return None;
        }
        tokio::select! {
            () = sleep(wait) => {}
            () = stop.asked() => return None,
        }
    }
}

/// How often steps have failed in a row.
struct Failures(Backoff);

impl Failures {
    /// Tells of a step, and gives the wait until the next one.
    fn after(&mut self, step: &Step, pause: Duration, service: &str, node: &str) -> Duration {
        match step {
            Step::Joined { again: false } => info!(service, node, "joined"),
            Step::Joined { again: true } => info!(service, node, "joined again"),
            Step::Renewed if self.0.has_failed() => {
                info!(service, node, "renewing the lease again")
            }
            Step::Renewed | Step::Over(_) => {}
            Step::Lapsed => {
                warn!(service, node, "the lease has lapsed, joining again");
                return Duration::ZERO;
            }
            Step::Failed(why) => {
                if !self.0.has_failed() {
                    warn!(service, node, "trying again: {why}");
                }
                return self.0.next().min(pause);
            }
        }
        self.0.reset();
        pause
    }
}

/// The signals that end the agent.
struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    fn listen() -> io::Result<Self> {
        Ok(Stop {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
