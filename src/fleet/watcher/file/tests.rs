use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::*;
use crate::config::{Credential, MeantFor, Secret, TargetPath};
use crate::fleet::watcher::{Found, Supervisor};

/// Only a failure waits as long.
const DEADLINE: Duration = Duration::from_secs(10);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn path(folder: &Path, name: &str) -> TargetPath {
    let path = folder.join(name);
    TargetPath::new(path.to_str().expect("UTF-8")).expect(name)
}

fn listing(ids: &[&str]) -> String {
    format!("[{{\"targets\": {ids:?}}}]")
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).expect("written");
}

/// What a look tells, the folder's name left out.
fn look(memory: &FileMemory, folder: &Path, names: &[&str]) -> (Vec<String>, Option<String>) {
    let paths: Vec<TargetPath> = names.iter().map(|name| path(folder, name)).collect();
    let looked = memory.look(&paths, &Credentials::default());
    let folder = folder.display().to_string();
    let ids = looked.targets.into_iter().map(|target| target.id).collect();
    let problem = looked
        .problem
        .map(|problem| problem.replace(&folder, "DIR"));
    (ids, problem)
}

fn well(ids: &[&str]) -> (Vec<String>, Option<String>) {
    (ids.iter().map(|id| (*id).to_owned()).collect(), None)
}

fn ill(ids: &[&str], problem: &str) -> (Vec<String>, Option<String>) {
    (well(ids).0, Some(problem.to_owned()))
}

#[test]
fn a_broken_file_keeps_its_targets_and_the_others_go_on() {
    let folder = folder();
    let (memory, dir) = (FileMemory::default(), folder.path());
    let look = || look(&memory, dir, &["a.json", "b.yml"]);
    write(dir, "a.json", &listing(&["a:1"]));
    write(dir, "b.yml", "- targets: ['b:1']");
    assert_eq!(look(), well(&["a:1", "b:1"]));
    write(dir, "a.json", "[{\"targets\":\n");
    write(dir, "b.yml", "- targets: ['b:2']");
    assert_eq!(
        look(),
        ill(&["a:1", "b:2"], "DIR/a.json:2:1: EOF while parsing a value")
    );
    write(dir, "a.json", "");
    let empty = "DIR/a.json is empty: without targets, a list is written []";
    assert_eq!(look(), ill(&["a:1", "b:2"], empty));
    write(dir, "a.json", &listing(&["a:2"]));
    assert_eq!(look(), well(&["a:2", "b:2"]));
    write(dir, "a.json", "[]");
    assert_eq!(look(), well(&["b:2"]));
}

#[test]
fn a_file_that_is_gone_takes_its_targets_along() {
    let folder = folder();
    let (memory, dir) = (FileMemory::default(), folder.path());
    let named = || look(&memory, dir, &["a.json"]);
    assert_eq!(named(), ill(&[], "DIR/a.json is not there"));
    write(dir, "a.json", &listing(&["a:1"]));
    assert_eq!(named(), well(&["a:1"]));
    fs::remove_file(dir.join("a.json")).expect("removed");
    assert_eq!(named(), ill(&[], "DIR/a.json is not there"));

    let all = || look(&memory, dir, &["*.json", "sub/*.json"]);
    let missing = "DIR/sub cannot be listed: No such file or directory (os error 2)";
    write(dir, "b.json", &listing(&["b:1"]));
    write(dir, "a.json", &listing(&["a:1"]));
    assert_eq!(all(), ill(&["a:1", "b:1"], missing));
    fs::create_dir(dir.join("sub")).expect("created");
    fs::remove_file(dir.join("a.json")).expect("removed");
    write(dir, "sub/c.json", &listing(&["c:1"]));
    assert_eq!(all(), well(&["b:1", "c:1"]), "no error: none was named");
}

