//! What differs between two configurations, and when the new values are in force.

use std::fmt;

use toml::{Table, Value};

use super::Config;
use super::secret::MASK;

/// One key that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its full name.
    pub key: String,
    /// The value before; none when it was not there.
    pub before: Option<String>,
    /// The value now.
    pub now: Option<String>,
    /// Whether a reload does not put it in force.
    pub needs_restart: bool,
}

impl Change {
    /// Whether its key is this one or one below it.
    fn is_about(&self, key: &str) -> bool {
        let below = |rest: &str| rest.is_empty() || rest.starts_with('.');
        match key {
            "upstream" => self.key == "upstream",
            key => self.key.strip_prefix(key).is_some_and(below),
        }
    }
}

/// `limits.clients: 10000 -> 9 (at once)`
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
        let (before, now) = (value(&self.before), value(&self.now));
        let when = match self.needs_restart {
            true => "waits for a restart",
            false => "at once",
        };
        write!(f, "{}: {before} -> {now} ({when})", self.key)
    }
}

impl Config {
    /// What becomes different with `new`, key by key by their names. Secrets are told by name only.
    pub fn changes(&self, new: &Self) -> Vec<Change> {
        let restart = self.changes_needing_restart(new);
        let (before, now) = (flat(self), flat(new));
        let find = |list: &[(String, String)], key: &str| {
            let found = list.iter().find(|(name, _)| name == key);
            found.map(|(_, value)| value.clone())
        };
        let mut keys: Vec<&String> = now.iter().map(|(key, _)| key).collect();
        keys.extend(before.iter().map(|(key, _)| key));
        let mut changes: Vec<Change> = Vec::new();
        for key in keys {
            let change = Change {
                key: key.clone(),
                before: find(&before, key),
                now: find(&now, key),
                needs_restart: restart.contains(&key.as_str()),
            };
            if change.before != change.now && !changes.contains(&change) {
                changes.push(change);
            }
        }
        // Of what is not shown, that it differs.
        let secrets = [
            ("http.token", self.http.token != new.http.token),
            ("access.users", self.access.users != new.access.users),
            ("upstream", self.upstream != new.upstream),
            ("fleet.static", self.targets.listed != new.targets.listed),
        ];
        let secrets = secrets.into_iter().filter(|(_, differs)| *differs);
        let mut hidden: Vec<String> = secrets.map(|(key, _)| key.to_owned()).collect();
        for (name, before) in &self.credentials {
            if new.credentials.get(name).is_some_and(|now| now != before) {
                hidden.push(format!("credentials.{name}"));
            }
        }
        for key in hidden {
            let is_shown = changes.iter().any(|change| change.is_about(&key));
            if !is_shown {
                changes.push(Change {
                    needs_restart: restart.contains(&key.as_str()),
                    key,
                    before: Some(MASK.to_owned()),
                    now: Some(MASK.to_owned()),
                });
            }
        }
        changes
    }
}

/// The keys with their values as text.
fn flat(config: &Config) -> Vec<(String, String)> {
    let table: Table = config
        .to_toml()
        .parse()
        .expect("what a configuration prints is TOML");
    let mut flat = Vec::new();
    add("", table, &mut flat);
    flat
}

fn add(prefix: &str, table: Table, flat: &mut Vec<(String, String)>) {
    for (name, value) in table {
        let key = match prefix {
            "" => name,
            prefix => format!("{prefix}.{name}"),
        };
        match value {
            Value::Table(table) => add(&key, table, flat),
            value => flat.push((key, value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::file;

    #[test]
    fn each_key_that_differs_is_told_with_when() {
        let old = "workers = 1\n[limits]\nclients = 5\n[credentials.a]\npassword = \"hush\"\n";
        let new = "workers = 2\nupstream = \"redis://h\"\n[limits]\nclients = 6\n\
                   [credentials.a]\npassword = \"other\"\n[credentials.b]\nuser = \"x\"\npassword = \"y\"\n";
        let changes = |old: &str, new: &str| -> Vec<String> {
            let (old, new) = (file(old).expect("valid"), file(new).expect("valid"));
            let changes = old.changes(&new);
            let shown = changes.iter().map(|change| {
                let value = |value: &Option<String>| value.clone().unwrap_or_default();
                let (before, now) = (value(&change.before), value(&change.now));
                format!("{} {before} {now} {}", change.key, change.needs_restart)
            });
            shown.collect()
        };
        assert_eq!(
            changes(old, new),
            [
                "credentials.b.password  \"***\" false",
                "credentials.b.user  \"x\" false",
                "limits.clients 5 6 false",
                "upstream \"embedded\" \"redis://h:6379/0\" true",
                "workers 1 2 true",
                "credentials.a *** *** false",
            ]
        );
        let secret = old.replace("hush", "other");
        assert_eq!(changes(old, &secret), ["credentials.a *** *** false"]);
        // A secret that changes beside what is shown of the same table.
        let both = "upstream_on_loss = \"error\"\nupstream = \"redis://:hush@h\"\n[credentials.a]\npassword = \"x\"\n[credentials.b]\npassword = \"y\"\n\
                    [fleet]\ntimeout = \"1s\"\n[[fleet.static]]\naddr = \"redis://:one@s:1\"\n";
        let now = both
            .replace("hush", "tell")
            .replace("\"x\"", "\"z\"")
            .replace("\"error\"", "\"close\"");
        let now = now
            .replace(":one@", ":two@")
            .replace("\"1s\"", "\"2s\"")
            .replace("[credentials.b]", "[credentials.c]");
        assert_eq!(
            changes(both, &now),
            [
                "credentials.c.password  \"***\" false",
                "credentials.c.user  \"default\" false",
                "fleet.timeout \"1s\" \"2s\" false",
                "upstream_on_loss \"error\" \"close\" false",
                "credentials.b.password \"***\"  false",
                "credentials.b.user \"default\"  false",
                "upstream *** *** false",
                "fleet.static *** *** false",
                "credentials.a *** *** false",
            ]
        );
        assert!(changes(old, old).is_empty());
    }
}
