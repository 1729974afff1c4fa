//! What polls say of an instance.
//!
//! ```text
//!            a success                 a round failed
//!  unknown ────────────▶ up ─────────────────────────────▶ down ◀─┐ a round failed
//!     │                  ▲                                  │ ▲   │
//!     │ a round failed   │ a second success                 │ └───┘
//!     └──────▶ down      └────────────── recovering ◀───────┘
//!                                            a success
//! ```

/// Whether an instance answers its polls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Health {
    /// It was not polled yet.
    Unknown,
    /// It is healthy.
    Up,
    /// A whole round of polls has failed.
    Down,
    /// It was down and has answered once.
    Recovering,
}

impl Health {
    /// What it is after a round of polls: one success, or nothing but failures.
    pub(super) fn after_round(self, success: bool) -> Self {
        match (self, success) {
            (_, false) => Health::Down,
            (Health::Down, true) => Health::Recovering,
            (Health::Unknown | Health::Up | Health::Recovering, true) => Health::Up,
        }
    }

    /// The name that users see: an instance that recovers is not up yet.
    pub(super) fn name(self) -> &'static str {
        match self {
            Health::Unknown => "unknown",
            Health::Up => "up",
            Health::Down | Health::Recovering => "down",
        }
    }

    pub(super) fn to_bits(self) -> u8 {
        match self {
            Health::Unknown => 0,
            Health::Up => 1,
            Health::Down => 2,
            Health::Recovering => 3,
        }
    }

    pub(super) fn from_bits(bits: u8) -> Self {
        match bits {
            1 => Health::Up,
            2 => Health::Down,
            3 => Health::Recovering,
            _ => Health::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Health::{self, Down, Recovering, Unknown, Up};

    #[test]
    fn one_failed_round_is_down_and_two_successes_are_up() {
        assert_eq!(Unknown.after_round(true), Up);
        assert_eq!(Unknown.after_round(false), Down);
        assert_eq!(Up.after_round(true), Up);
        assert_eq!(Up.after_round(false), Down);
        assert_eq!(Down.after_round(true), Recovering);
        assert_eq!(Recovering.after_round(true), Up);
        assert_eq!(Recovering.after_round(false), Down);
        for health in [Unknown, Up, Down, Recovering] {
            assert_eq!(Health::from_bits(health.to_bits()), health);
        }
    }
}
