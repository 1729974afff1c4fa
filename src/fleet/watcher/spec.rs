//! From a server as a file or the configuration names it to a target that can be logged in to.

use super::super::target::{Credentials, Target};
use crate::config::TargetSpec;

/// Whose word a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    /// The configuration names it.
    Configured,
    /// It was found: it gets a login only where that is meant for its address.
    Found,
}

/// Fills in the login of the credential that `spec` names.
pub(super) fn target(
    spec: &TargetSpec,
    word: Word,
    credentials: &Credentials,
) -> Result<Target, String> {
    let mut endpoint = spec.address.clone();
    match (&spec.credential, word) {
        (None, _) => {}
        (Some(name), Word::Configured) => credentials.log_in(&mut endpoint, name)?,
        (Some(name), Word::Found) => credentials.log_in_to_found(&mut endpoint, name, None)?,
    }
    Ok(Target {
        id: spec.id.clone(),
        endpoint,
        labels: spec.labels.clone(),
    })
}
