//! From a server as a file or the configuration names it to a target that can be logged in to.

use super::super::target::{Credentials, Target};
use crate::config::TargetSpec;

/// Fills in the login of the credential that `spec` names.
pub(super) fn target(spec: &TargetSpec, credentials: &Credentials) -> Result<Target, String> {
    let mut endpoint = spec.address.clone();
    if let Some(name) = &spec.credential {
        credentials.log_in(&mut endpoint, name, None)?;
    }
    Ok(Target {
        id: spec.id.clone(),
        endpoint,
        labels: spec.labels.clone(),
    })
}
