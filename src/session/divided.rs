//! What is not served where keys are divided among several nodes: it is refused, because one node's answer
//! would be taken for that of all, or would hold at that node alone.

use super::client::Session;
use super::pinning::database;
use super::request::Request;
use super::settings::Settings;
use super::worker::Worker;
use crate::command::{Handling, Local};

/// What a client is told.
const UNSERVED: &str =
    "ERR Respite does not serve this command behind a cluster, see docs/cluster.md";
/// Redis' words.
const ONE_DATABASE: &str = "ERR SELECT is not allowed in cluster mode";

impl Session {
    /// What a client is told whose command is one of those.
    #[inline]
    pub(super) fn unserved(
        &self,
        request: Request<'_>,
        settings: &Settings,
    ) -> Option<&'static str> {
        let Worker {
            directions, shared, ..
        } = &*self.worker;
        let (is_unserved, text) = match request.handling() {
            Handling::Local(Local::Client) => {
                let is_unserved = directions.is_divided() && leaves_state(request);
                (is_unserved, UNSERVED)
            }
            Handling::Local(Local::Select) => {
                let is_unserved = shared.backing.is_cluster() && selects_another(request, settings);
                (is_unserved, ONE_DATABASE)
            }
            _ => return None,
        };
        is_unserved.then_some(text)
    }
}

/// Whether a `SELECT` could succeed at the nodes of a cluster that has more than one database: a Valkey's may, a Redis'
/// says itself that it has one. Connections to other nodes would be in the first.
#[cold]
fn selects_another(request: Request<'_>, settings: &Settings) -> bool {
    let is_redis = (settings.hello.as_ref()).is_some_and(|hello| hello.server == "redis");
    !is_redis && database(request.args).is_some_and(|db| db != 0)
}

/// Whether a `CLIENT` command leaves state in one connection, which says nothing to the other nodes.
#[cold]
fn leaves_state(request: Request<'_>) -> bool {
    let sub = request.args.get(1).unwrap_or_default();
    sub.eq_ignore_ascii_case(b"TRACKING") || sub.eq_ignore_ascii_case(b"NO-TOUCH")
}
