//! What a pinned connection keeps in memory, and the bound of what its transaction may queue here.

use super::{Expect, Pinned};

/// Bytes of commands that the session answers itself in one transaction. They are names and ids;
/// what is larger is queued by the backing, which has limits of its own.
const MOST_LOCAL_BYTES: usize = 1024 * 1024;

impl Pinned {
    /// Whether the transaction may have another command of so many bytes that the session answers
    /// itself; none when that shows once the replies that are owed have come.
    pub(crate) fn may_queue_local(&self, bytes: usize) -> Option<bool> {
        let sent = self.expected.iter().map(|awaited| match &awaited.expect {
            Expect::Queued(queued) => queued.bytes(),
            _ => 0,
        });
        let queued = self.transaction.as_ref().map_or(0, |queued| queued.bytes);
        let fits = bytes + queued + sent.sum::<usize>() <= MOST_LOCAL_BYTES;
        (fits || self.is_quiet()).then_some(fits)
    }

    /// Bytes that are kept here.
    pub(crate) fn bytes(&self) -> usize {
        let queued = self.transaction.as_ref().map_or(0, |queued| queued.bytes);
        let kept = self.replay.as_ref().map_or(0, |_| self.kept_bytes());
        self.out.held() + self.reader.bytes() + queued + kept
    }
}
