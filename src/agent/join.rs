//! `respite join`: keeps a node in a service until it is stopped, then has it leave.
//!
//! A Respite that is gone for a while, a backing that has lost its data: it comes back by itself. Only a
//! successor ends it, which another process becomes by joining under the same name.

use std::io;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use super::lease::{NodeLease, Step};
use super::server;
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
    let over = tokio::select! {
        over = step_for_ever(&mut lease, &service, &node) => Some(over),
        () = stop.asked() => None,
    };
    if let Some(over) = over {
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

/// Joins and renews until that is of no use any more; says why.
async fn step_for_ever(lease: &mut NodeLease, service: &str, node: &str) -> String {
    let mut retry = RETRY_FIRST;
    let mut failing = false;
    loop {
        let wait = match lease.step().await {
            Step::Joined { again: false } => {
                info!(service, node, "joined");
                lease.pause()
            }
            Step::Joined { again: true } => {
                info!(service, node, "joined again");
                lease.pause()
            }
            Step::Renewed => {
                if failing {
                    info!(service, node, "renewing the lease again");
                }
                lease.pause()
            }
            Step::Lapsed => {
                warn!(service, node, "the lease has lapsed, joining again");
                Duration::ZERO
            }
            Step::Failed(why) => {
                if !failing {
                    warn!(service, node, "trying again: {why}");
                }
                failing = true;
                sleep(retry / 2 + retry.mul_f64(fastrand::f64() / 2.0)).await;
                retry = (retry * 2).min(RETRY_LONGEST).min(lease.pause());
                continue;
            }
            Step::Over(why) => return why,
        };
        failing = false;
        retry = RETRY_FIRST;
        sleep(wait).await;
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
