//! Where the servers come from that the fleet tracks: `[[fleet.static]]`, `[fleet.file]`,
//! `[fleet.local]`, `[fleet.discovery]`. Nothing is looked for here.

use super::{
    Credential, Endpoint, TargetFormat, TargetSpec, TrackedService, error::Problems,
    period::Period, raw, targets::check_labels,
};
use std::{
    collections::{BTreeMap, HashSet},
    path::{Path, PathBuf},
    time::Duration,
};

/// More often than that, looking costs more than it can tell.
const MIN_RESCAN: Duration = Duration::from_millis(50);

/// The sources of targets that are configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetTargets {
    /// `[[fleet.static]]`: the servers that are named one by one, each id once.
    pub listed: Vec<TargetSpec>,
    /// `[fleet.file]`.
    pub file: FileTargets,
    /// `[fleet.local]`.
    pub local: LocalTargets,
    /// `[fleet.discovery] services`: the services whose nodes are tracked, each once.
    pub services: Vec<TrackedService>,
}

/// Files of targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileTargets {
    /// The files.
    pub paths: Vec<TargetPath>,
    /// How often they are looked at although the system told of no change.
    pub rescan: Duration,
}

/// One or more files of targets: the name, not the folder, may have one `*` in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetPath {
    folder: PathBuf,
    start: String,
    /// What follows the `*`; without one, `start` is the whole name.
    end: Option<String>,
}

/// Servers that run on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTargets {
    /// Whether they are looked for.
    pub enabled: bool,
    /// How often.
    pub rescan: Duration,
    /// The names of their processes.
    pub names: Vec<String>,
    /// How to log in: the first rule that fits a server counts.
    pub rules: Vec<LocalRule>,
}

/// How to reach servers of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalRule {
    /// Only a server that listens on this port.
    pub port: Option<u16>,
    /// Only a server whose process has this name.
    pub name: Option<String>,
    /// The name of the credential to log in with.
    pub credential: Option<String>,
    /// Whether the server speaks TLS.
    pub tls: bool,
}

/// The sources among the keys of `[fleet]`.
pub(super) struct Sources {
    pub(super) listed: Vec<raw::StaticTarget>,
    pub(super) file: raw::FleetFile,
    pub(super) local: raw::FleetLocal,
    pub(super) discovery: raw::FleetDiscovery,
}

pub(super) fn validate(
    raw: raw::Fleet,
    credentials: &BTreeMap<String, Credential>,
    problems: &mut Problems,
) -> FleetTargets {
    FleetTargets {
        listed: listed(raw.listed, credentials, problems),
        file: file(raw.file, problems),
        local: local(raw.local, credentials, problems),
        services: services(raw.discovery.services, problems),
    }
}

fn listed(
    raw: Vec<raw::StaticTarget>,
    credentials: &BTreeMap<String, Credential>,
    problems: &mut Problems,
) -> Vec<TargetSpec> {
    let mut ids = HashSet::new();
    let mut targets = Vec::with_capacity(raw.len());
    for (index, target) in raw.into_iter().enumerate() {
        let key = |field: &str| format!("fleet.static[{index}].{field}");
        if let Err(reason) = check_labels(&target.labels) {
            problems.invalid(key("labels"), reason);
        }
        let credential = credential(
            &target.credential,
            &key("credential"),
            credentials,
            problems,
        );
        let id = Some(target.id).filter(|id| !id.is_empty());
        match TargetSpec::new(&target.addr, id, credential, target.labels) {
            Ok(target) => {
                if !ids.insert(target.id.clone()) {
                    let reason = format!("there is another target \"{}\"", target.id);
                    problems.invalid(key("id"), reason);
                }
                targets.push(target);
            }
            Err(error) => problems.invalid(key(error.field), error.reason),
        }
    }
    targets
}

fn file(raw: raw::FleetFile, problems: &mut Problems) -> FileTargets {
    let mut paths = Vec::with_capacity(raw.paths.len());
    for (index, path) in raw.paths.iter().enumerate() {
        match TargetPath::new(path) {
            Ok(path) => paths.push(path),
            Err(reason) => problems.invalid(format!("fleet.file.paths[{index}]"), reason),
        }
    }
    FileTargets {
        paths,
        rescan: rescan("fleet.file.rescan", raw.rescan, problems),
    }
}

