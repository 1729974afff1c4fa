//! The rules of the house, held against the source files themselves.

mod circles;

use std::fs;
use std::path::{Path, PathBuf};

/// Files are looked at again at 500 lines.
const MOST_LINES: usize = 500;

/// Larger than that, and why: a number here may only shrink.
const LARGER: [(&str, usize); 0] = [];

/// Every Rust file under `src`, by its path from there, with its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a readable folder") {
            let path: PathBuf = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                let name = path.strip_prefix(&root).expect("under src").display();
                sources.push((name.to_string(), text));
            }
        }
    }
    assert!(sources.len() > 50, "the scan has lost its way");
    sources
}

/// The component that a file belongs to: its folder, or its own name.
fn component(file: &str) -> &str {
    let first = file.split('/').next().unwrap_or(file);
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The code of a file without its comments and its unit tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
    let lines = code
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}

fn is_test(file: &str) -> bool {
    file.ends_with("/tests.rs") || file.contains("proptests") || file.contains("testing")
}

/// The code of the product, file by file.
fn product() -> impl Iterator<Item = (String, String)> {
    let sources = sources().into_iter().filter(|(file, _)| !is_test(file));
    sources.map(|(file, text)| (file, code(&text)))
}

/// The components of this crate that the code imports or names, `use crate::{a, b::c}` included.
fn imports(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        if let Some(group) = rest.strip_prefix('{') {
            let mut depth = 1;
            let mut name = String::new();
            for c in group.chars() {
                match c {
                    '{' => depth += 1,
                    '}' | ',' if depth == 1 => {
                        found.push(std::mem::take(&mut name));
                        if c == '}' {
                            break;
                        }
                    }
                    '}' => depth -= 1,
                    _ if depth == 1 => name.push(c),
                    _ => {}
                }
            }
        } else {
            found.push(rest.to_owned());
        }
    }
    let word = |text: String| {
        let word = text
            .trim()
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next();
        word.unwrap_or_default().to_owned()
    };
    found
        .into_iter()
        .map(word)
        .filter(|name| !name.is_empty())
        .collect()
}

