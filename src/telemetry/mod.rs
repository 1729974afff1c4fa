//! Logging: tracing events to stderr, and the last warnings in memory. It declares no metrics.

mod recent;

pub use recent::recent;

use crate::config::LogFormat;
use std::{
    env,
    io::{self, IsTerminal},
    sync::OnceLock,
};
use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt, registry, reload, util::SubscriberInitExt,
};

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// `RUST_LOG` or the level is no filter.
    #[error("{origin}: \"{text}\" is not a log filter: {reason}")]
    Filter {
        /// What it comes from.
        origin: &'static str,
        /// The filter as it was given.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Logging was set up before in this process.
    #[error("logging is set up already")]
    AlreadySet,
}

/// The variable that wins over the configured level.
const VARIABLE: &str = "RUST_LOG";

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging to stderr at `level` (`info`, …), unless `RUST_LOG` says otherwise.
///
/// Text is one compact line per event, coloured on a terminal only (and not with `NO_COLOR`); JSON is
/// one object per line.
///
/// # Errors
///
/// If a filter cannot be parsed, or if the process logs already.
pub fn init(format: LogFormat, level: &str) -> Result<(), TelemetryError> {
    let (filter, handle) = reload::Layer::new(filter(env::var(VARIABLE).ok().as_deref(), level)?);
    let registry = registry().with(filter).with(recent::Remember);
    // A closed stderr must not turn the report of a lost line into a panic.
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .log_internal_errors(false);
    let set = match format {
        LogFormat::Text => {
            let lines = lines.compact().with_target(false).with_ansi(colours());
            registry.with(lines).try_init()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_ansi(false);
            registry.with(lines).try_init()
        }
    };
    set.map_err(|_| TelemetryError::AlreadySet)?;
    LEVEL.set(handle).map_err(|_| TelemetryError::AlreadySet)
}

/// Changes the level of the running process, unless `RUST_LOG` says otherwise. Does nothing before [`init`].
///
/// # Errors
///
/// If the filter cannot be parsed.
pub fn set_level(level: &str) -> Result<(), TelemetryError> {
    let filter = filter(env::var(VARIABLE).ok().as_deref(), level)?;
    if let Some(handle) = LEVEL.get() {
        // It fails only when the subscriber is gone, and then nobody logs.
        let _ = handle.reload(filter);
    }
    Ok(())
}

fn filter(variable: Option<&str>, level: &str) -> Result<EnvFilter, TelemetryError> {
    let (origin, text) = match variable {
        Some(text) if !text.trim().is_empty() => (VARIABLE, text),
        _ => ("log_level", level),
    };
    EnvFilter::builder()
        .parse(text)
        .map_err(|error| TelemetryError::Filter {
            origin,
            text: text.to_owned(),
            reason: error.to_string(),
        })
}

fn colours() -> bool {
    let no_colour = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !no_colour && io::stderr().is_terminal()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_the_level() {
        let filter = |variable, level| filter(variable, level).map(|filter| filter.to_string());
        assert_eq!(filter(None, "warn").expect("a level"), "warn");
        assert_eq!(filter(Some(" "), "warn").expect("a level"), "warn");
        assert_eq!(
            filter(Some("respite=debug"), "warn").expect("a filter"),
            "respite=debug"
        );
    }

    #[test]
    fn a_bad_filter_is_refused_by_name() {
        let error = filter(Some("respite=loud"), "info").expect_err("not a level");
        let text = error.to_string();
        assert!(
            text.starts_with("RUST_LOG: \"respite=loud\" is not a log filter: "),
            "{text}"
        );
    }

    #[test]
    fn logging_is_set_up_once_and_its_level_changes() {
        init(LogFormat::Json, "info").expect("first");
        let again = init(LogFormat::Text, "info").expect_err("second");
        assert_eq!(again.to_string(), "logging is set up already");
        set_level("error").expect("a level");
        if env::var_os(VARIABLE).is_none() {
            assert!(!tracing::enabled!(tracing::Level::INFO));
            set_level("debug").expect("a level");
            assert!(tracing::enabled!(tracing::Level::DEBUG));
        }
    }
}
