//! Counters of methods: kept here for a moment, then added to those in the backing, which all Respites share.
//!
//! Times are counted in buckets of a sixteenth of a power of two, so that a percentile is right within 7 %.

use std::collections::HashMap;
use std::fmt::Display;

use super::counts::Counts;

/// The smallest times have a bucket each.
const EXACT: u64 = 16;
/// Longer times than 2^40 µs (12 days) are counted there.
const LONGEST: u64 = 1 << 40;
/// The most characters of a last error.
const MOST_ERROR: usize = 512;

/// What happened to a method since the counters were last written to the backing.
#[derive(Debug, Default)]
pub(in crate::bus) struct Tally {
    counts: HashMap<Counter, u64>,
    last_error: String,
}

/// What is counted; `Queued` and `Worked` by bucket.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Counter {
    Calls,
    Hits,
    Errors,
    Queued(u64),
    Worked(u64),
}

/// A method's counters as the backing has them.
#[derive(Debug, Default)]
pub(in crate::bus) struct Totals {
    pub(in crate::bus) calls: u64,
    pub(in crate::bus) errors: u64,
    pub(in crate::bus) cache_hits: u64,
    pub(in crate::bus) last_error: String,
    queue: Vec<(u64, u64)>,
    work: Vec<(u64, u64)>,
}

fn bucket(us: u64) -> u64 {
    let us = us.min(LONGEST);
    if us < EXACT {
        return us;
    }
    let power = u64::from(us.ilog2());
    let sixteenth = (us >> (power - 4)) & 15;
    (power - 3) * 16 + sixteenth
}

/// The middle of a bucket, in microseconds.
fn middle(bucket: u64) -> f64 {
    if bucket < EXACT {
        return bucket as f64;
    }
    let power = (bucket / 16 + 3).min(60);
    let width = (1_u64 << power) as f64 / 16.0;
    (1_u64 << power) as f64 + width * ((bucket % 16) as f64 + 0.5)
}

impl Tally {
    fn add(&mut self, counter: Counter) {
        *self.counts.entry(counter).or_default() += 1;
    }

    pub(in crate::bus) fn call(&mut self) {
        self.add(Counter::Calls);
    }

    pub(in crate::bus) fn hit(&mut self) {
        self.add(Counter::Hits);
    }

    pub(in crate::bus) fn error(&mut self, error: impl Display) {
        self.add(Counter::Errors);
        self.last_error = error.to_string().chars().take(MOST_ERROR).collect();
    }

    pub(in crate::bus) fn queued(&mut self, us: i64) {
        self.add(Counter::Queued(bucket(us.max(0).cast_unsigned())));
    }

    pub(in crate::bus) fn worked(&mut self, us: i64) {
        self.add(Counter::Worked(bucket(us.max(0).cast_unsigned())));
    }

    /// Appends the words that `count.lua` reads.
    pub(in crate::bus) fn write(self, method: &str, words: &mut Vec<Vec<u8>>) {
        words.push(method.as_bytes().to_vec());
        words.push(self.last_error.into_bytes());
        words.push(self.counts.len().to_string().into_bytes());
        for (counter, count) in self.counts {
            let name = match counter {
                Counter::Calls => "calls".to_owned(),
                Counter::Hits => "hits".to_owned(),
                Counter::Errors => "errors".to_owned(),
                Counter::Queued(bucket) => format!("q{bucket}"),
                Counter::Worked(bucket) => format!("w{bucket}"),
            };
            words.push(name.into_bytes());
            words.push(count.to_string().into_bytes());
        }
    }
}

impl Tally {
    /// Adds what is counted here to counters that are kept.
    pub(in crate::bus) fn add_to(&self, counts: &mut Counts) {
        for (counter, count) in &self.counts {
            match counter {
                Counter::Calls => counts.calls += count,
                Counter::Hits => counts.cache_hits += count,
                Counter::Errors => counts.errors += count,
                Counter::Queued(bucket) => counts.queue.add(middle(*bucket) / 1e6, *count),
                Counter::Worked(bucket) => counts.work.add(middle(*bucket) / 1e6, *count),
            }
        }
    }
}

