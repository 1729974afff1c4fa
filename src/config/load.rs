//! The order of the steps: defaults, file, environment, flags; then types; then rules.

use super::{
    Config, ConfigError, Problem, environment,
    error::Problems,
    merge::{self, SetError},
    raw, upstream, validate,
};
use serde_path_to_error::Segment;
use std::{
    fs,
    path::{Path, PathBuf},
};
use toml::{Table, Value};

/// The commented example: every key with its default, and so the schema too.
const DEFAULTS: &str = include_str!("../../config/respite.toml");

/// Where a configuration comes from, the environment aside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The TOML file; without it, the defaults.
    pub file: Option<PathBuf>,
    /// What flags say: dotted keys with their values as text, lists separated by commas.
    pub overrides: Vec<(String, String)>,
}

/// Loads and checks a configuration: flag > environment > file > default.
///
/// # Errors
///
/// Everything that is wrong, each problem with its key: an unreadable file, unknown keys and
/// `RESPITE_…` variables, values of the wrong type, impossible values. Values are not checked
/// against one another while there are some of the wrong type.
pub fn load(
    source: &Source,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let file = source.file.as_deref().map(read).transpose()?;
    layered(file, source, env)
}

/// Loads and checks a configuration as [`load`] would if this were the text of the file.
///
/// # Errors
/// As [`load`].
pub fn load_text(
    text: &str,
    source: &Source,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let name = source.file.as_deref().unwrap_or(Path::new("the text"));
    layered(Some(parse(text, name)?), source, env)
}