#[test]
fn of_two_with_one_id_the_first_counts() {
    let folder = folder();
    let (memory, dir) = (FileMemory::default(), folder.path());
    write(dir, "a.json", &listing(&["x:1", "a:1"]));
    write(dir, "b.json", &listing(&["b:1", "x:1", "a:1"]));
    let taken = "DIR/b.json: the id \"x:1\" is taken by DIR/a.json (and 1 more)";
    let looked = look(&memory, dir, &["*.json", "a.json"]);
    assert_eq!(looked, ill(&["x:1", "a:1", "b:1"], taken));
}

#[test]
fn two_writes_within_one_tick_of_the_clock_are_told_apart() {
    let folder = folder();
    let (memory, dir) = (FileMemory::default(), folder.path());
    for round in 0..200 {
        let id = format!("a:{}", 1 + round % 9);
        write(dir, "a.json", &listing(&[&id]));
        assert_eq!(look(&memory, dir, &["a.json"]), well(&[&id]));
    }
}

#[test]
fn credentials_are_named() {
    let folder = folder();
    let (memory, dir) = (FileMemory::default(), folder.path());
    let text = "- targets: ['a:1']\n  labels: {credential: main}\n- targets: ['b:1']\n\
                - targets: ['c:1']\n  labels: {credential: main}\n";
    write(dir, "a.yml", text);
    let meant = MeantFor::new(&["a:1".to_owned()]).expect("a pattern");
    let login = Credential {
        user: "u".to_owned(),
        password: Secret::new("hush"),
        password_file: None,
        meant_for: Arc::new(meant),
    };
    let credentials = Credentials::new([("main".to_owned(), login)].into());
    let looked = memory.look(&[path(dir, "a.yml")], &credentials);
    let problem = looked.problem.clone().expect("c is not meant");
    assert!(problem.contains("c:1: [credentials.main] is not meant for c:1"));
    assert_eq!(looked.targets.len(), 2);
    assert_eq!(looked.targets[0].endpoint.user.as_deref(), Some("u"));
    assert!(!format!("{looked:?}").contains("hush"));
    // The credential goes with a reload, the file stays as it is.
    let without = look(&memory, dir, &["a.yml"]);
    let problem = "DIR/a.yml: a:1: there is no [credentials.main] (and 1 more)";
    assert_eq!(without, ill(&["b:1"], problem));
}

#[test]
fn what_is_no_file_is_not_waited_for() {
    let folder = folder();
    let (memory, dir) = (FileMemory::default(), folder.path());
    let pipe = Command::new("mkfifo").arg(dir.join("pipe.json")).status();
    assert!(pipe.is_ok_and(|status| status.success()));
    fs::create_dir(dir.join("dir.json")).expect("created");
    fs::File::create(dir.join("large.json"))
        .and_then(|file| file.set_len(17 << 20))
        .expect("a large file");
    for (name, problem) in [
        ("pipe.json", "cannot be read: it is not a file"),
        ("dir.json", "cannot be read: it is not a file"),
        ("large.json", "is larger than 16 MiB"),
    ] {
        let looked = look(&memory, dir, &[name]);
        assert_eq!(looked, ill(&[], &format!("DIR/{name} {problem}")));
    }
}

/// A watcher that does not look of its own accord: only the system's word makes it read.
struct Watched {
    changes: UnboundedReceiver<Vec<String>>,
    _supervisor: Supervisor,
}

fn watch(paths: Vec<TargetPath>, rescan: Duration) -> Watched {
    let (told, changes) = unbounded_channel();
    let supervisor = Supervisor::new(Handle::current(), move |found: Vec<Found>| {
        let ids = found.iter().map(|found| found.target.id.clone()).collect();
        let _ = told.send(ids);
    });
    let settings = FileTargets { paths, rescan };
    let memory = Arc::new(FileMemory::default());
    let watcher = FileWatcher::new(settings, Credentials::default(), memory);
    supervisor.replace(vec![Arc::new(watcher)]);
    Watched {
        changes,
        _supervisor: supervisor,
    }
}

impl Watched {
    /// Waits until these are the targets.
    async fn until(&mut self, ids: &[&str]) {
        let mut last = Vec::new();
        while last != ids {
            let next = timeout(DEADLINE, self.changes.recv()).await;
            let what = format!("waited for {ids:?}, last seen {last:?}");
            last = next.expect(&what).expect("the supervisor is there");
        }
    }
}

