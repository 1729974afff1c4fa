//! The commands that get, renew and give back the lease of one node.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Value, from_redis_value};

use super::facts;
use super::server::{self, Failure};
use crate::cli::JoinArgs;
use crate::upstream::{ControlError, ControlLink};

/// A node on its way into the service or in it.
#[derive(Debug)]
pub(super) struct NodeLease {
    link: Arc<ControlLink>,
    args: JoinArgs,
    lease: Option<String>,
    /// The node has been in before, and must not push out whoever took its place since.
    joined_before: bool,
    /// A `JOIN` may have been executed of which nothing was heard: the name may be taken by it.
    unheard: bool,
}

/// What one step ended with.
#[derive(Debug)]
pub(super) enum Step {
    /// The node has joined; whether it had been in before.
    Joined { again: bool },
    /// The lease is renewed.
    Renewed,
    /// The lease is gone; the next step joins again.
    Lapsed,
    /// It did not work, and may later.
    Failed(String),
    /// It will not work.
    Over(String),
}

impl NodeLease {
    pub(super) fn new(link: Arc<ControlLink>, args: JoinArgs) -> Self {
        NodeLease {
            link,
            args,
            lease: None,
            joined_before: false,
            unheard: false,
        }
    }

    /// Joins, or renews the lease.
    pub(super) async fn step(&mut self) -> Step {
        match self.lease.clone() {
            Some(lease) => self.renew(&lease).await,
            None => self.join().await,
        }
    }

    /// The time between two renewals: a third of the TTL, a little less by chance so that the agents of
    /// many nodes do not come at the same moment.
    pub(super) fn pause(&self) -> Duration {
        let third = Duration::from_secs_f64(self.args.ttl.min(1e9) / 3.0);
        third.mul_f64(1.0 - 0.2 * fastrand::f64())
    }

    /// Gives the lease back. True when there was one and the node is gone.
    pub(super) async fn leave(&mut self) -> Result<bool, ControlError> {
        let Some(lease) = self.lease.take() else {
            return Ok(false);
        };
        let mut leave = self.command("DISCOVERY.LEAVE");
        leave.arg("LEASE").arg(lease);
        let left = self.link.command(&leave).await?;
        Ok(left == Value::Int(1))
    }

    async fn join(&mut self) -> Step {
        let join = self.join_command().await;
        let replied = self.link.command(&join).await;
        let lease = replied.map(lease_of);
        match lease {
            Ok(Some(lease)) => {
                let again = std::mem::replace(&mut self.joined_before, true);
                self.lease = Some(lease);
                self.unheard = false;
                Step::Joined { again }
            }
            Ok(None) => Step::Over("the server replied with no lease: is it a Respite?".to_owned()),
            Err(error) if error.has_code("EXISTS") => Step::Over(self.taken_over()),
            Err(error) => {
                let failure = server::judge(&error);
                self.unheard |= failure == Failure::Uncertain;
                self.failed(failure, &error)
            }
        }
    }

    async fn join_command(&self) -> Cmd {
        let args = &self.args;
        let mut join = self.command("DISCOVERY.JOIN");
        join.arg("TTL").arg(seconds(args.ttl));
        if let Some((host, port)) = &args.addr {
            join.arg("ADDR").arg(host).arg(port);
        }
        if let Some(keep) = args.deregister_after {
            join.arg("DEREGISTERAFTER").arg(seconds(keep));
        }
        join.arg("TAGS").arg(args.tags.len()).arg(&args.tags);
        let facts = facts::of_this_host(&args.facts).await;
        join.arg("FACTS").arg(facts.len());
        for (name, value) in facts {
            join.arg(name).arg(value);
        }
        if self.joined_before && !self.unheard {
            join.arg("NX");
        }
        join
    }

    async fn renew(&mut self, lease: &str) -> Step {
        let mut heartbeat = self.command("DISCOVERY.HEARTBEAT");
        heartbeat.arg("LEASE").arg(lease);
        match self.link.command(&heartbeat).await {
            Ok(_) => Step::Renewed,
            Err(error) if error.has_code("NOLEASE") => {
                self.lease = None;
                Step::Lapsed
            }
            Err(error) if error.has_code("LEASEMISMATCH") => {
                self.lease = None;
                Step::Over(self.taken_over())
            }
            Err(error) => self.failed(server::judge(&error), &error),
        }
    }

    fn failed(&self, failure: Failure, error: &ControlError) -> Step {
        match failure {
            Failure::Final => Step::Over(error.to_string()),
            Failure::Uncertain | Failure::NotDone => Step::Failed(error.to_string()),
        }
    }

    fn taken_over(&self) -> String {
        let JoinArgs { service, node, .. } = &self.args;
        format!("another process has joined {service} as {node} and holds the lease now")
    }

    fn command(&self, name: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(&self.args.service).arg(&self.args.node);
        command.arg("GROUP").arg(&self.args.group);
        command
    }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

/// The lease in the reply to `JOIN`, a flat list of names and values.
fn lease_of(reply: Value) -> Option<String> {
    let Value::Array(values) = reply else {
        return None;
    };
    let at = values
        .iter()
        .step_by(2)
        .position(|name| matches!(name, Value::BulkString(name) if name == b"lease"))?;
    from_redis_value(values.into_iter().nth(at * 2 + 1)?).ok()
}
