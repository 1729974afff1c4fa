//! Prometheus' text, read as strictly as the format is written.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::process::{Command, Stdio};

/// A text with its samples by series.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    samples: HashMap<String, f64>,
    pub(crate) types: HashMap<String, String>,
}

impl Exposition {
    /// Reads a text: every metric with its help and type before its samples, all of them together, and no
    /// series twice.
    #[track_caller]
    pub(crate) fn read(text: &str) -> Self {
        let mut found = Exposition::default();
        let mut current = String::new();
        let mut done = HashSet::new();
        for line in text.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            match words.as_slice() {
                ["#", "HELP", name, help] => {
                    assert!(!help.is_empty(), "{line}");
                    done.insert(std::mem::replace(&mut current, (*name).to_owned()));
                    assert!(!done.contains(*name), "{name} is there twice");
                }
                ["#", "TYPE", name, kind] => {
                    assert_eq!(*name, current, "{line}");
                    let before = found.types.insert(current.clone(), (*kind).to_owned());
                    assert_eq!(before, None, "{line}");
                }
                _ => {
                    let (series, value) = line.rsplit_once(' ').expect(line);
                    let name = series.split('{').next().expect("a name");
                    let rest = name.strip_prefix(current.as_str());
                    assert!(
                        matches!(rest, Some("" | "_sum" | "_count" | "_bucket")),
                        "{line} among {current}"
                    );
                    let value: f64 = value.parse().expect(line);
                    let before = found.samples.insert(series.to_owned(), value);
                    assert_eq!(before, None, "{series} is there twice");
                }
            }
        }
        assert!(text.ends_with('\n'));
        found
    }

    /// The value of a series.
    pub(crate) fn get(&self, series: &str) -> Option<f64> {
        self.samples.get(series).copied()
    }

    /// The series of a metric.
    pub(crate) fn of(&self, metric: &str) -> Vec<&str> {
        let named = |series: &&str| series.split('{').next() == Some(metric);
        let mut series: Vec<&str> = self
            .samples
            .keys()
            .map(String::as_str)
            .filter(named)
            .collect();
        series.sort_unstable();
        series
    }
}

/// What `promtool check metrics` says of a text; it must be able to read it.
#[track_caller]
pub(crate) fn promtool(text: &str) -> Vec<String> {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool: scripts/setup.sh test installs it");
    let mut stdin = child.stdin.take().expect("piped");
    let text = text.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(text.as_bytes()));
    let checked = child.wait_with_output().expect("promtool ends");
    writing.join().expect("no panic").expect("written");
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    // 3: it can be read, but the names are not what Prometheus recommends.
    assert!(matches!(checked.status.code(), Some(0 | 3)), "{said}");
    said.lines().map(str::to_owned).collect()
}
