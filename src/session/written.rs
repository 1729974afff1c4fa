//! Which slots of a cluster a client has written to, for `WAIT`.

/// Slots that a client has written to.
#[derive(Debug, Default)]
pub(super) struct Written {
    slots: Vec<u16>,
    /// They are more than are counted.
    all: bool,
}

/// Slots of which is known that a client has written to them, and no others.
const MOST_WRITTEN: usize = 64;

impl Written {
    /// Notes a write that goes there.
    #[inline]
    pub(super) fn note(&mut self, slot: u16) {
        if self.all || self.slots.contains(&slot) {
            return;
        }
        match self.slots.len() < MOST_WRITTEN {
            true => self.slots.push(slot),
            false => self.all = true,
        }
    }

    /// Notes a write that may go to any slot.
    pub(super) fn note_all(&mut self) {
        self.all = true;
    }

    /// The slots; none: any.
    pub(super) fn slots(&self) -> Option<&[u16]> {
        (!self.all).then_some(&self.slots)
    }
}
