//! Key figures of the last hour, in memory of a fixed size: a sample a second, and each minute's together.
//!
//! Not here: what the figures are and where they come from.

use std::collections::VecDeque;

use parking_lot::Mutex;

/// So many samples of a second are kept.
pub const SECONDS: usize = 300;
/// So many samples of a minute are kept.
pub const MINUTES: usize = 60;
/// A minute has so many samples.
const FOLDED: usize = 60;

/// Samples, the oldest first. What is not known is not a number.
#[derive(Debug)]
pub struct History {
    figures: usize,
    rings: Mutex<Rings>,
}

#[derive(Debug, Default)]
struct Rings {
    seconds: VecDeque<Box<[f64]>>,
    minutes: VecDeque<Box<[f64]>>,
    /// Samples of the minute at hand.
    begun: usize,
}

/// How fine the samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The last five minutes.
    Second,
    /// The last hour.
    Minute,
}

impl Step {
    /// Its length.
    #[must_use]
    pub fn seconds(self) -> u64 {
        match self {
            Step::Second => 1,
            Step::Minute => 60,
        }
    }
}

impl History {
    /// A history of so many figures.
    #[must_use]
    pub fn new(figures: usize) -> Self {
        History {
            figures,
            rings: Mutex::default(),
        }
    }

    /// Adds the sample of a second. When it is the last of its minute, `whole` is asked for figures of the whole minute
    /// that are not the mean of its seconds.
    pub fn add(&self, sample: Box<[f64]>, whole: impl FnOnce() -> Vec<(usize, f64)>) {
        debug_assert_eq!(sample.len(), self.figures);
        let mut rings = self.rings.lock();
        push(&mut rings.seconds, sample, SECONDS);
        rings.begun += 1;
        if rings.begun == FOLDED {
            rings.begun = 0;
            let mut minute = rings.mean(FOLDED, self.figures);
            for (at, value) in whole() {
                if let Some(place) = minute.get_mut(at) {
                    *place = value;
                }
            }
            push(&mut rings.minutes, minute, MINUTES);
        }
    }

    /// The samples of one figure.
    #[must_use]
    pub fn of(&self, figure: usize, step: Step) -> Vec<f64> {
        let rings = self.rings.lock();
        let samples = match step {
            Step::Second => &rings.seconds,
            Step::Minute => &rings.minutes,
        };
        let values = samples.iter().map(|sample| sample.get(figure).copied());
        values.map(|value| value.unwrap_or(f64::NAN)).collect()
    }

    /// The newest sample of a second.
    #[must_use]
    pub fn newest(&self) -> Vec<f64> {
        let rings = self.rings.lock();
        rings
            .seconds
            .back()
            .map_or_else(|| vec![f64::NAN; self.figures], |sample| sample.to_vec())
    }

    /// The means of the last minute's samples.
    #[must_use]
    pub fn last_minute(&self) -> Vec<f64> {
        self.rings.lock().mean(FOLDED, self.figures).to_vec()
    }
}

impl Rings {
    /// The means of the newest samples of a second.
    fn mean(&self, newest: usize, figures: usize) -> Box<[f64]> {
        let mean = |figure: usize| {
            let values = self.seconds.iter().rev().take(newest);
            let known = values
                .map(|sample| sample[figure])
                .filter(|value| !value.is_nan());
            let (sum, count) = known.fold((0.0, 0_u32), |(sum, n), value| (sum + value, n + 1));
            if count == 0 {
                f64::NAN
            } else {
                sum / f64::from(count)
            }
        };
        (0..figures).map(mean).collect()
    }
}

fn push(ring: &mut VecDeque<Box<[f64]>>, sample: Box<[f64]>, most: usize) {
    if ring.len() == most {
        ring.pop_front();
    }
    ring.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_folded_into_minutes() {
        let history = History::new(2);
        for n in 0..FOLDED as u32 * 2 {
            let second = if n == 0 { 7.0 } else { f64::NAN };
            history.add([f64::from(n), second].into(), Vec::new);
        }
        assert_eq!(history.of(0, Step::Second).len(), FOLDED * 2);
        assert_eq!(history.of(0, Step::Minute), [29.5, 89.5]);
        let second = history.of(1, Step::Minute);
        assert!(second[0] == 7.0 && second[1].is_nan());
        assert_eq!(history.newest()[0], 119.0);
        assert_eq!(history.last_minute()[0], 89.5);
    }

    #[test]
    fn a_whole_minute_may_be_more_than_its_mean_and_the_size_is_fixed() {
        let history = History::new(1);
        for _ in 0..FOLDED * (MINUTES + 2) {
            history.add([1.0].into(), || vec![(0, 5.0), (9, 1.0)]);
        }
        assert_eq!(history.of(0, Step::Second), [1.0; SECONDS]);
        assert_eq!(history.of(0, Step::Minute), [5.0; MINUTES]);
        assert!(History::new(1).newest()[0].is_nan());
    }
}
