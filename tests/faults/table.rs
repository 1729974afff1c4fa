//! All faults on all backings, and the table in docs/reliability.md.

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::Duration;

use super::list::FAULTS;
use super::run::{Seen, play};
use super::tally::thousands;
use crate::support::RedisServer;

/// How long a fault lasts.
const LONG: Duration = Duration::from_millis(2500);

/// `make faults`: FAULTS=write puts the table into the page, FAULTS=show prints it; `FAULTS_ONLY` picks by name.
#[test]
fn all_faults() {
    let Ok(what) = std::env::var("FAULTS") else {
        eprintln!("skipped: make faults");
        return;
    };
    let only = std::env::var("FAULTS_ONLY").unwrap_or_default();
    let (major, minor, patch) = RedisServer::version();
    let mut text = format!(
        "8 clients on Redis {major}.{minor}.{patch}, timeouts of 2 s for a reply and 1 s for a connection (10 s with Sentinel and Cluster):\n\n\
         | fault | behind | served | errors | longest wait | back after |\n|---|---|---|---|---|---|\n"
    );
    let mut failed = Vec::new();
    for fault in FAULTS.iter().filter(|fault| fault.name.contains(&only)) {
        for kind in fault.behind {
            eprintln!("{}, {}", fault.name, kind.name());
            // One that fails does not hide the others.
            let played = catch_unwind(AssertUnwindSafe(|| play(fault, *kind, LONG)));
            let Ok(seen) = played else {
                failed.push(format!("{}, {}", fault.name, kind.name()));
                continue;
            };
            let row = row(fault.name, kind.name(), &seen);
            eprint!("{row}");
            text.push_str(&row);
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
    if what == "write" {
        put_into_page("faults", &text);
    }
}

/// Puts a text into docs/reliability.md, where its name is.
pub(crate) fn put_into_page(name: &str, text: &str) {
    let (begin, end) = (
        format!("<!-- {name}: begin -->\n"),
        format!("<!-- {name}: end -->"),
    );
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
    let before = fs::read_to_string(&page).expect("the page");
    let (head, rest) = before.split_once(&begin).expect("a place for it");
    let (_, tail) = rest.split_once(&end).expect("its end");
    fs::write(&page, format!("{head}{begin}{text}{end}{tail}")).expect("written");
}

fn row(name: &str, behind: &str, seen: &Seen) -> String {
    let tally = &seen.told.tally;
    let mut row = String::new();
    let _ = writeln!(
        row,
        "| {name} | {behind} | {} | {} | {} | {} |",
        thousands(tally.served),
        tally.errors(),
        millis(seen.told.longest),
        millis(seen.back_after)
    );
    row
}

fn millis(time: Duration) -> String {
    format!(
        "{} ms",
        thousands(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    )
}
