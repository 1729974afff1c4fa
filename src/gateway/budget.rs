//! How many requests may be sent again: a fifth of all, and some in reserve.
//!
//! Retries that are not bounded turn the trouble of one instance into that of all.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

/// What a retry costs, in requests.
const PRICE: i64 = 5;
/// The retries that may be had at once, at the beginning and after a pause.
const RESERVE: i64 = 100;
/// The most that can be saved up, in retries.
const MOST: i64 = 2_000;
/// What comes back per second without any request, in retries.
const PER_SECOND: i64 = 10;

/// The budget of a service.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: AtomicI64,
    /// The second of the last refill.
    second: AtomicU64,
}

impl Default for Budget {
    fn default() -> Self {
        Budget {
            tokens: AtomicI64::new(RESERVE * PRICE),
            second: AtomicU64::new(0),
        }
    }
}

impl Budget {
    /// Notes a request.
    pub(super) fn deposit(&self) {
        if self.tokens.load(Ordering::Relaxed) < MOST * PRICE {
            self.tokens.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a retry, if there is one left.
    pub(super) fn withdraw(&self, now_ms: u64) -> bool {
        self.refill(now_ms / 1000);
        let take = |tokens: i64| (tokens >= PRICE).then_some(tokens - PRICE);
        self.tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_ok()
    }

    /// Brings back what time brings, up to the reserve.
    fn refill(&self, second: u64) {
        let last = self.second.swap(second, Ordering::Relaxed);
        let passed = i64::try_from(second.saturating_sub(last)).unwrap_or(RESERVE);
        if passed > 0 {
            let more = passed.saturating_mul(PER_SECOND * PRICE);
            let add = |tokens: i64| {
                let full = tokens.saturating_add(more).min(RESERVE * PRICE);
                (full > tokens).then_some(full)
            };
            let _ = self
                .tokens
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(budget: &Budget, now_ms: u64) -> i64 {
        let mut taken = 0;
        while budget.withdraw(now_ms) {
            taken += 1;
        }
        taken
    }

    #[test]
    fn a_fifth_of_the_requests_and_a_reserve() {
        let budget = Budget::default();
        assert_eq!(all(&budget, 1000), RESERVE);
        for _ in 0..50 {
            budget.deposit();
        }
        assert_eq!(all(&budget, 1999), 10);
        assert_eq!(all(&budget, 2000), PER_SECOND);
        assert_eq!(all(&budget, 1_000_000), RESERVE);
    }

    #[test]
    fn what_is_saved_up_is_bounded() {
        let budget = Budget::default();
        for _ in 0..1_000_000 {
            budget.deposit();
        }
        assert_eq!(all(&budget, 0), MOST);
    }
}