fn local(
    raw: raw::FleetLocal,
    credentials: &BTreeMap<String, Credential>,
    problems: &mut Problems,
) -> LocalTargets {
    if raw.names.is_empty() || raw.names.iter().any(String::is_empty) {
        problems.invalid("fleet.local.names", "must be the names of processes");
    }
    let mut rules = Vec::with_capacity(raw.credentials.len());
    for (index, rule) in raw.credentials.into_iter().enumerate() {
        let key = |field: &str| format!("fleet.local.credentials[{index}].{field}");
        let port = match rule.port {
            None => None,
            Some(port) => match u16::try_from(port) {
                Ok(port) if port > 0 => Some(port),
                _ => {
                    problems.invalid(key("port"), "must be from 1 to 65535");
                    None
                }
            },
        };
        rules.push(LocalRule {
            port,
            name: Some(rule.name).filter(|name| !name.is_empty()),
            credential: credential(&rule.credential, &key("credential"), credentials, problems),
            tls: rule.tls,
        });
    }
    LocalTargets {
        enabled: raw.enabled,
        rescan: rescan("fleet.local.rescan", raw.rescan, problems),
        names: raw.names,
        rules,
    }
}

fn services(names: Vec<String>, problems: &mut Problems) -> Vec<TrackedService> {
    let mut services = Vec::with_capacity(names.len());
    for (index, name) in names.iter().enumerate() {
        let key = format!("fleet.discovery.services[{index}]");
        match name.parse() {
            Err(reason) => problems.invalid(key, reason),
            Ok(service) if services.contains(&service) => {
                problems.invalid(key, format!("\"{name}\" is listed twice"));
            }
            Ok(service) => services.push(service),
        }
    }
    services
}

fn rescan(key: &str, Period(period): Period, problems: &mut Problems) -> Duration {
    if period < MIN_RESCAN {
        problems.invalid(key, format!("must be at least {MIN_RESCAN:?}"));
    }
    period
}

fn credential(
    name: &str,
    key: &str,
    credentials: &BTreeMap<String, Credential>,
    problems: &mut Problems,
) -> Option<String> {
    if name.is_empty() {
        return None;
    }
    if !credentials.contains_key(name) {
        problems.invalid(key, format!("there is no [credentials.{name}]"));
    }
    Some(name.to_owned())
}

/// Reads the sources back, for the effective configuration.
pub(super) fn to_raw(targets: &FleetTargets) -> Sources {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let listed = targets.listed.iter().map(|target| raw::StaticTarget {
        id: target.id.clone(),
        addr: Endpoint::masked(&target.address),
        credential: text(&target.credential),
        labels: target.labels.clone(),
    });
    let rules = targets.local.rules.iter().map(|rule| raw::LocalRule {
        port: rule.port.map(i64::from),
        name: text(&rule.name),
        credential: text(&rule.credential),
        tls: rule.tls,
    });
    Sources {
        listed: listed.collect(),
        file: raw::FleetFile {
            paths: targets.file.paths.iter().map(TargetPath::text).collect(),
            rescan: Period(targets.file.rescan),
        },
        local: raw::FleetLocal {
            enabled: targets.local.enabled,
            rescan: Period(targets.local.rescan),
            names: targets.local.names.clone(),
            credentials: rules.collect(),
        },
        discovery: raw::FleetDiscovery {
            services: targets.services.iter().map(ToString::to_string).collect(),
        },
    }
}

// === impl TargetPath ===

