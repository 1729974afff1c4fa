//! Large requests are handled in the buffer that they were read into, which goes on to the backing as it is.

use std::task::Context;

use super::client::Session;
use super::input::Input;
use crate::spare;

impl Session {
    /// Handles what can be handled of a large input; returns how many bytes that were.
    pub(super) fn process_lent(&mut self, mut input: Input, cx: &mut Context<'_>) -> usize {
        let loan = input.lend();
        let bytes = loan.bytes();
        self.front.shared = Some(bytes.clone());
        let used = self.process(&bytes, cx);
        self.front.shared = None;
        drop(bytes);
        if !self.front.closing {
            if input.restore(loan, used) {
                // The next one is likely to be as large.
                self.front.large = Some(used).filter(|bytes| *bytes <= spare::MOST);
            }
            self.front.input = input;
        }
        used
    }
}
