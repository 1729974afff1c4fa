//! What differs between two configurations, and when the new values are in force.

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
        for (key, differs) in [
            ("http.token", self.http.token != new.http.token),
            ("access.users", self.access.users != new.access.users),
            ("credentials", self.credentials != new.credentials),
            ("upstream", self.upstream != new.upstream),
        ] {
            let is_shown = changes.iter().any(|change| change.key.starts_with(key));
            if differs && !is_shown {
                changes.push(Change {
                    key: key.to_owned(),
                    before: Some(MASK.to_owned()),
                    now: Some(MASK.to_owned()),
                    needs_restart: restart.contains(&key),
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
            ]
        );
        let secret = old.replace("hush", "other");
        assert_eq!(changes(old, &secret), ["credentials *** *** false"]);
        assert!(changes(old, old).is_empty());
    }
}