const NEVER: Duration = Duration::from_secs(3600);

#[tokio::test]
async fn a_file_that_is_replaced_or_appears_is_noticed() {
    let folder = folder();
    let dir = folder.path();
    write(dir, "a.json", &listing(&["a:1"]));
    let mut watched = watch(vec![path(dir, "a.json"), path(dir, "late-*.yml")], NEVER);
    watched.until(&["a:1"]).await;
    // Written beside it and moved over it.
    write(dir, "a.json.tmp", &listing(&["a:2"]));
    fs::rename(dir.join("a.json.tmp"), dir.join("a.json")).expect("moved");
    watched.until(&["a:2"]).await;
    // Written in its place.
    write(dir, "a.json", &listing(&["a:3"]));
    watched.until(&["a:3"]).await;
    write(dir, "late-1.yml", "- targets: ['b:1']");
    watched.until(&["a:3", "b:1"]).await;
    fs::remove_file(dir.join("a.json")).expect("removed");
    watched.until(&["b:1"]).await;
}

#[tokio::test]
async fn a_swap_of_links_is_noticed() {
    // As Kubernetes mounts a ConfigMap: targets.json -> ..data/targets.json, ..data -> ..VERSION
    let folder = folder();
    let dir = folder.path();
    let version = |name: &str, ids: &[&str]| {
        fs::create_dir(dir.join(name)).expect("created");
        write(&dir.join(name), "targets.json", &listing(ids));
    };
    let swap = |name: &str| {
        symlink(name, dir.join("..data_tmp")).expect("linked");
        fs::rename(dir.join("..data_tmp"), dir.join("..data")).expect("swapped");
    };
    version("..1", &["a:1"]);
    swap("..1");
    symlink("..data/targets.json", dir.join("targets.json")).expect("linked");
    let mut watched = watch(vec![path(dir, "*.json")], NEVER);
    watched.until(&["a:1"]).await;
    version("..2", &["a:2"]);
    swap("..2");
    fs::remove_dir_all(dir.join("..1")).expect("removed");
    watched.until(&["a:2"]).await;
    version("..3", &["a:3"]);
    swap("..3");
    watched.until(&["a:3"]).await;
    // Where a link leads to, files change too.
    write(&dir.join("..3"), "targets.json", &listing(&["a:4"]));
    watched.until(&["a:4"]).await;
}

#[tokio::test]
async fn a_swap_of_the_folder_is_noticed() {
    let folder = folder();
    let dir = folder.path();
    for version in ["1", "2"] {
        fs::create_dir(dir.join(version)).expect("created");
        let ids = format!("a:{version}");
        write(&dir.join(version), "a.json", &listing(&[&ids]));
    }
    symlink("1", dir.join("current")).expect("linked");
    let mut watched = watch(vec![path(&dir.join("current"), "a.json")], NEVER);
    watched.until(&["a:1"]).await;
    symlink("2", dir.join("new")).expect("linked");
    fs::rename(dir.join("new"), dir.join("current")).expect("swapped");
    watched.until(&["a:2"]).await;
    // It is the new one that is watched now.
    write(&dir.join("2"), "a.json", &listing(&["a:3"]));
    watched.until(&["a:3"]).await;
}

#[tokio::test]
async fn what_the_system_does_not_tell_is_found_by_looking() {
    let folder = folder();
    let dir = folder.path();
    let later = dir.join("later");
    let mut watched = watch(vec![path(&later, "a.json")], Duration::from_millis(50));
    watched.until(&[]).await;
    // Nothing could be watched, because there was no folder.
    fs::create_dir(&later).expect("created");
    write(&later, "a.json", &listing(&["a:1"]));
    watched.until(&["a:1"]).await;
    // Another folder of the same name.
    fs::rename(&later, dir.join("former")).expect("moved");
    fs::create_dir(&later).expect("created");
    write(&later, "a.json", &listing(&["a:2"]));
    watched.until(&["a:2"]).await;
}
