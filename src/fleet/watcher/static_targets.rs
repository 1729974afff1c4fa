//! The servers that the configuration names one by one, `[[fleet.static]]`.

use std::sync::Arc;

use super::spec::{Word, target};
use super::{TargetSink, Watcher, Watching};
use crate::config::TargetSpec;
use crate::fleet::Credentials;

/// The name and kind of this watcher.
pub(super) const STATIC: &str = "static";

/// Emits the configured servers once; a reload makes another of these.
#[derive(Debug)]
pub struct StaticWatcher {
    listed: Vec<TargetSpec>,
    credentials: Credentials,
}

impl StaticWatcher {
    /// Takes `[[fleet.static]]` and the logins that it names.
    pub fn new(listed: Vec<TargetSpec>, credentials: Credentials) -> Self {
        StaticWatcher {
            listed,
            credentials,
        }
    }
}

impl Watcher for StaticWatcher {
    fn name(&self) -> String {
        STATIC.to_owned()
    }

    fn kind(&self) -> &'static str {
        STATIC
    }

    fn watch(self: Arc<Self>, sink: TargetSink) -> Watching {
        Box::pin(async move {
            let targets = self
                .listed
                .iter()
                .map(|s| target(s, Word::Configured, &self.credentials));
            match targets.collect::<Result<Vec<_>, _>>() {
                Ok(targets) => sink.set(targets),
                Err(reason) => sink.failed(reason),
            }
            std::future::pending().await
        })
    }
}
