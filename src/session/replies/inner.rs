//! How replies that come move through the slots into the write buffer.

use super::Inner;
use super::slot::{Fate, Shown, Slot};

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
            Fate::Pass if at == 0 => self.out.extend(bytes),
            _ => {
                self.stored += bytes.len();
                early.extend_from_slice(bytes);
            }
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
                    self.stored = self.stored - raw.len() + bytes.len();
                }
            }
            Fate::Hold(hold, shown) => {
                let (hold, shown) = (hold.take(), *shown);
                let slot = self.first + at as u64;
                let waits = hold.is_some_and(|hold| hold(slot, &bytes));
                if shown == Shown::No {
                    self.stored -= bytes.len();
                    bytes = Vec::new();
                }
                if waits {
                    self.slots[at] = Slot::Held(bytes);
                    self.held += 1;
                    return;
                }
            }
        }
        self.slots[at] = Slot::Ready(bytes);
        if at == 0 {
            self.release_ready();
        }
    }

    /// The reply that a slot was waiting for is in.
    pub(super) fn fill(&mut self, at: usize, bytes: &[u8]) {
        let mut ready = match &mut self.slots[at] {
            Slot::Later(_, early) => std::mem::take(early),
            _ => Vec::new(),
        };
        if at == 0 && ready.is_empty() {
            self.out.extend(bytes);
        } else {
            self.stored += bytes.len();
            ready.extend_from_slice(bytes);
        }
        self.slots[at] = Slot::Ready(ready);
    }

    /// Puts what the backing said unasked behind the replies that it gave before.
    pub(super) fn out_of_band(&mut self, bytes: &[u8]) {
        if self.held == 0 {
            return self.out.extend(bytes);
        }
        let held = |slot: &Slot| matches!(slot, Slot::Held(_));
        let Some(last) = self.slots.iter().rposition(held) else {
            return self.out.extend(bytes);
        };
        self.stored += bytes.len();
        let ready = |slot: &&Slot| matches!(slot, Slot::Ready(_));
        let at = last + 1 + self.slots.range(last + 1..).take_while(ready).count();
        match self.slots.get_mut(at) {
            Some(Slot::Awaited { early, .. }) if !early.is_empty() => {
                return early.extend_from_slice(bytes);
            }
            _ => {}
        }
        match self.slots.get_mut(at - 1) {
            Some(Slot::Ready(before)) => before.extend_from_slice(bytes),
            // The slots behind it are known by what they wait for, not by their number.
            _ => self.slots.insert(at, Slot::Ready(bytes.to_vec())),
        }
    }

    /// Something that was waited for is in.
    pub(super) fn settle(&mut self) {
        self.release_ready();
        if let Some(task) = &self.task {
            task.wake_by_ref();
        }
    }

    pub(super) fn release_ready(&mut self) {
        while let Some(Slot::Ready(bytes)) = self.slots.front_mut() {
            self.stored -= bytes.len();
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
            self.stored -= early.len();
            self.out.append(early);
        }
    }

    /// Whether too much waits for a client whose socket takes no more.
    pub(super) fn is_over(&self) -> bool {
        let unwritten = self.out.unwritten();
        unwritten > 0 && unwritten + self.stored >= self.limit
    }

    /// Drops the bytes that are kept in slots; guards stay until their replies are in.
    pub(super) fn forget_stored(&mut self) {
        for slot in &mut self.slots {
            match slot {
                Slot::Awaited { early: bytes, .. }
                | Slot::Later(_, bytes)
                | Slot::Held(bytes)
                | Slot::Ready(bytes) => *bytes = Vec::new(),
            }
        }
        self.stored = 0;
    }
}