fn layered(
    file: Option<Table>,
    source: &Source,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Config, ConfigError> {
    let defaults = defaults();
    let mut merged = defaults.clone();
    let mut problems = Problems::default();
    if let Some(file) = file {
        let file = upstream::flatten(file, &mut problems);
        merge::merge(&mut merged, file, &mut problems);
    }
    environment::apply(&defaults, &mut merged, env, &mut problems);
    for (key, text) in &source.overrides {
        let path: Vec<&str> = key.split('.').collect();
        match merge::set(&defaults, &mut merged, &path, text) {
            Ok(()) => {}
            Err(SetError::Unknown) => problems.push(Problem::UnknownKey {
                key: key.clone(),
                suggestion: None,
            }),
            Err(SetError::Invalid(reason)) => problems.invalid(key, reason),
        }
    }
    let config =
        typed(merged, &defaults, &mut problems).map(|raw| validate::config(raw, &mut problems));
    problems.into_result(config).map(|config| {
        config.expect("without a problem there is a configuration: typed() reports one otherwise")
    })
}

/// Reports whether the file, the environment or a flag gives this key, the default aside. A file that
/// cannot be read names nothing.
pub fn is_named(
    source: &Source,
    env: impl IntoIterator<Item = (String, String)>,
    key: &str,
) -> bool {
    let path: Vec<&str> = key.split('.').collect();
    let file = source.file.as_deref().and_then(|file| read(file).ok());
    file.is_some_and(|table| merge::lookup(&table, &path).is_some())
        || source.overrides.iter().any(|(name, _)| name == key)
        || env
            .into_iter()
            .any(|(name, _)| name == environment::variable_of(key))
}

fn defaults() -> Table {
    DEFAULTS
        .parse()
        .expect("config/respite.toml is TOML: a test parses it")
}

fn read(file: &Path) -> Result<Table, Problem> {
    let text = fs::read_to_string(file).map_err(|error| Problem::Unreadable {
        file: file.to_owned(),
        reason: error.to_string(),
    })?;
    parse(&text, file)
}

fn parse(text: &str, file: &Path) -> Result<Table, Problem> {
    text.parse::<Table>().map_err(|error| {
        // The error's own text quotes the line, which may hold a password.
        let (line, column) = position(text, error.span().map_or(0, |span| span.start));
        Problem::Syntax {
            file: file.to_owned(),
            line,
            column,
            message: error.message().replace('\n', "; "),
        }
    })
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    (
        line,
        before.get(line_start..).unwrap_or("").chars().count() + 1,
    )
}

/// Gives every value its type. To find all that have a wrong one, each is put back to its default
/// and the rest tried again.
fn typed(mut table: Table, defaults: &Table, problems: &mut Problems) -> Option<raw::Config> {
    let before = problems.len();
    loop {
        match serde_path_to_error::deserialize(Value::Table(table.clone())) {
            Ok(raw) => return (problems.len() == before).then_some(raw),
            Err(error) => {
                let reason = error.inner().message();
                problems.invalid(error.path().to_string(), reason);
                if !reset(&mut table, defaults, error.path()) {
                    return None;
                }
            }
        }
    }
}

/// Puts the default back. Returns whether that changed something.
fn reset(table: &mut Table, defaults: &Table, path: &serde_path_to_error::Path) -> bool {
    let keys: Vec<&str> = path
        .iter()
        .map_while(|segment| match segment {
            Segment::Map { key } => Some(key.as_str()),
            _ => None,
        })
        .collect();
    match (
        merge::lookup_mut(table, &keys),
        merge::lookup(defaults, &keys),
    ) {
        (Some(value), Some(default)) if value != default => {
            value.clone_from(default);
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{file, layers, lines, problems};
    use crate::config::{LogFormat, Upstream};
    use std::time::Duration;

    #[test]
    fn the_defaults_are_the_documented_ones() {
        let config = load(&Source::default(), []).expect("valid");
        assert_eq!(config, Config::default());
        assert_eq!(config.listen.len(), 1);
        assert_eq!(config.listen[0].as_str(), "127.0.0.1:7379");
        assert_eq!(config.upstream, Upstream::Embedded);
        assert_eq!(config.upstream_credential, None);
        assert_eq!(config.workers, 0);
        assert_eq!(config.data_dir, None);
        assert_eq!(config.log_format, LogFormat::Text);
        assert_eq!(config.log_level, "info");
        let http = config.http.listen.expect("on");
        assert_eq!(http.as_str(), "127.0.0.1:8008");
        assert_eq!(config.limits.clients, 10_000);
        assert_eq!(config.limits.request_bytes, 1 << 30);
        assert_eq!(config.limits.bulk_bytes, 512 << 20);
        assert_eq!(config.limits.client_output_bytes, 256 << 20);
        assert_eq!(config.limits.client_in_flight, 1024);
        assert_eq!(config.limits.upstream_in_flight, 65_536);
        assert_eq!(config.limits.pinned, 1000);
        assert_eq!(config.timeouts.connect, Duration::from_secs(5));
        assert_eq!(config.timeouts.failover, Duration::from_secs(20));
        assert_eq!(config.timeouts.reply, Some(Duration::from_secs(60)));
        assert_eq!(config.timeouts.drain, Duration::from_secs(10));
        assert_eq!(config.timeouts.idle, None);
        assert_eq!(config.tls.server, None);
        assert_eq!(config.tls.upstream_ca, None);
        assert!(config.access.protected_mode);
        assert!(config.access.deny.is_empty() && config.access.users.is_empty());
        assert!(config.credentials.is_empty());
    }

    #[test]
    fn every_key_of_the_example_has_a_comment() {
        let mut previous = "";
        for line in DEFAULTS.lines() {
            let is_key = line.contains(" = ") && !line.starts_with('#');
            assert!(!is_key || previous.starts_with("# "), "{line}");
            previous = line;
        }
    }

    #[test]
    fn the_example_is_valid_with_what_is_commented_out_in_it() {
        assert_eq!(file(DEFAULTS).expect("valid"), Config::default());
        let text: Vec<&str> = DEFAULTS
            .lines()
            .filter(|line| {
                *line != "users = []"
                    && *line != "static = []"
                    && *line != "# password_file = \"/run/secrets/redis\""
            })
            .collect();
        let (keys, examples) = text.join("\n").split_once("# [[").map_or_else(
            || panic!("no example"),
            |(keys, examples)| (keys.to_owned(), format!("# [[{examples}")),
        );
        let shown: Vec<&str> = examples
            .lines()
            .map(|line| line.strip_prefix("# ").unwrap_or(line))
            .map(|line| if line.starts_with("Logins") { "" } else { line })
            .collect();
        let config = file(&format!("{keys}\n{}", shown.join("\n"))).expect("valid");
        assert_eq!(config.access.users.len(), 1);
        assert_eq!(config.credentials["main"].user, "respite");
        assert_eq!(config.targets.listed[0].id, "carts");
    }

    #[test]
    fn flag_beats_environment_beats_file_beats_default() {
        let text = "workers = 1\nlog_level = \"warn\"\n[limits]\nclients = 5";
        let variables = [("RESPITE_WORKERS", "2"), ("RESPITE_LOG_LEVEL", "debug")];
        let config = layers(text, &variables, &[("workers", "3")]).expect("valid");
        assert_eq!(config.workers, 3);
        assert_eq!(config.log_level, "debug");
        assert_eq!(config.limits.clients, 5);
        assert_eq!(config.limits.pinned, 1000);
    }

    #[test]
    fn it_is_known_where_a_value_comes_from() {
        let named = |text: &str, env: &[(&str, &str)], flags: &[(&str, &str)]| {
            let owned = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
                let owned = |(a, b): &(&str, &str)| ((*a).to_owned(), (*b).to_owned());
                pairs.iter().map(owned).collect()
            };
            let file = crate::config::testing::written(text);
            let source = Source {
                file: Some(file.path().to_owned()),
                overrides: owned(flags),
            };
            is_named(&source, owned(env), "http.listen")
        };
        assert!(!named(
            "workers = 1",
            &[("RESPITE_WORKERS", "1")],
            &[("workers", "1")]
        ));
        assert!(named("[http]\nlisten = \"127.0.0.1:8008\"", &[], &[]));
        assert!(named("", &[("RESPITE_HTTP__LISTEN", "")], &[]));
        assert!(named("", &[], &[("http.listen", "")]));
    }

    #[test]
    fn bad_flags_name_their_key() {
        let refused = lines(layers("", &[], &[("workers", "x"), ("colour", "red")]));
        assert_eq!(
            refused,
            ["workers: \"x\" is not an integer", "unknown key \"colour\""]
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let text = "workers = \"two\"\nlog_level = 3\nlsten = 1\n[limits]\nclients = 1.5";
        assert_eq!(
            problems(text),
            [
                "unknown key \"lsten\" (did you mean \"listen\"?)",
                "limits.clients: invalid type: floating point `1.5`, expected i64",
                "log_level: invalid type: integer `3`, expected a string",
                "workers: invalid type: string \"two\", expected i64",
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let source = Source {
            file: Some(PathBuf::from("/nowhere/respite.toml")),
            overrides: Vec::new(),
        };
        let error = load(&source, []).expect_err("there is no such file");
        assert_eq!(
            error.to_string(),
            "cannot read /nowhere/respite.toml: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn a_syntax_error_has_its_place_and_quotes_nothing() {
        let [line] =
            <[String; 1]>::try_from(problems("workers = 1\nupstream = \"redis://:hush@h\n"))
                .expect("one line");
        let place = line
            .split_once(".tmp")
            .map_or(line.as_str(), |(_, rest)| rest);
        assert!(place.contains(":2:"), "{line}");
        assert!(!line.contains("hush"), "{line}");
    }
}
