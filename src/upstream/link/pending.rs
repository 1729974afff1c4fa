//! How what has come for a batch gets to whoever waits for it.

use super::Pending;
use crate::tasks;

impl Pending {
    #[inline]
    pub(super) fn deliver(&self, bytes: &[u8], replies: u32) {
        tasks::point("link delivers");
        self.sink.deliver(self.ticket, bytes, replies);
    }

    /// Delivers whole replies in `data`, whose last `begun` bytes belong to an unfinished one; and
    /// the unfinished one too when there is nothing else. Returns how many bytes went.
    pub(super) fn deliver_part(
        &mut self,
        data: &[u8],
        begun: usize,
        was_begun: &mut bool,
    ) -> usize {
        // `begun` also counts what was delivered of this reply before.
        let whole = if *was_begun && self.scanned == 0 {
            0
        } else {
            data.len() - begun
        };
        let n = if whole == 0 { data.len() } else { whole };
        *was_begun = whole == 0;
        self.deliver(&data[..n], self.scanned);
        self.replies -= self.scanned;
        self.delivered += self.scanned;
        self.scanned = 0;
        n
    }
}