/// Fails with every file of which `wrong` says something.
#[track_caller]
fn none(rule: &str, mut wrong: impl FnMut(&str, &str) -> Option<String>) {
    let found: Vec<String> = product()
        .filter_map(|(file, code)| Some(format!("{file}: {}", wrong(&file, &code)?)))
        .collect();
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

#[test]
fn the_protocol_imports_no_sibling() {
    none("resp knows the protocol and nothing else", |file, code| {
        let foreign = |names: Vec<String>| names.into_iter().find(|name| name != "resp");
        (component(file) == "resp").then(|| foreign(imports(code)))?
    });
}

#[test]
fn few_open_sockets() {
    const MAY: [&str; 4] = ["session", "upstream", "http", "gateway"];
    const SOCKETS: [&str; 7] = [
        "TcpStream::",
        "TcpListener::",
        "TcpSocket::",
        "UnixStream::",
        "UnixListener::",
        "UdpSocket::",
        "lookup_host",
    ];
    none(
        "only session, upstream, http and gateway open sockets",
        |file, code| {
            // `stream` names the types that it wraps.
            let code = code.replace("Stream::Tcp", "").replace("Stream::Unix", "");
            let opened = SOCKETS.iter().find(|socket| code.contains(**socket))?;
            (!MAY.contains(&component(file))).then(|| (*opened).to_owned())
        },
    );
}

#[test]
fn only_config_reads_configuration() {
    none("only config deserializes", |file, code| {
        let reads = [
            "toml::",
            "serde::Deserialize",
            "serde_json::from",
            "Deserialize)",
        ];
        let found = reads.iter().find(|word| code.contains(**word))?;
        (component(file) != "config").then(|| (*found).to_owned())
    });
}

#[test]
fn only_app_names_everything() {
    // What each component may know, itself apart. A new component is a line here and a decision.
    const MAY: &[(&str, &[&str])] = &[
        ("access", &["command", "random", "resp"]),
        ("backoff", &[]),
        ("clock", &[]),
        (
            "agent",
            &[
                "backoff",
                "cli",
                "config",
                "random",
                "telemetry",
                "upstream",
            ],
        ),
        (
            "bus",
            &[
                "backoff", "clock", "command", "metrics", "random", "resp", "upstream",
            ],
        ),
        ("cache", &["command", "config", "metrics", "resp"]),
        ("cli", &["config"]),
        ("command", &["resp", "slot"]),
        ("config", &[]),
        ("doctor", &[]),
        ("exporter", &["fleet", "metrics"]),
        (
            "fleet",
            &[
                "backoff", "command", "config", "metrics", "random", "resp", "upstream",
            ],
        ),
        (
            "discovery",
            &[
                "backoff", "command", "metrics", "random", "resp", "upstream",
            ],
        ),
        (
            "gateway",
            &["command", "config", "metrics", "resp", "stream"],
        ),
        (
            "http",
            &[
                "access", "command", "config", "history", "metrics", "random", "resp", "upstream",
            ],
        ),
        ("history", &[]),
        ("latency", &["metrics"]),
        ("metrics", &[]),
        ("random", &[]),
        ("slot", &[]),
        ("slowlog", &[]),
        ("spare", &[]),
        ("resp", &[]),
        (
            "session",
            &[
                "cache", "access", "backoff", "clock", "command", "config", "latency", "metrics",
                "resp", "slowlog", "spare", "stream", "upstream",
            ],
        ),
        ("tasks", &["backoff"]),
        ("telemetry", &["config"]),
        (
            "upstream",
            &[
                "backoff", "clock", "config", "random", "resp", "slot", "spare", "stream",
            ],
        ),
    ];
    none("only app names every component", |file, code| {
        let own = component(file);
        if matches!(own, "app" | "main" | "lib") {
            return None;
        }
        let may = MAY
            .iter()
            .find(|(name, _)| *name == own)
            .map_or(&[][..], |(_, may)| may);
        let mut names = imports(code).into_iter();
        // Whoever starts a task says of which kind it is.
        names.find(|name| name != own && name != "tasks" && !may.contains(&name.as_str()))
    });
}

#[test]
fn a_task_says_what_it_is() {
    none("a task is started through `tasks`", |file, code| {
        if file == "tasks.rs" {
            return None;
        }
        let spawns = [
            "tokio::spawn(",
            "spawn_local(",
            "control.spawn(",
            "runtime.spawn(",
        ];
        spawns.into_iter().find_map(|spawn| {
            let bare = code.split(spawn).skip(1).find(|rest| {
                let named = [
                    "tasks::named(",
                    "tasks::keep(",
                    "task.run_for_ever(",
                    "task::run_for_ever(",
                ];
                !named.iter().any(|name| rest.trim_start().starts_with(name))
            })?;
            Some(format!(
                "{spawn}{}",
                bare.chars().take(40).collect::<String>()
            ))
        })
    });
}

#[test]
fn what_is_secret_is_not_predictable() {
    // Jitter, balance and sampling: whoever guesses them gains nothing. All else asks `random`.
    const MAY: [&str; 8] = [
        "agent/lease.rs",
        "bus/bus.rs",
        "cache/admission.rs",
        "fleet/poller/scheduler.rs",
        "gateway/probe.rs",
        "gateway/service.rs",
        "backoff.rs",
        "random.rs",
    ];
    none("tokens and names come from random", |file, code| {
        let guessable = code.contains("fastrand") && !MAY.contains(&file);
        guessable.then(|| "fastrand".to_owned())
    });
}

#[test]
fn what_the_compiler_cannot_check_has_one_room() {
    none("unsafe outside src/allocator.rs", |file, code| {
        let allows = code.contains("unsafe_code") || code.contains("unsafe {");
        (file != "allocator.rs" && allows).then(String::new)
    });
}

#[test]
fn every_file_has_a_subject() {
    const VAGUE: [&str; 6] = ["utils", "util", "common", "helpers", "helper", "manager"];
    let vague: Vec<String> = sources()
        .into_iter()
        .map(|(file, _)| file)
        .filter(|file| {
            let mut words = file.split(['/', '.', '_']);
            words.any(|word| VAGUE.contains(&word))
        })
        .collect();
    assert!(vague.is_empty(), "{vague:?}");
}

#[test]
fn every_file_begins_with_what_it_is() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|(file, text)| !is_test(file) && !text.starts_with("//! "))
        .map(|(file, _)| file)
        .collect();
    assert!(silent.is_empty(), "no module doc: {silent:?}");
}

#[test]
fn no_file_is_too_long() {
    let long: Vec<String> = sources()
        .into_iter()
        .filter_map(|(file, text)| {
            let known = LARGER.iter().find(|(name, _)| *name == file);
            let most = known.map_or(MOST_LINES, |(_, lines)| *lines);
            let lines = text.lines().count();
            (lines >= most).then(|| format!("{file}: {lines} lines"))
        })
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn the_scan_understands_imports() {
    let code = "use crate::config::{Config, load};\nuse crate::{\n    access,\n    resp::{Args, Proto},\n};\n";
    assert_eq!(imports(code), ["config", "access", "resp"]);
    assert_eq!(component("session/pinned/mod.rs"), "session");
    assert_eq!(component("stream.rs"), "stream");
}