impl TargetPath {
    /// Reads `folder/name.json`, `folder/*.yml` and their like.
    ///
    /// # Errors
    /// When the extension is not one of `.json`, `.yml` and `.yaml`, or there is a `*` where none
    /// can be.
    pub fn new(text: &str) -> Result<Self, String> {
        let path = Path::new(text);
        if TargetFormat::of(path).is_none() {
            return Err("must end in .json, .yml or .yaml".to_owned());
        }
        let (folder, name) = text.rsplit_once('/').unwrap_or((".", text));
        let folder = if folder.is_empty() { "/" } else { folder };
        let (start, end) = match name.split_once('*') {
            None => (name, None),
            Some((start, end)) => (start, Some(end.to_owned())),
        };
        if folder.contains('*') || end.as_ref().is_some_and(|end| end.contains('*')) {
            return Err("may have one * in the name of the file and none elsewhere".to_owned());
        }
        Ok(TargetPath {
            folder: PathBuf::from(folder),
            start: start.to_owned(),
            end,
        })
    }

    /// The folder that the files are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file, if there is no `*` in its name.
    pub fn single(&self) -> Option<PathBuf> {
        match self.end {
            None => Some(self.folder.join(&self.start)),
            Some(_) => None,
        }
    }

    /// Whether a file of the folder is meant. A hidden one has to be named with its dot.
    pub fn matches(&self, name: &str) -> bool {
        match &self.end {
            None => name == self.start,
            Some(end) => {
                let hidden = name.starts_with('.') && !self.start.starts_with('.');
                let rest = name.strip_prefix(self.start.as_str());
                !hidden && rest.is_some_and(|rest| rest.ends_with(end.as_str()))
            }
        }
    }

    fn text(&self) -> String {
        let star = if self.end.is_some() { "*" } else { "" };
        let end = self.end.as_deref().unwrap_or_default();
        let path = self.folder.join(format!("{}{star}{end}", self.start));
        path.display().to_string()
    }
}

// === impl LocalRule ===

