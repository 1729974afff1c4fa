//! Asks the system to tell of changes in the folders that files of targets are in.
//!
//! It tells that something has changed, not what. Without the system's help (none of its
//! watches are left, say) it is silent, and the slow look at the files has to do.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode, EventKind};
use notify::{Config, Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tracing::{debug, info};

use super::memory::files;
use crate::config::TargetPath;

/// The folders that are watched, by the device and number of what was there.
pub(super) struct Folders {
    watcher: Option<RecommendedWatcher>,
    watched: HashMap<PathBuf, (u64, u64)>,
}

impl Folders {
    /// Nothing is watched yet; `changed` is told of every change.
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        let tell = move |event: notify::Result<Event>| {
            if event.map_or(true, |event| is_change(event.kind)) {
                changed.notify_one();
            }
        };
        let config = Config::default().with_follow_symlinks(true);
        let watcher = RecommendedWatcher::new(tell, config)
            .inspect_err(|error| {
                info!("the system does not tell when files of targets change: {error}");
            })
            .ok();
        Folders {
            watcher,
            watched: HashMap::new(),
        }
    }

    /// Watches the folders of these files from now on, and those of the files that are links.
    pub(super) fn follow(&mut self, paths: &[TargetPath]) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        let wanted = wanted(paths);
        self.watched.retain(|folder, _| {
            let keep = wanted.contains(folder);
            if !keep {
                // It may be gone, and its watch with it.
                let _ = watcher.unwatch(folder);
            }
            keep
        });
        for folder in wanted {
            let Ok(there) = fs::metadata(&folder).map(|m| (m.dev(), m.ino())) else {
                // Until it is there again: then it is another one.
                if self.watched.remove(&folder).is_some() {
                    let _ = watcher.unwatch(&folder);
                }
                continue;
            };
            let known = self.watched.get(&folder);
            if known == Some(&there) {
                continue;
            }
            if known.is_some() {
                let _ = watcher.unwatch(&folder);
                self.watched.remove(&folder);
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder, there);
                }
                Err(error) => debug!("cannot watch {}: {error}", folder.display()),
            }
        }
    }
}

/// The folders in which a change can change what the files say.
fn wanted(paths: &[TargetPath]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    for path in paths {
        let folder = path.folder();
        folders.insert(folder.to_owned());
        if folder.is_symlink() {
            folders.extend(parent(folder));
        }
        for file in files(path).unwrap_or_default() {
            if file.is_symlink() {
                let real = fs::canonicalize(&file).ok();
                folders.extend(real.as_deref().and_then(parent));
            }
        }
    }
    folders
}

fn parent(path: &Path) -> Option<PathBuf> {
    let parent = path.parent()?;
    let here = parent.as_os_str().is_empty();
    Some(if here { ".".into() } else { parent.to_owned() })
}

/// Reading a file is no change: it would make us read it again.
fn is_change(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
