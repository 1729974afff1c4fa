//! No circle of files inside a folder: what is read first does not need what is read later.

use std::collections::{BTreeMap, BTreeSet};

use super::product;

/// The module of a file: `a/b.rs` and `a/b/mod.rs` are `a::b`.
fn module(file: &str) -> Vec<String> {
    let path = file.strip_suffix(".rs").unwrap_or(file);
    let path = path.strip_suffix("/mod").unwrap_or(path);
    path.split('/').map(str::to_owned).collect()
}

/// The paths of a tree of imports: `a::{b, c::d}` has two.
fn paths(prefix: &str, tree: &str, found: &mut Vec<String>) {
    let tree = tree.trim();
    let Some(open) = tree.find('{') else {
        let path = tree.split(" as ").next().unwrap_or(tree).trim();
        found.push(format!("{prefix}{path}"));
        return;
    };
    let prefix = format!("{prefix}{}", &tree[..open]);
    let inner = &tree[open + 1..tree.rfind('}').unwrap_or(tree.len())];
    let (mut depth, mut from) = (0, 0);
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                paths(&prefix, &inner[from..at], found);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !inner[from..].trim().is_empty() {
        paths(&prefix, &inner[from..], found);
    }
}

/// All paths that the code imports or writes out.
fn named(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in code.split_inclusive('\n') {
        let (head, tree) = line.split_once("use ").unwrap_or((line, ""));
        let head = head.trim();
        if !tree.is_empty() && (head.is_empty() || head.starts_with("pub")) {
            let tree = &code[at + line.len() - tree.len()..];
            paths("", tree.split(';').next().unwrap_or_default(), &mut found);
        }
        at += line.len();
    }
    for root in ["crate::", "super::", "self::"] {
        let outside = |(at, _): &(usize, &str)| {
            let before = code[..*at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        };
        for (at, _) in code.match_indices(root).filter(outside) {
            let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
            let path = code[at..].split(|c| !is_path(c)).next();
            found.extend(path.map(str::to_owned));
        }
    }
    found
}

/// The module that a path leads to from where it is written.
fn target(path: &str, from: &[String], all: &BTreeSet<Vec<String>>) -> Option<Vec<String>> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut at = match parts.first() {
        Some(&"crate") => {
            parts.remove(0);
            Vec::new()
        }
        Some(&("self" | "super")) => {
            let mut at = from.to_vec();
            if parts[0] == "self" {
                parts.remove(0);
            }
            while parts.first() == Some(&"super") {
                parts.remove(0);
                at.pop();
            }
            at
        }
        _ => from.to_vec(),
    };
    let mut found = None;
    for part in parts {
        at.push(part.to_owned());
        if all.contains(&at) {
            found = Some(at.clone());
        }
    }
    found
}

/// Who uses whom among the files and folders of one folder.
type Uses = BTreeMap<String, BTreeSet<String>>;

fn reaches(uses: &Uses, from: &str, to: &str, seen: &mut BTreeSet<String>) -> bool {
    let Some(used) = uses.get(from) else {
        return false;
    };
    let mut used = used.iter();
    used.any(|next| next == to || (seen.insert(next.clone()) && reaches(uses, next, to, seen)))
}

/// The folders with circles, and who is in them.
fn circles(files: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let all: BTreeSet<Vec<String>> = files.iter().map(|(file, _)| module(file)).collect();
    let mut folders: BTreeMap<String, Uses> = BTreeMap::new();
    for (file, code) in files {
        let from = module(file);
        let targets = named(code);
        for to in targets.iter().filter_map(|path| target(path, &from, &all)) {
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            // The face of a folder uses what is in it, and what is in it its face.
            let (Some(user), Some(used)) = (from.get(common), to.get(common)) else {
                continue;
            };
            let folder = from[..common].join("::");
            let uses = folders.entry(folder).or_default();
            uses.entry(user.clone()).or_default().insert(used.clone());
        }
    }
    // The rules for components have a test of their own.
    folders.remove("");
    let circles = folders.into_iter().map(|(folder, uses)| {
        let own = |name: &&String| reaches(&uses, name, name, &mut BTreeSet::new());
        let within = uses.keys().filter(own).cloned().collect::<Vec<_>>();
        (folder, within)
    });
    circles.filter(|(_, within)| !within.is_empty()).collect()
}

#[test]
fn no_circle_of_files_inside_a_folder() {
    let files: Vec<_> = product().collect();
    let found = circles(&files);
    assert!(found.is_empty(), "circles: {found:#?}");
}

#[test]
fn circles_are_found() {
    let file = |name: &str, code: &str| (name.to_owned(), code.to_owned());
    let straight = [
        file(
            "a/mod.rs",
            "mod b;\nmod c;\npub use b::{B, c::C};\nuse crate::a::c;",
        ),
        file("a/b.rs", "use super::c::{self, C};\nuse super::A;"),
        file("a/c.rs", "use crate::d::D;"),
        file("d.rs", "use crate::a::b;"),
    ];
    assert_eq!(circles(&straight), BTreeMap::new());
    let mut round = straight;
    round[2].1 = "fn c() { super::b::f() }".to_owned();
    let expected = ["b", "c"].map(str::to_owned).to_vec();
    assert_eq!(
        circles(&round),
        BTreeMap::from([("a".to_owned(), expected)])
    );
}
