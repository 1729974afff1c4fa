//! What was measured, as tables.

use std::io;

use crate::options::Options;
use crate::shared::measure::Spread;
use crate::shared::table::Table;
use crate::stage::pause;

/// What one run came to; what it does not tell is not a number.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    /// Commands, connections or pops in a second.
    pub(crate) rate: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Microseconds of processor time for each.
    pub(crate) client: f64,
    pub(crate) front: f64,
    pub(crate) redis: f64,
    /// Per cent of the reads that a cache answered.
    pub(crate) hits: f64,
    /// Memory for a client.
    pub(crate) front_kib: f64,
    pub(crate) redis_kib: f64,
}

/// A part of a row, measured with every system.
pub(crate) struct Case<C> {
    /// What it is, in the columns that the section names.
    pub(crate) labels: Vec<String>,
    pub(crate) what: C,
}

/// Cases that are shown together.
pub(crate) struct Section<'a, C> {
    pub(crate) title: &'a str,
    pub(crate) labels: &'a [&'a str],
    /// The first is the one that the others are compared with.
    pub(crate) systems: Vec<String>,
    pub(crate) cases: Vec<Case<C>>,
    /// What there is a rate of.
    pub(crate) unit: &'a str,
}

/// A number of a run, with its name and how many digits of it are shown.
type Column = (&'static str, usize, fn(&Outcome) -> f64);

const COLUMNS: [Column; 8] = [
    ("p50 µs", 0, |it| it.p50),
    ("p99 µs", 0, |it| it.p99),
    ("CPU client", 2, |it| it.client),
    ("CPU in front", 2, |it| it.front),
    ("CPU Redis", 2, |it| it.redis),
    ("hits %", 1, |it| it.hits),
    ("KiB in front", 1, |it| it.front_kib),
    ("KiB Redis", 1, |it| it.redis_kib),
];

// === impl Outcome ===

impl Outcome {
    pub(crate) const NONE: Self = Self {
        rate: f64::NAN,
        p50: f64::NAN,
        p99: f64::NAN,
        client: f64::NAN,
        front: f64::NAN,
        redis: f64::NAN,
        hits: f64::NAN,
        front_kib: f64::NAN,
        redis_kib: f64::NAN,
    };
}

// === impl Section ===

impl<C> Section<'_, C> {
    /// Measures every case in every round with all systems directly after one another, another one first each time.
    /// `run` is told the case, the system and how many runs there were before.
    pub(crate) fn measure(
        &self,
        options: &Options,
        mut run: impl FnMut(&C, usize, usize) -> io::Result<Outcome>,
    ) -> io::Result<Table> {
        let count = self.systems.len();
        let mut outcomes = vec![vec![Vec::new(); count]; self.cases.len()];
        for round in 0..options.rounds {
            for (n, case) in self.cases.iter().enumerate() {
                let labels = case.labels.join(", ");
                eprint!("{} {}/{} {labels}:", self.title, round + 1, options.rounds);
                for turn in 0..count {
                    let system = (turn + round + n) % count;
                    let name = &self.systems[system];
                    let outcome = run(&case.what, system, round * self.cases.len() + n);
                    let place = |error| {
                        let title = self.title;
                        io::Error::other(format!("{title}, {labels}, {name}: {error}"))
                    };
                    let outcome = outcome.map_err(place)?;
                    eprint!(" {name} {:.0}", outcome.rate);
                    outcomes[n][system].push(outcome);
                    pause();
                }
                eprintln!();
            }
        }
        Ok(self.table(&outcomes))
    }

    fn table(&self, outcomes: &[Vec<Vec<Outcome>>]) -> Table {
        let all = || outcomes.iter().flatten().flatten();
        let columns: Vec<&Column> = COLUMNS
            .iter()
            .filter(|(_, _, of)| all().any(|outcome| of(outcome).is_finite()))
            .collect();
        let mut header: Vec<String> = self.labels.iter().map(|&label| label.to_owned()).collect();
        header.extend(["through".to_owned(), self.unit.to_owned()]);
        header.push(format!("to {}", self.systems[0]));
        header.extend(columns.iter().map(|(name, _, _)| (*name).to_owned()));
        let mut rows = vec![header];
        for (case, systems) in self.cases.iter().zip(outcomes) {
            for (name, runs) in self.systems.iter().zip(systems) {
                let of_direct = runs.iter().zip(&systems[0]);
                let ratio = Spread::of(of_direct.map(|(run, direct)| run.rate / direct.rate));
                let number = |digits: usize, of: fn(&Outcome) -> f64| {
                    let spread = Spread::of(runs.iter().map(of));
                    spread.map_or("–".to_owned(), |spread| {
                        format!("{:.digits$}", spread.median)
                    })
                };
                let mut row = case.labels.clone();
                row.extend([name.clone(), number(0, |it| it.rate)]);
                row.push(match ratio {
                    Some(ratio) if *name != self.systems[0] => ratio.to_string(),
                    _ => "–".to_owned(),
                });
                row.extend(columns.iter().map(|(_, digits, of)| number(*digits, *of)));
                rows.push(row);
            }
        }
        Table {
            title: self.title.to_owned(),
            rows,
        }
    }
}
