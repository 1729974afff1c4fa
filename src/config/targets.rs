//! Files of targets in the form of Prometheus' `file_sd`: JSON or YAML, a list of
//! `{targets: [address, …], labels: {name: value, …}}`.
//!
//! It reads one file at a time and remembers nothing. When a file is to be read again is the
//! affair of whoever watches it, and so are the credentials that it names.

use super::Endpoint;
use serde::{Deserialize, de};
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// The largest file that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;

/// The most targets of one file.
const MAX_TARGETS: usize = 100_000;

/// The most labels of one target.
const MAX_LABELS: usize = 64;

/// The most bytes of all names and values of a target's labels.
const MAX_LABEL_BYTES: usize = 4096;

/// The longest id.
const MAX_ID_BYTES: usize = 255;

/// The label that gives a target its id, and the one that names its credential.
const ID: &str = "id";
const CREDENTIAL: &str = "credential";

/// One server to be tracked, as a file or the configuration names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetSpec {
    /// Its id: the one that was given, or else its address.
    pub id: String,
    /// Where it listens, with the login of its URL if that has one.
    pub address: Endpoint,
    /// The name of the `[credentials.NAME]` to log in with.
    pub credential: Option<String>,
    /// What else is known about it.
    pub labels: BTreeMap<String, String>,
}

/// How a file of targets is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetFormat {
    /// `.json`
    Json,
    /// `.yml` or `.yaml`
    Yaml,
}

/// Why a file of targets cannot be used: `FILE:LINE:COLUMN: reason` or `FILE: [2].targets[0]: reason`.
/// It repeats no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{place} {reason}", file.display())]
pub struct TargetsError {
    file: PathBuf,
    place: Place,
    reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    File,
    Position { line: u64, column: u64 },
    Path(String),
}

/// One element of the list, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table of targets and labels")]
struct Group {
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    labels: BTreeMap<String, LabelValue>,
}

/// A label's value. YAML's bare numbers and booleans are texts too.
struct LabelValue(String);

/// Reads a file of targets. Every target has an id of its own.
///
/// # Errors
/// When the file cannot be read, is larger than 16 MiB, has neither of the known
/// extensions, is not what its extension says, or names something that cannot be a target.
pub fn read_targets(file: &Path) -> Result<Vec<TargetSpec>, TargetsError> {
    let wrong = |reason: String| TargetsError {
        file: file.to_owned(),
        place: Place::File,
        reason,
    };
    let format = TargetFormat::of(file)
        .ok_or_else(|| wrong("must end in .json, .yml or .yaml".to_owned()))?;
    let mut text = Vec::new();
    // Opening a pipe would wait for whoever writes into it.
    let read = file.metadata().and_then(|metadata| {
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let opened = File::open(file)?;
        opened.take(MAX_FILE_BYTES + 1).read_to_end(&mut text)
    });
    read.map_err(|error| wrong(format!("cannot be read: {error}")))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        let most = MAX_FILE_BYTES >> 20;
        return Err(wrong(format!("is larger than {most} MiB")));
    }
    let text = String::from_utf8(text).map_err(|_| wrong("is not UTF-8".to_owned()))?;
    parse(format, &text).map_err(|(place, reason)| TargetsError {
        file: file.to_owned(),
        place,
        reason,
    })
}

fn parse(format: TargetFormat, text: &str) -> Result<Vec<TargetSpec>, (Place, String)> {
    if text.trim().is_empty() {
        // As it is for an instant when a file is written anew in its place.
        let reason = "is empty: without targets, a list is written []";
        return Err((Place::File, reason.to_owned()));
    }
    let groups: Vec<Group> = match format {
        TargetFormat::Json => json(text)?,
        TargetFormat::Yaml => yaml(text)?,
    };
    let mut targets: Vec<TargetSpec> = Vec::new();
    let mut places: HashMap<String, String> = HashMap::new();
    for (index, group) in groups.into_iter().enumerate() {
        let in_group = |reason| (Place::Path(format!("[{index}].labels")), reason);
        let labels = group.labels.into_iter();
        let mut labels: BTreeMap<String, String> = labels
            .filter(|(name, _)| !name.starts_with("__"))
            .map(|(name, LabelValue(value))| (name, value))
            .collect();
        let id = labels.remove(ID);
        let credential = labels.remove(CREDENTIAL).filter(|name| !name.is_empty());
        if id.is_some() && group.targets.len() > 1 {
            let reason = "an id is for one target, and this list has more".to_owned();
            return Err(in_group(reason));
        }
        check_labels(&labels).map_err(in_group)?;
        for (place, target) in group.targets.into_iter().enumerate() {
            let place = format!("[{index}].targets[{place}]");
            let wrong = |reason| (Place::Path(place.clone()), reason);
            if targets.len() == MAX_TARGETS {
                return Err(wrong(format!("more than {MAX_TARGETS} targets")));
            }
            let target = TargetSpec::new(&target, id.clone(), credential.clone(), labels.clone())
                .map_err(|error| wrong(error.in_a_file()))?;
            if let Some(first) = places.insert(target.id.clone(), place.clone()) {
                let reason = format!("the id \"{}\" is taken by {first}", target.id);
                return Err(wrong(reason));
            }
            targets.push(target);
        }
    }
    Ok(targets)
}

