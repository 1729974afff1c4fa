//! The last warnings and errors of the log, for whoever has no terminal at hand.

use std::collections::VecDeque;
use std::fmt::{Debug, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// So many are remembered.
const MOST: usize = 100;
/// So much of a line.
const MOST_BYTES: usize = 2000;

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

/// A line of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since 1970.
    pub time_ms: u64,
    /// `WARN` or `ERROR`.
    pub level: &'static str,
    /// What it says, with its fields.
    pub text: String,
}

/// The last warnings and errors, the newest first.
#[must_use]
pub fn recent() -> Vec<Line> {
    LINES.lock().iter().rev().cloned().collect()
}

/// Remembers warnings and errors.
pub(super) struct Remember;

impl<S: Subscriber> Layer<S> for Remember {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARN",
            _ => return,
        };
        let mut text = Text::default();
        event.record(&mut text);
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let line = Line {
            time_ms: now.map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(u64::MAX)),
            level,
            text: text.whole(),
        };
        let mut lines = LINES.lock();
        if lines.len() == MOST {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Text {
    fn whole(self) -> String {
        let mut text = self.message + &self.fields;
        if text.len() > MOST_BYTES {
            let end = (0..=MOST_BYTES).rev().find(|at| text.is_char_boundary(*at));
            text.truncate(end.unwrap_or_default());
            text.push('…');
        }
        text
    }
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn warnings_are_remembered_with_their_fields() {
        let logger = tracing_subscriber::registry().with(Remember);
        tracing::subscriber::with_default(logger, || {
            tracing::info!("not this");
            for n in 0..MOST {
                tracing::warn!(n, "remembered");
            }
            tracing::error!("{}", "é".repeat(MOST_BYTES));
        });
        let lines = recent();
        assert_eq!(lines.len(), MOST);
        assert!(lines[0].level == "ERROR" && lines[0].text.len() <= MOST_BYTES + 3);
        let expected = format!("remembered n={}", MOST - 1);
        assert_eq!(
            (lines[1].level, lines[1].text.as_str()),
            ("WARN", expected.as_str())
        );
    }
}
