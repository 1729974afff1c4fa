//! A session's place among those who monitor, and how lines come to them all.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use super::mailbox::ToWorker;
use super::monitors::Monitor;
use super::shared::Shared;

/// A session's place among those who monitor, until it is dropped.
pub(super) struct Monitoring {
    pub(super) shared: Arc<Shared>,
    pub(super) monitor: Arc<Monitor>,
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        let monitors = &self.shared.monitors;
        let mut all = monitors.all.lock();
        all.retain(|one| !Arc::ptr_eq(one, &self.monitor));
        monitors.any.store(!all.is_empty(), Ordering::Relaxed);
    }
}

// === impl Shared ===

impl Shared {
    /// Whether anybody monitors.
    #[inline]
    pub(super) fn is_monitored(&self) -> bool {
        self.monitors.any.load(Ordering::Relaxed)
    }

    /// Shows lines to everybody who monitors.
    pub(crate) fn show(&self, lines: &[Box<[u8]>]) {
        if lines.is_empty() || !self.is_monitored() {
            return;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default();
        let time = format!("+{}.{:06} ", now.as_secs(), now.subsec_micros());
        for monitor in self.monitors.all.lock().iter() {
            let mut waiting = monitor.waiting.lock();
            if waiting.overflown {
                continue;
            }
            for line in lines {
                if waiting.bytes.len() + time.len() + line.len() > monitor.limit {
                    waiting.overflown = true;
                    waiting.told = false;
                    waiting.bytes = Vec::new();
                    break;
                }
                waiting.bytes.extend_from_slice(time.as_bytes());
                waiting.bytes.extend_from_slice(line);
            }
            if !std::mem::replace(&mut waiting.told, true) {
                self.tell(monitor.worker, ToWorker::Wake(monitor.session));
            }
        }
    }
}
