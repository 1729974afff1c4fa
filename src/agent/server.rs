//! The Respite that an agent talks to, and what its errors mean for the agent.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::{LoginArgs, ServerArgs};
use crate::config::{Endpoint, Secret};
use crate::upstream::{Backing, ControlError, ControlLink, Sent, UpstreamError, client_connector};

/// How long a connection may take, and how long a reply.
const CONNECT: Duration = Duration::from_secs(2);
const REPLY: Duration = Duration::from_secs(5);

/// The codes of errors that pass by themselves: Respite's own, and those of a Redis that is not
/// ready.
const PASSING: [&str; 9] = [
    "UPSTREAM",
    "LOADING",
    "BUSY",
    "TRYAGAIN",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "READONLY",
    "MISCONF",
    "OOM",
];

/// What an error asks of the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// Try again; the command may have been executed.
    Uncertain,
    /// Try again; the command was not executed.
    NotDone,
    /// Trying again is of no use.
    Final,
}

/// Makes a link to the Respite that the flags name; it connects when it is first used.
pub(super) fn link(args: &ServerArgs) -> Result<Arc<ControlLink>, String> {
    let endpoint = endpoint(&args.server, &args.login)?;
    let ca = args.login.ca.as_deref();
    let connector = endpoint.tls.then(|| client_connector(ca));
    let connector = connector
        .transpose()
        .map_err(|error| format!("--ca: {error}"))?;
    let server = Backing::new(endpoint, connector);
    Ok(ControlLink::new(server, CONNECT, REPLY))
}

/// An address for people: without a password.
pub(super) fn shown(server: &str) -> &str {
    server.rsplit_once('@').map_or(server, |(_, rest)| rest)
}

/// A Respite, HOST:PORT or a URL, and who logs in to it.
fn endpoint(server: &str, login: &LoginArgs) -> Result<Endpoint, String> {
    let url = match server.contains("://") {
        true => server.to_owned(),
        false => format!("redis://{server}"),
    };
    let parsed: Result<Endpoint, _> = url.parse();
    let mut endpoint = parsed.map_err(|error| format!("--server: {error}"))?;
    if let Some(file) = &login.password_file {
        let password = std::fs::read_to_string(file)
            .map_err(|error| format!("--password-file: {}: {error}", file.display()))?;
        let password = password.strip_suffix('\n').unwrap_or(&password);
        endpoint.password = Some(Secret::new(password));
    }
    if login.user.is_some() {
        endpoint.user.clone_from(&login.user);
    }
    Ok(endpoint)
}

/// Judges an error reply or a failed connection.
pub(super) fn judge(error: &ControlError) -> Failure {
    match error {
        ControlError::Upstream(UpstreamError::Refused { reply, .. }, _) => {
            let code = reply.split(' ').next().unwrap_or_default();
            if PASSING.contains(&code) {
                Failure::NotDone
            } else {
                Failure::Final
            }
        }
        ControlError::Upstream(_, Sent::No) => Failure::NotDone,
        ControlError::Upstream(_, Sent::Yes) => Failure::Uncertain,
        ControlError::Server(_) if PASSING.iter().any(|code| error.has_code(code)) => {
            Failure::Uncertain
        }
        // The limit of clients: somebody may go.
        ControlError::Server(text) if text.contains("max number of clients") => Failure::NotDone,
        ControlError::Server(_) => Failure::Final,
    }
}
