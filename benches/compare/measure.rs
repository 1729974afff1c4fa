//! Numbers: one run of redis-benchmark as it reports itself, and many of them as a median with its
//! spread. Starts nothing.

use std::fmt;

/// What one run of redis-benchmark measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// Requests per second.
    pub(crate) rps: f64,
    /// Latency in milliseconds, half of the requests were faster; absent before redis-benchmark 6.2.
    pub(crate) p50_ms: Option<f64>,
    /// Latency in milliseconds, 99 % of the requests were faster; absent before redis-benchmark 6.2.
    pub(crate) p99_ms: Option<f64>,
}

impl Sample {
    /// Reads the output of `redis-benchmark --csv`: a line of column names, then a line per test.
    ///
    /// Columns are found by name, since their number grew over the versions; without a line of
    /// names (before 6.2) the second column is the rate. The last line of numbers counts.
    pub(crate) fn parse(csv: &str) -> Option<Self> {
        let mut columns: Vec<&str> = vec!["test", "rps"];
        let mut sample = None;
        for line in csv.lines() {
            let fields: Vec<&str> = line
                .split(',')
                .map(|f| f.trim().trim_matches('"'))
                .collect();
            if fields.contains(&"rps") {
                columns = fields;
                continue;
            }
            let value = |name: &str| {
                let at = columns.iter().position(|column| *column == name)?;
                fields.get(at)?.parse::<f64>().ok()
            };
            if let Some(rps) = value("rps").filter(|rps| *rps > 0.0) {
                sample = Some(Self {
                    rps,
                    p50_ms: value("p50_latency_ms"),
                    p99_ms: value("p99_latency_ms"),
                });
            }
        }
        sample
    }
}

/// A median and the range it was taken from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    /// The middle value, or the mean of the two middle ones.
    pub(crate) median: f64,
    /// The smallest value.
    pub(crate) min: f64,
    /// The largest value.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of the finite values, or nothing when there is none.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().filter(|v| v.is_finite()).collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[upper - 1], sorted[upper]),
            _ => sorted[upper],
        };
        Some(Self { median, min, max })
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} ({:.2}–{:.2})", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    // Paths instead of a `use`: without the test harness the functions are not there to use it.
    #[test]
    fn reads_the_columns_by_name() {
        let csv = concat!(
            "\"test\",\"rps\",\"avg_latency_ms\",\"min_latency_ms\",\"p50_latency_ms\",",
            "\"p95_latency_ms\",\"p99_latency_ms\",\"max_latency_ms\"\n",
            "\"SET\",\"440528.62\",\"1.575\",\"0.200\",\"1.583\",\"2.495\",\"2.799\",\"3.551\"\n",
        );
        let expected = super::Sample {
            rps: 440_528.62,
            p50_ms: Some(1.583),
            p99_ms: Some(2.799),
        };
        assert_eq!(super::Sample::parse(csv), Some(expected));
    }

    #[test]
    fn reads_the_two_columns_of_old_versions() {
        let expected = super::Sample {
            rps: 90_909.09,
            p50_ms: None,
            p99_ms: None,
        };
        assert_eq!(
            super::Sample::parse("\"GET\",\"90909.09\"\n"),
            Some(expected)
        );
    }

    #[test]
    fn finds_nothing_in_an_error() {
        assert_eq!(
            super::Sample::parse("Error from server: ERR no such proxy\n"),
            None
        );
        assert_eq!(
            super::Sample::parse("\"test\",\"rps\"\n\"SET\",\"0.00\"\n"),
            None
        );
        assert_eq!(super::Sample::parse(""), None);
    }

    #[test]
    fn takes_the_middle() {
        let odd = super::Spread::of([3.0, 1.0, 2.0]);
        assert_eq!(
            odd,
            Some(super::Spread {
                median: 2.0,
                min: 1.0,
                max: 3.0
            })
        );
        let even = super::Spread::of([4.0, 1.0, 2.0, 3.0]);
        assert_eq!(
            even,
            Some(super::Spread {
                median: 2.5,
                min: 1.0,
                max: 4.0
            })
        );
        assert_eq!(super::Spread::of([f64::NAN]), None);
        assert_eq!(
            super::Spread {
                median: 1.0,
                min: 0.5,
                max: 1.25
            }
            .to_string(),
            "1.00 (0.50–1.25)"
        );
    }
}
