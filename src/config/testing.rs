//! What the tests of this folder load configurations with.

use super::{Config, ConfigError, Source, load};
use std::io::Write;
use tempfile::NamedTempFile;

/// A SHA-256 in hexadecimal.
pub(super) const HASH: &str = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";

/// Loads `toml` as the file.
pub(super) fn file(toml: &str) -> Result<Config, ConfigError> {
    layers(toml, &[], &[])
}

/// Loads `toml` as the file, below an environment.
pub(super) fn env(toml: &str, env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    layers(toml, env, &[])
}

/// Loads all three layers.
pub(super) fn layers(
    toml: &str,
    env: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Config, ConfigError> {
    let file = written(toml);
    let source = Source {
        file: Some(file.path().to_owned()),
        overrides: owned(flags),
    };
    load(&source, owned(env))
}

/// Returns the lines of the refusal of `toml`.
pub(super) fn problems(toml: &str) -> Vec<String> {
    lines(file(toml))
}

/// Returns the lines of a refusal.
pub(super) fn lines(result: Result<Config, ConfigError>) -> Vec<String> {
    let error = result.expect_err("must be refused").to_string();
    error.lines().map(str::to_owned).collect()
}

/// Writes a file that is gone with the returned value.
pub(super) fn written(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("room for it");
    file
}

fn owned(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}