fn json(text: &str) -> Result<Vec<Group>, (Place, String)> {
    serde_json::from_str(text).map_err(|error| {
        let message = error.to_string();
        // Its own text ends with the place.
        let reason = message.rsplit_once(" at line ").map_or(&*message, |m| m.0);
        let place = Place::Position {
            line: error.line() as u64,
            column: error.column().max(1) as u64,
        };
        (place, unquoted(reason))
    })
}

fn yaml(text: &str) -> Result<Vec<Group>, (Place, String)> {
    // As much as the largest file with the most targets can need; no more by way of aliases.
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_nodes: 8_000_000,
            max_events: 16_000_000,
            max_depth: 16,
        },
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let error = error.without_snippet();
        let place = error.location().map_or(Place::File, |at| Place::Position {
            line: at.line(),
            column: at.column(),
        });
        let formatter = serde_saphyr::UserMessageFormatter;
        let message = error.render_with_formatter(&formatter);
        let reason = message.rsplit_once(" at line ").map_or(&*message, |m| m.0);
        (place, unquoted(&reason.replace('\n', "; ")))
    })
}

/// Drops the value that serde quotes when it has the wrong type: it may be a URL with a password.
fn unquoted(reason: &str) -> String {
    match (reason.find("invalid type: "), reason.rfind(", expected ")) {
        (Some(start), Some(end)) if start < end => format!("must be {}", &reason[end + 11..]),
        _ => reason.to_owned(),
    }
}

/// Refuses labels that could not be shown as labels of a metric.
pub(super) fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), String> {
    if labels.len() > MAX_LABELS {
        return Err(format!("more than {MAX_LABELS} labels"));
    }
    if let Some(name) = labels.keys().find(|name| !is_label_name(name)) {
        return Err(format!(
            "\"{}\" cannot be a label's name: letters, digits and _, no digit first",
            name.escape_default()
        ));
    }
    let bytes: usize = labels
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if bytes > MAX_LABEL_BYTES {
        return Err(format!("more than {MAX_LABEL_BYTES} bytes of labels"));
    }
    Ok(())
}

fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Which of a target's texts is wrong, and why.
#[derive(Debug)]
pub(super) struct TargetError {
    /// `addr`, `credential` or `id`.
    pub(super) field: &'static str,
    pub(super) reason: String,
}

/// Reads `host:port`, or a `redis://`, `rediss://` or `unix://` URL.
fn address(text: &str) -> Result<Endpoint, String> {
    if text.contains("://") {
        return text.parse();
    }
    const HELP: &str = "must be HOST:PORT or a redis://, rediss:// or unix:// URL";
    if text.contains(['/', '@', '?', '#', '%']) {
        return Err(HELP.to_owned());
    }
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
            format!("redis://{text}").parse()
        }
        _ => Err(HELP.to_owned()),
    }
}

// === impl TargetError ===

impl TargetError {
    /// As it is said of a file, where the fields have no keys of their own.
    fn in_a_file(self) -> String {
        match self.field {
            "addr" => self.reason,
            field => format!("{field} {}", self.reason),
        }
    }
}

// === impl TargetSpec ===

impl TargetSpec {
    /// Checks what was read; labels are checked apart, because many targets share them.
    pub(super) fn new(
        text: &str,
        id: Option<String>,
        credential: Option<String>,
        labels: BTreeMap<String, String>,
    ) -> Result<Self, TargetError> {
        let wrong = |field, reason: String| TargetError { field, reason };
        let address = address(text).map_err(|reason| wrong("addr", reason))?;
        if credential.is_some() && (address.user.is_some() || address.password.is_some()) {
            let reason = "cannot be given with a login in the URL".to_owned();
            return Err(wrong("credential", reason));
        }
        let id = id.unwrap_or_else(|| address.address.to_string());
        if id.is_empty() || id.len() > MAX_ID_BYTES || id.contains(char::is_control) {
            let reason = format!("must have 1 to {MAX_ID_BYTES} bytes and no control characters");
            return Err(wrong("id", reason));
        }
        Ok(TargetSpec {
            id,
            address,
            credential,
            labels,
        })
    }
}

// === impl TargetFormat ===

impl TargetFormat {
    /// The format that a file's extension stands for.
    pub fn of(file: &Path) -> Option<Self> {
        match file.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "json" => Some(TargetFormat::Json),
            "yml" | "yaml" => Some(TargetFormat::Yaml),
            _ => None,
        }
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File => Ok(()),
            Place::Position { line, column } => write!(f, ":{line}:{column}:"),
            Place::Path(path) => write!(f, ": {path}:"),
        }
    }
}

// === impl LabelValue ===

impl<'de> Deserialize<'de> for LabelValue {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = LabelValue;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_str<E>(self, text: &str) -> Result<LabelValue, E> {
                Ok(LabelValue(text.to_owned()))
            }
        }
        // The scalar as it is written: `010` stays `010`.
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests;
