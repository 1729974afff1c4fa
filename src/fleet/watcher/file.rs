//! Files of targets, `[fleet.file]`: read when they change, each on its own.
//!
//! What a file says is the affair of [`config`](crate::config::read_targets). Here is when it is read:
//! the system tells of changes in the folders (`folders`), and every so often each file is looked
//! at anyway. A file that is broken keeps its last targets; one that is gone takes them along.

mod folders;
mod memory;

pub use memory::FileMemory;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use self::folders::Folders;
use super::{TargetSink, Watcher, Watching};
use crate::config::FileTargets;
use crate::fleet::Credentials;

/// How long a change is left to settle: who writes a file in pieces is not read in between.
const SETTLE: Duration = Duration::from_millis(100);

/// Watches the configured files.
#[derive(Debug)]
pub struct FileWatcher {
    settings: FileTargets,
    credentials: Credentials,
    memory: Arc<FileMemory>,
}

impl FileWatcher {
    /// Takes `[fleet.file]`, the logins that the files name, and what is known of the files from a
    /// former watcher.
    pub fn new(settings: FileTargets, credentials: Credentials, memory: Arc<FileMemory>) -> Self {
        FileWatcher {
            settings,
            credentials,
            memory,
        }
    }

    async fn run(self: Arc<Self>, sink: TargetSink) {
        let changed = Arc::new(Notify::new());
        let mut folders = Folders::new(Arc::clone(&changed));
        let mut last = None;
        loop {
            let (watcher, sink) = (Arc::clone(&self), sink.clone());
            // Disks can be slow, and a folder may be on another machine.
            let looked = spawn_blocking(move || {
                folders.follow(&watcher.settings.paths);
                let paths = &watcher.settings.paths;
                let looked = watcher.memory.look(paths, &watcher.credentials);
                match &looked.problem {
                    None if last.as_ref() == Some(&looked) => sink.well(),
                    None => sink.set(looked.targets.clone()),
                    Some(problem) => sink.set_partly(looked.targets.clone(), problem),
                }
                (folders, Some(looked))
            });
            (folders, last) = looked.await.expect("reading files does not panic");
            if timeout(self.settings.rescan, changed.notified())
                .await
                .is_ok()
            {
                sleep(SETTLE).await;
            }
        }
    }
}

impl Watcher for FileWatcher {
    fn name(&self) -> String {
        "file".to_owned()
    }

    fn kind(&self) -> &'static str {
        "file"
    }

    fn watch(self: Arc<Self>, sink: TargetSink) -> Watching {
        Box::pin(self.run(sink))
    }
}

#[cfg(test)]
mod tests;
