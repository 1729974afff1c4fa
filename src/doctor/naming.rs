//! Names in findings: in one line, the first few of many.

/// So many names are said, the rest is counted.
const NAMES: usize = 3;

/// Some names, and how many more there are.
pub(super) fn names<'a>(all: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<&str> = all.collect();
    let more = all.len().saturating_sub(NAMES);
    let first: Vec<String> = all
        .iter()
        .take(NAMES)
        .map(|name| format!("'{}'", brief(name)))
        .collect();
    let first = first.join(", ");
    if more == 0 {
        first
    } else {
        format!("{first} and {more} more")
    }
}

/// A name in one line.
pub(super) fn brief(name: &str) -> String {
    let cut: String = name
        .chars()
        .take(80)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if name.chars().nth(80).is_some() {
        format!("{cut}…")
    } else {
        cut
    }
}
