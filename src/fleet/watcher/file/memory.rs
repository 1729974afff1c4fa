//! What each file of targets said last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::super::spec::{Word, target};
use crate::config::{TargetPath, TargetSpec, read_targets};
use crate::fleet::{Credentials, MAX_TARGETS, Target};

/// The most files of all paths.
const MAX_FILES: usize = 1000;

/// A file that was changed so shortly before it was read may be changed again without its time
/// telling: clocks of file systems are coarse.
const COARSE: Duration = Duration::from_secs(2);

/// What is known of the files, from one look to the next and across reloads.
#[derive(Debug, Default)]
pub struct FileMemory {
    /// Locked for a whole look, so that one that a reload has left behind ends first. Nobody else asks.
    files: Mutex<BTreeMap<PathBuf, Known>>,
}

/// What the files say.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Looked {
    pub(super) targets: Vec<Target>,
    /// The first thing that is wrong.
    pub(super) problem: Option<String>,
}

#[derive(Debug, Default)]
struct Known {
    stamp: Option<Stamp>,
    targets: Vec<TargetSpec>,
    problem: Option<String>,
}

/// As long as it is the same, the file is.
#[derive(Debug, PartialEq)]
struct Stamp {
    device: u64,
    number: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The problems of one look; the first is shown.
#[derive(Default)]
struct Problems {
    first: Option<String>,
    others: usize,
}

impl FileMemory {
    /// Looks at the files, reads those that have changed, and tells what all of them say, in the
    /// order of the paths and, within one, of the names. Of two targets with the same id the first counts.
    pub(super) fn look(&self, paths: &[TargetPath], credentials: &Credentials) -> Looked {
        let mut known = self.files.lock();
        let mut problems = Problems::default();
        let mut order: Vec<PathBuf> = Vec::new();
        let mut listed: HashSet<PathBuf> = HashSet::new();
        for path in paths {
            let found = files(path).unwrap_or_else(|error| {
                let folder = path.folder().display();
                problems.add(format!("{folder} cannot be listed: {error}"));
                match error.kind() {
                    ErrorKind::NotFound => Vec::new(),
                    _ => known
                        .keys()
                        .filter(|file| is_of(path, file))
                        .cloned()
                        .collect(),
                }
            });
            let new = found.into_iter().filter(|file| listed.insert(file.clone()));
            order.extend(new);
        }
        if order.len() > MAX_FILES {
            problems.add(format!("more than {MAX_FILES} files"));
            order.truncate(MAX_FILES);
        }
        known.retain(|file, _| listed.contains(file));
        let mut looked = Vec::new();
        let mut owners: HashMap<&str, &Path> = HashMap::new();
        for file in &order {
            let entry = known.entry(file.clone()).or_default();
            if !entry.refresh(file) {
                known.remove(file);
                problems.add(format!("{} is not there", file.display()));
            }
        }
        for file in &order {
            let Some(known) = known.get(file) else {
                continue;
            };
            problems.first_of(known.problem.as_ref());
            for spec in &known.targets {
                if let Some(other) = owners.get(spec.id.as_str()) {
                    let (file, other) = (file.display(), other.display());
                    problems.add(format!(
                        "{file}: the id \"{}\" is taken by {other}",
                        spec.id
                    ));
                    continue;
                }
                if looked.len() == MAX_TARGETS {
                    problems.add(format!(
                        "{}: more than {MAX_TARGETS} targets",
                        file.display()
                    ));
                    break;
                }
                owners.insert(&spec.id, file);
                match target(spec, Word::Found, credentials) {
                    Ok(target) => looked.push(target),
                    Err(reason) => {
                        problems.add(format!("{}: {}: {reason}", file.display(), spec.id));
                    }
                }
            }
        }
        Looked {
            targets: looked,
            problem: problems.into_text(),
        }
    }
}

/// The files that a path stands for, sorted; one that is named is among them, there or not.
pub(super) fn files(path: &TargetPath) -> io::Result<Vec<PathBuf>> {
    if let Some(file) = path.single() {
        return Ok(vec![file]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path.folder())? {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| path.matches(name)) {
            files.push(path.folder().join(name));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a path stands for this file.
fn is_of(path: &TargetPath, file: &Path) -> bool {
    let name = file.file_name().and_then(|name| name.to_str());
    file.parent() == Some(path.folder()) && name.is_some_and(|name| path.matches(name))
}

// === impl Known ===

impl Known {
    /// Reads the file again if it has changed. Returns whether it is there.
    fn refresh(&mut self, file: &Path) -> bool {
        let stamp = match fs::metadata(file) {
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) if error.kind() == ErrorKind::NotFound => return false,
            Err(error) => {
                self.stamp = None;
                self.problem = Some(format!("{} cannot be read: {error}", file.display()));
                return true;
            }
        };
        if self.stamp.as_ref() == Some(&stamp) {
            return true;
        }
        let now = SystemTime::now();
        match read_targets(file) {
            Ok(targets) => {
                self.targets = targets;
                self.problem = None;
                self.stamp = stamp.is_settled(now).then_some(stamp);
            }
            Err(error) => {
                self.problem = Some(error.to_string());
                self.stamp = None;
            }
        }
        true
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Stamp {
            device: metadata.dev(),
            number: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let changed = Duration::from_secs(self.changed.0.unsigned_abs());
        let changed = SystemTime::UNIX_EPOCH.checked_add(changed);
        changed.is_some_and(|changed| changed + COARSE < now)
    }
}

// === impl Problems ===

impl Problems {
    fn add(&mut self, problem: String) {
        match self.first {
            None => self.first = Some(problem),
            Some(_) => self.others += 1,
        }
    }

    fn first_of(&mut self, problem: Option<&String>) {
        if let Some(problem) = problem {
            self.add(problem.clone());
        }
    }

    fn into_text(self) -> Option<String> {
        let first = self.first?;
        Some(match self.others {
            0 => first,
            others => format!("{first} (and {others} more)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_just_changed_is_read_once_more() {
        let stamp = Stamp {
            device: 1,
            number: 1,
            bytes: 1,
            modified: (0, 0),
            changed: (1000, 999_999_999),
        };
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, settled) in [(999, false), (1000, false), (1002, false), (1003, true)] {
            assert_eq!(stamp.is_settled(at(now)), settled, "{now}");
        }
    }
}
