//! Bad input and too much of everything: a clear error for the one, nothing for the others.

mod bounds;
mod floods;
mod memory;
mod output;
mod patterns;
mod protocol;
mod sum;

use std::time::Duration;

use crate::support::Respite;

const MIB: usize = 1 << 20;
/// Debug builds move 100 MiB slowly on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Resident memory of the process, now or at its highest, in bytes.
fn memory(respite: &Respite, line: &str) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", respite.pid())).expect("/proc");
    let value = status
        .lines()
        .find_map(|text| text.strip_prefix(line))
        .expect(line);
    let kib = value.trim_matches(|c: char| !c.is_ascii_digit());
    kib.parse::<usize>().expect("a number of kB") * 1024
}

fn resident(respite: &Respite) -> usize {
    memory(respite, "VmRSS:")
}

fn highest(respite: &Respite) -> usize {
    memory(respite, "VmHWM:")
}