impl LocalRule {
    /// Whether the rule is for a server.
    pub fn fits(&self, name: &str, port: u16) -> bool {
        self.port.is_none_or(|only| only == port)
            && self.name.as_deref().is_none_or(|only| only == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{env, file, problems};

    #[test]
    fn the_sources_are_read() {
        let text = "[credentials.main]\npassword = \"hush\"\n\
                    [[fleet.static]]\nid = \"carts\"\naddr = \"10.0.0.1:6379\"\ncredential = \"main\"\n\
                    labels = { env = \"prod\" }\n\
                    [[fleet.static]]\naddr = \"rediss://u:hush@h:1/2\"\n\
                    [fleet.file]\npaths = [\"t.json\", \"/etc/*.yml\", \"a/b/x*.yaml\"]\n\
                    [fleet.local]\nenabled = true\n\
                    credentials = [{ port = 6379, credential = \"main\" }, { name = \"keydb-server\", tls = true }]\n\
                    [fleet.discovery]\nservices = [\"payments\", \"shop/Größe\"]";
        let config = file(text).expect("valid");
        let targets = &config.targets;
        let ids: Vec<&str> = targets.listed.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(ids, ["carts", "h:1"]);
        assert_eq!(targets.listed[0].labels["env"], "prod");
        assert_eq!(targets.file.rescan, Duration::from_secs(5));
        assert_eq!(
            targets.local.names,
            [
                "redis-server",
                "valkey-server",
                "keydb-server",
                "redis-sentinel",
                "valkey-sentinel"
            ]
        );
        let services = ["payments", "shop/Größe"].map(|name| name.parse().expect(name));
        assert_eq!(targets.services, services);
        let rule = |name, port| targets.local.rules.iter().position(|r| r.fits(name, port));
        assert_eq!(rule("redis-server", 6379), Some(0));
        assert_eq!(rule("keydb-server", 6379), Some(0));
        assert_eq!(rule("keydb-server", 6380), Some(1));
        assert_eq!(rule("redis-server", 6380), None);

        let printed = config.to_toml();
        assert!(!printed.contains("hush"), "{printed}");
        assert!(!format!("{config:?}").contains("hush"));
        let plain = text.replace("u:hush@", "").replace("hush", "***");
        let config = file(&plain).expect("valid");
        assert_eq!(file(&config.to_toml()), Ok(config));
    }

    #[test]
    fn a_variable_can_name_files_and_services() {
        let config = env(
            "",
            &[
                ("RESPITE_FLEET__FILE__PATHS", "a.json,b/*.yml"),
                ("RESPITE_FLEET__LOCAL__ENABLED", "true"),
                ("RESPITE_FLEET__DISCOVERY__SERVICES", "a,b"),
            ],
        );
        let targets = config.expect("valid").targets;
        assert_eq!((targets.file.paths.len(), targets.services.len()), (2, 2));
        assert!(targets.local.enabled);
        let refused = env("", &[("RESPITE_FLEET__STATIC", "h:1")]).expect_err("a list of tables");
        assert_eq!(
            refused.to_string(),
            "fleet.static: can only be given in the file (RESPITE_FLEET__STATIC)"
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        assert_eq!(
            problems(
                "[[fleet.static]]\nadr = \"h:1\"\n\
                 [[fleet.static]]\naddr = \"h:1\"\ncredential = \"nobody\"\n\
                 [[fleet.static]]\naddr = \"redis://:hush@h:1\"\nlabels = { a-b = \"c\" }\n\
                 [[fleet.static]]\naddr = \"h:2\"\nid = \"a\\nb\"\n\
                 [fleet.file]\npaths = [\"a.txt\", \"*/a.json\", \"**.json\"]\nrescan = \"1ms\"\n\
                 [fleet.local]\nnames = []\n\
                 credentials = [{ port = 0 }, { credential = \"nobody\" }, { prot = 1 }]\n\
                 [fleet.discovery]\nservices = [\"\", \"a\", \"default/a\"]"
            ),
            [
                "unknown key \"fleet.local.credentials[2].prot\" (did you mean \"fleet.local.credentials[2].port\"?)",
                "unknown key \"fleet.static[0].adr\" (did you mean \"fleet.static[0].addr\"?)",
                "fleet.static[0].addr: must be HOST:PORT or a redis://, rediss:// or unix:// URL",
                "fleet.static[1].credential: there is no [credentials.nobody]",
                "fleet.static[2].labels: \"a-b\" cannot be a label's name: letters, digits and _, no digit first",
                "fleet.static[2].id: there is another target \"h:1\"",
                "fleet.static[3].id: must have 1 to 255 bytes and no control characters",
                "fleet.file.paths[0]: must end in .json, .yml or .yaml",
                "fleet.file.paths[1]: may have one * in the name of the file and none elsewhere",
                "fleet.file.paths[2]: may have one * in the name of the file and none elsewhere",
                "fleet.file.rescan: must be at least 50ms",
                "fleet.local.names: must be the names of processes",
                "fleet.local.credentials[0].port: must be from 1 to 65535",
                "fleet.local.credentials[1].credential: there is no [credentials.nobody]",
                "fleet.discovery.services[0]: must be SERVICE or GROUP/SERVICE, each of 1 to 255 bytes without control characters",
                "fleet.discovery.services[2]: \"default/a\" is listed twice",
            ]
        );
    }

    #[test]
    fn a_star_stands_for_any_part_of_a_name() {
        let path = |text| TargetPath::new(text).expect(text);
        let single = path("/etc/respite/targets.json");
        assert_eq!(
            single.single(),
            Some(PathBuf::from("/etc/respite/targets.json"))
        );
        assert!(single.matches("targets.json") && !single.matches("targets.yml"));
        assert_eq!(path("t.json").folder(), Path::new("."));
        assert_eq!(path("/t.json").folder(), Path::new("/"));
        let many = path("d/redis-*.yml");
        assert_eq!((many.folder(), many.single()), (Path::new("d"), None));
        for (name, matches) in [
            ("redis-a.yml", true),
            ("redis-.yml", true),
            ("redis.yml", false),
            ("redis-a.json", false),
            ("redis-a.yml.tmp", false),
        ] {
            assert_eq!(many.matches(name), matches, "{name}");
        }
        let all = path("d/*.json");
        assert!(all.matches("a.json") && !all.matches(".a.json"));
        assert!(path("d/.*.json").matches(".a.json"));
    }
}
