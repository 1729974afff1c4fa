//! How replies that come move through the slots into the write buffer.

use super::slot::{Fate, Slot};
use super::{Cut, Inner, KEEP_BYTES};

impl Inner {
    pub(super) fn index(&self, slot: u64) -> Option<usize> {
        let at = usize::try_from(slot.checked_sub(self.first)?).ok()?;
        (at < self.slots.len()).then_some(at)
    }

    /// Where the slot is that waits for a fetch.
    pub(super) fn later_at(&self, id: u64) -> Option<usize> {
        let awaited = |slot: &Slot| matches!(slot, Slot::Later(later, _) if *later == id);
        self.slots.iter().position(awaited)
    }

    /// Notes the size of what came. A large reply counts at once, also while it is coming.
    pub(super) fn measure(&mut self, bytes: usize, replies: usize) {
        self.begun += bytes;
        let size = self.begun / replies.max(1);
        if size > self.mean {
            self.mean = size;
        } else if replies > 0 {
            self.mean = (self.mean * 7 + size) / 8;
        }
        if replies > 0 {
            self.begun = 0;
            self.seen = self.seen.saturating_add(replies);
        }
    }

    pub(super) fn deliver(&mut self, bytes: &[u8], replies: u32) {
        let awaited = |slot: &Slot| matches!(slot, Slot::Awaited { .. });
        let Some(at) = self.slots.iter().position(awaited) else {
            debug_assert!(false, "a reply without a slot");
            return;
        };
        let Slot::Awaited {
            left, fate, early, ..
        } = &mut self.slots[at]
        else {
            return;
        };
        match fate {
            // A reply was broken off: anything more would look like the rest of it.
            _ if self.cut.is_some() => {}
            Fate::Drop => {}
            Fate::Pass if at == 0 => self.out.extend_from_slice(bytes),
            _ => early.extend_from_slice(bytes),
        }
        *left -= replies;
        if *left == 0 {
            self.finish(at);
        }
    }

    /// All replies of a slot are in.
    pub(super) fn finish(&mut self, at: usize) {
        let Slot::Awaited {
            fate, early, guard, ..
        } = &mut self.slots[at]
        else {
            return;
        };
        // From here on the cache may keep what is fetched: it is fetched after this reply.
        drop(guard.take());
        let mut bytes = std::mem::take(early);
        match fate {
            Fate::Pass | Fate::Drop => {}
            Fate::Rewrite(rewrite) => {
                if let Some(rewrite) = rewrite.take() {
                    let raw = std::mem::take(&mut bytes);
                    rewrite(&raw, &mut bytes);
                }
            }
            Fate::Hold(hold) => {
                let hold = hold.take();
                self.slots[at] = Slot::Held(bytes);
                self.held += 1;
                if let Some(hold) = hold {
                    hold(self.first + at as u64);
                }
                return;
            }
        }
        if at == 0 {
            self.out.append(&mut bytes);
            self.slots.pop_front();
            self.first += 1;
            self.release_ready();
        } else {
            self.ready += bytes.len();
            self.slots[at] = Slot::Ready(bytes);
        }
    }

    /// Something that was waited for is in.
    pub(super) fn settle(&mut self) {
        self.release_ready();
        self.check_limit();
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    pub(super) fn release_ready(&mut self) {
        while let Some(Slot::Ready(bytes)) = self.slots.front_mut() {
            self.ready -= bytes.len();
            self.out.append(bytes);
            self.slots.pop_front();
            self.first += 1;
        }
        if let Some(
            Slot::Awaited {
                fate: Fate::Pass,
                early,
                ..
            }
            | Slot::Later(_, early),
        ) = self.slots.front_mut()
        {
            // What came before its turn.
            self.out.append(early);
        }
    }

    /// Bytes that the client has not taken yet.
    pub(super) fn unwritten(&self) -> usize {
        self.out.len() - self.written
    }

    pub(super) fn check_limit(&mut self) {
        if self.unwritten() > self.limit {
            self.cut = Some(Cut::SlowReader);
            self.out = Vec::new();
            self.written = 0;
        }
    }

    /// Drops what was written when that is most of the buffer.
    pub(super) fn compact(&mut self) {
        if self.written > KEEP_BYTES && self.written * 2 > self.out.len() {
            self.out.drain(..self.written);
            self.written = 0;
        }
    }
}
