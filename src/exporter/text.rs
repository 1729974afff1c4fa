//! One INFO as it is read for metrics, and the samples that come of it.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use smallvec::SmallVec;

use super::fields::{Field, Unit};
use crate::fleet::Latest;
use crate::metrics::{Digits, Number, Samples};

/// So many samples of one metric are given of a server: no server has as many commands or replicas, and one
/// that says so must not flood whoever collects them.
const MOST_SAMPLES: usize = 1000;

/// What a server said last.
pub(super) struct Info<'a> {
    latest: &'a Latest,
}

/// Where the samples of one metric of one server go.
pub(super) struct Out<'a, 'b> {
    samples: &'a mut Samples<'b>,
    /// The label `shard`, where there are several.
    shard: Option<&'a str>,
    seen: &'a mut Seen,
}

/// The labels that a metric of a server has samples for, so that none comes twice.
#[derive(Default)]
pub(super) struct Seen {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl<'a> Info<'a> {
    pub(super) fn new(latest: &'a Latest) -> Self {
        Info { latest }
    }

    /// How long ago the server was asked.
    pub(super) fn age(&self) -> Duration {
        self.latest.asked.elapsed()
    }

    pub(super) fn field(&self, name: &str) -> Option<&'a str> {
        std::str::from_utf8(self.latest.snapshot.field(name)?).ok()
    }

    pub(super) fn field_near(&self, name: &str, near: usize) -> Option<(usize, &'a str)> {
        let (at, value) = self.latest.snapshot.field_near(name, near)?;
        Some((at, std::str::from_utf8(value).ok()?))
    }

    /// The fields of a section that are text.
    pub(super) fn section(&self, name: &str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let named = |found: &[u8]| found.eq_ignore_ascii_case(name.as_bytes());
        let mut sections = self.latest.snapshot.sections();
        let found = sections.find(|(found, _)| named(found));
        let fields = found.into_iter().flat_map(|(_, fields)| fields);
        let text = |bytes| std::str::from_utf8(bytes).ok();
        fields.filter_map(move |(name, value)| Some((text(name)?, text(value)?)))
    }
}

impl<'a, 'b> Out<'a, 'b> {
    pub(super) fn new(
        samples: &'a mut Samples<'b>,
        shard: Option<&'a str>,
        seen: &'a mut Seen,
    ) -> Self {
        seen.hashes.clear();
        Out {
            samples,
            shard,
            seen,
        }
    }

    /// Writes a sample.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: impl Number) {
        if let Some(labels) = self.fresh(labels) {
            self.samples.sample(&labels, value);
        }
    }

    /// Writes a number of INFO, unless it is none.
    pub(super) fn number(&mut self, labels: &[(&str, &str)], text: &str, unit: Unit) {
        match Digits::new(text) {
            Some(digits) if unit == Unit::AsIs => self.sample(labels, digits),
            _ => {
                if let Some(value) = number(text) {
                    self.sample(labels, value / unit.divisor());
                }
            }
        }
    }

    /// Writes a field that is one sample. Some are words.
    pub(super) fn field(&mut self, field: &Field, text: &str) {
        match text {
            "ok" | "true" => self.sample(&[], true),
            "err" | "fail" | "false" => self.sample(&[], false),
            _ => self.number(&[], text, field.unit),
        }
    }

    /// Writes percentiles, their sum and their count.
    pub(super) fn summary(
        &mut self,
        label: (&str, &str),
        percentiles: impl Iterator<Item = (f64, f64)>,
        sum: f64,
        count: f64,
    ) {
        let Some(labels) = self.fresh(&[label]) else {
            return;
        };
        self.samples.part("_sum", &labels, sum);
        self.samples.part("_count", &labels, count);
        let mut given: SmallVec<[f64; 8]> = SmallVec::new();
        for (percentile, value) in percentiles.take(32) {
            if !given.contains(&percentile) {
                given.push(percentile);
                let name = percentile.to_string();
                let quantile = [("quantile", name.as_str())];
                let labels = labels.iter().copied().chain(quantile);
                let labels: SmallVec<[(&str, &str); 4]> = labels.collect();
                self.samples.sample(&labels, value);
            }
        }
    }

    /// The labels with that of the shard; none when there is a sample with them, or too many others.
    fn fresh<'c>(
        &mut self,
        labels: &[(&'c str, &'c str)],
    ) -> Option<SmallVec<[(&'c str, &'c str); 16]>>
    where
        'a: 'c,
    {
        if !labels.is_empty() {
            let hash = self.seen.hasher.hash_one(labels);
            if self.seen.hashes.len() >= MOST_SAMPLES || !self.seen.hashes.insert(hash) {
                return None;
            }
        }
        let shard = self.shard.map(|shard| ("shard", shard));
        Some(shard.into_iter().chain(labels.iter().copied()).collect())
    }
}

/// The value of a name in `name=value,name=value`.
pub(super) fn pair<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    pairs.find_map(|(found, value)| (found == name).then_some(value))
}

/// A number that is one.
pub(super) fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}
