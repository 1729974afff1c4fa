//! The sources of targets, and the supervisor that keeps them running.
//!
//! A [`Watcher`] emits its *full* set of targets into its [`TargetSink`], again whenever that
//! changes. The sets of all watchers together, in the order of the watchers, are what is tracked: **of two
//! watchers that name the same id, the first in order wins**; of one watcher's two, the first of its
//! set. A watcher that fails keeps the set it emitted last.

mod added;
mod backing;
mod configured;
mod discovery;
mod file;
mod local;
mod source;
mod spec;
mod static_targets;
mod supervisor;

pub use added::Added;
pub(super) use added::Description;
pub use backing::BackingWatcher;
pub(super) use backing::{BACKING, shard_id};
pub use configured::{ConfiguredWatchers, check_listed};
pub use discovery::{DiscoveryWatcher, NodeLists, NodeSource, ServiceNode};
pub use file::{FileMemory, FileWatcher};
pub(super) use local::LOCAL;
pub use local::LocalWatcher;
pub use source::{Found, TargetSink, WatcherReport};
pub use static_targets::StaticWatcher;
pub use supervisor::Supervisor;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a watcher does, for as long as it is wanted.
pub type Watching = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A source of targets.
pub trait Watcher: Send + Sync {
    /// Its name, which no other watcher has: `file`, or `discovery:payments`.
    fn name(&self) -> String;

    /// What kind it is: `backing`, `static`, `file`, `local`, `discovery`, `added`.
    fn kind(&self) -> &'static str;

    /// Emits sets of targets for ever.
    ///
    /// It runs on the control runtime and must not block its thread. A watcher with nothing more to say
    /// waits (`std::future::pending`): one that returns or panics is taken for broken and
    /// started again after a moment, which is counted. The future is dropped when the watcher
    /// is no longer wanted, as after a reload.
    fn watch(self: Arc<Self>, sink: TargetSink) -> Watching;
}
