//! Which requests a pause holds.

use super::client::Session;
use super::client_line::version;
use super::pause::Paused;
use super::request::Request;
use super::settings::Settings;
use crate::command::{Effects, Handling, Pin};

impl Session {
    /// Whether `CLIENT PAUSE` holds a request. What is refused is refused at once, as in Redis.
    pub(super) fn is_paused(&self, request: Request<'_>, settings: &Settings) -> bool {
        let Some((_, paused)) = self.worker.shared.pause.current() else {
            return false;
        };
        let held = match paused {
            Paused::All => true,
            Paused::Writes if request.handling() == Handling::Pin(Pin::Exec) => {
                let pinned = self.pinned.as_ref();
                pinned.is_some_and(|pinned| pinned.queued_writes())
            }
            Paused::Writes => may_replicate(request, settings),
        };
        held && request.row.is_some()
            && request.arity_ok()
            && self.monitoring.is_none()
            && self.may_forward(request, settings)
    }
}

/// Whether a command may write or be replicated, as far as Redis asks when it pauses writes.
pub(super) fn may_replicate(request: Request<'_>, settings: &Settings) -> bool {
    let Some(row) = request.leaf() else {
        return false;
    };
    let is_eval = row.name.eq_ignore_ascii_case("eval");
    if row.name.starts_with("script") && !has_script_flags(settings) {
        // Loading and flushing scripts is replicated there.
        return true;
    }
    row.effects.contains(Effects::REPLICATES)
        && !(is_eval && request.args.get(1).is_some_and(only_reads) && has_script_flags(settings))
}

/// Whether the backing looks at what a script says of itself.
fn has_script_flags(settings: &Settings) -> bool {
    version(settings.hello.as_deref()).is_none_or(|version| version >= (7, 0))
}

/// Whether a script says of itself that it does not write: `#!lua flags=no-writes`.
fn only_reads(script: &[u8]) -> bool {
    let line = script.split(|byte| *byte == b'\n').next();
    let mut words = line.unwrap_or_default().split(|byte| *byte == b' ');
    words.next().is_some_and(|engine| engine.starts_with(b"#!"))
        && words.any(|word| {
            let flags = word.strip_prefix(b"flags=").unwrap_or_default();
            flags
                .split(|byte| *byte == b',')
                .any(|flag| flag == b"no-writes")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_say_that_they_only_read() {
        assert!(only_reads(b"#!lua flags=no-writes\nreturn 1"));
        assert!(only_reads(b"#!lua name=x flags=allow-stale,no-writes"));
        for script in [
            "return 1 -- flags=no-writes",
            "#!lua\n-- flags=no-writes",
            "#!lua flags=allow-oom",
            "",
        ] {
            assert!(!only_reads(script.as_bytes()), "{script}");
        }
    }
}
