//! The machine that the numbers come from.

use std::fs;
use std::path::Path;
use std::thread;

use crate::systems::first_line;

/// What a reader must know to judge the numbers.
pub(crate) struct Machine {
    /// The day, as `2026-01-31`, in UTC.
    pub(crate) date: String,
    /// Cores that may be used.
    pub(crate) cores: usize,
    /// The processor's model.
    pub(crate) processor: String,
    /// The operating system's kernel.
    pub(crate) kernel: String,
    /// Processes that ran or waited to run in the minute before the start.
    pub(crate) load: String,
}

impl Machine {
    /// Looks at this machine; what cannot be found out is said to be unknown.
    pub(crate) fn this() -> Self {
        let unknown = || "unknown".to_owned();
        let ask = |program: &str, args: &[&str]| first_line(Path::new(program), args);
        let model = fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let load = fs::read_to_string("/proc/loadavg").ok();
        Self {
            date: ask("date", &["-u", "+%Y-%m-%d"]).unwrap_or_else(unknown),
            cores: thread::available_parallelism().map_or(1, usize::from),
            processor: model
                .or_else(|| ask("sysctl", &["-n", "machdep.cpu.brand_string"]))
                .unwrap_or_else(unknown),
            kernel: ask("uname", &["-srm"]).unwrap_or_else(unknown),
            load: load
                .and_then(|text| text.split_whitespace().next().map(str::to_owned))
                .unwrap_or_else(unknown),
        }
    }
}