impl Totals {
    /// Reads the fields of a method's counters.
    pub(in crate::bus) fn read(fields: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut totals = Totals::default();
        for (name, value) in fields {
            if name == "last" {
                totals.last_error = String::from_utf8_lossy(&value).into_owned();
                continue;
            }
            let text = std::str::from_utf8(&value).unwrap_or_default();
            let count: u64 = text.parse().unwrap_or(0);
            let at = name.get(1..).and_then(|number| number.parse().ok());
            match (name.as_str(), at) {
                ("calls", _) => totals.calls = count,
                ("errors", _) => totals.errors = count,
                ("hits", _) => totals.cache_hits = count,
                (name, Some(at)) if name.starts_with('q') => totals.queue.push((at, count)),
                (name, Some(at)) if name.starts_with('w') => totals.work.push((at, count)),
                _ => {}
            }
        }
        totals.queue.sort_unstable();
        totals.work.sort_unstable();
        totals
    }

    /// Calls that workers have answered, or that have failed.
    pub(in crate::bus) fn ended(&self) -> u64 {
        let worked: u64 = self.work.iter().map(|(_, count)| count).sum();
        worked + self.errors
    }

    /// The time that this share of the calls waited at most, in milliseconds.
    pub(in crate::bus) fn queue_ms(&self, share: f64) -> f64 {
        percentile(&self.queue, share)
    }

    /// The time that this share of the calls was worked on at most, in milliseconds.
    pub(in crate::bus) fn work_ms(&self, share: f64) -> f64 {
        percentile(&self.work, share)
    }
}

fn percentile(buckets: &[(u64, u64)], share: f64) -> f64 {
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    let wanted = (all as f64 * share).ceil();
    let mut seen = 0;
    for (at, count) in buckets {
        seen += count;
        if seen as f64 >= wanted {
            return (middle(*at)).round() / 1000.0;
        }
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_narrow_and_in_order() {
        for us in (0..5000).chain((0..40).map(|power| (1_u64 << power) + 3)) {
            let at = bucket(us);
            let error = (middle(at) - us as f64).abs();
            assert!(
                error <= (us as f64 * 0.0625).max(0.0),
                "{us} is counted as {}",
                middle(at)
            );
        }
        let mut last = 0;
        for us in 0..5000 {
            let at = bucket(us);
            assert!(at >= last, "{us}");
            last = at;
        }
        assert_eq!(bucket(u64::MAX), bucket(LONGEST));
    }

    #[test]
    fn what_is_counted_is_read_back() {
        let mut tally = Tally::default();
        for us in 1..=100 {
            tally.call();
            tally.queued(us * 1000);
        }
        tally.hit();
        tally.error("BUSFAIL x no");
        let mut words = Vec::new();
        tally.write("sum", &mut words);
        let pairs = words[3..].chunks_exact(2);
        let fields = pairs.map(|pair| {
            (
                String::from_utf8(pair[0].clone()).expect("text"),
                pair[1].clone(),
            )
        });
        let totals = Totals::read(fields.chain([("last".to_owned(), words[1].clone())]));
        assert_eq!(
            (totals.calls, totals.errors, totals.cache_hits),
            (100, 1, 1)
        );
        assert_eq!(totals.last_error, "BUSFAIL x no");
        assert!(
            (totals.queue_ms(0.5) - 50.0).abs() < 3.5,
            "{}",
            totals.queue_ms(0.5)
        );
        assert!(
            (totals.queue_ms(0.99) - 99.0).abs() < 6.5,
            "{}",
            totals.queue_ms(0.99)
        );
        assert!(totals.work_ms(0.5).abs() < f64::EPSILON);
    }
}
