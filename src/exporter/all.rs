//! The metrics of all shards, metric by metric, as Prometheus' format wants it.
//!
//! Ten thousand shards make a text of a hundred megabytes, so it is written piece by piece while it is sent.
//! What a shard said is looked up when its line is written: a scrape keeps no INFO from being replaced.

use std::sync::Arc;

use super::Exporter;
use super::families::{Family, family};
use super::shards::is_up;
use super::text::{Info, Out, Seen};
use crate::fleet::{Fleet, Shard, State};
use crate::metrics::Exposition;

/// A piece is about so long.
const PIECE: usize = 32 * 1024;
/// So many shards are looked at for one metric before a piece is.
const BATCH: usize = 16;
/// After so many a piece ends, also when it is empty.
const MOST_LOOKS: usize = 1024;

impl Exporter {
    /// The text, in pieces; an empty piece says that nothing was found so far.
    pub fn metrics(&self) -> impl Iterator<Item = String> + Send + use<> {
        let mut all = Vec::new();
        let mut up = Vec::new();
        for shard in self.fleet.shards().sorted() {
            let status = self.fleet.status(shard);
            if status.state == State::Gone {
                continue;
            }
            if is_up(&status) {
                up.push(Arc::clone(shard));
            }
            all.push(Arc::clone(shard));
        }
        Pieces {
            fleet: Arc::clone(&self.fleet),
            all,
            up,
            seen: Seen::default(),
            place: Place::default(),
        }
    }
}

struct Pieces {
    fleet: Arc<Fleet>,
    all: Vec<Arc<Shard>>,
    /// Those whose INFO is shown.
    up: Vec<Arc<Shard>>,
    seen: Seen,
    place: Place,
}

/// How far the text is.
#[derive(Default)]
struct Place {
    family: usize,
    /// The next shard.
    shard: usize,
    /// The metric has samples.
    begun: bool,
    /// Where the last shard had the last field.
    near: usize,
}

impl Iterator for Pieces {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let mut family = family(self.place.family)?;
        let mut out = Exposition::default();
        let mut looks = 0;
        while out.len() < PIECE && looks < MOST_LOOKS {
            looks += BATCH;
            if self.batch(family, &mut out) {
                self.place.family += 1;
                self.place.shard = 0;
                self.place.begun = false;
                match super::families::family(self.place.family) {
                    Some(next) => family = next,
                    None => break,
                }
            }
        }
        Some(out.finish())
    }
}

impl Pieces {
    /// Writes a metric of some shards; true when it has come to the last.
    fn batch(&mut self, family: Family, out: &mut Exposition) -> bool {
        let shards = match family {
            Family::Known(_) => &self.all,
            Family::Field(_) | Family::Lines(_) => &self.up,
        };
        let end = shards.len().min(self.place.shard + BATCH);
        let mut samples = family.begin(out).continued(self.place.begun);
        for shard in &shards[self.place.shard..end] {
            let mut samples = Out::new(&mut samples, Some(shard.id()), &mut self.seen);
            if let Family::Known(known) = family {
                (known.write)(&self.fleet.status(shard), &mut samples);
                continue;
            }
            let Some(latest) = shard.latest() else {
                continue;
            };
            let info = Info::new(&latest);
            match family {
                Family::Lines(lines) => (lines.write)(&info, &mut samples),
                Family::Field(field) => {
                    if let Some((at, text)) = info.field_near(field.name, self.place.near) {
                        self.place.near = at;
                        samples.field(field, text);
                    }
                }
                Family::Known(_) => {}
            }
        }
        self.place.begun = samples.has_begun();
        self.place.shard = end;
        end == shards.len()
    }
}
