//! Lays one layer of keys over another and refuses keys that the defaults do not have.
//!
//! It knows tables and keys, not what values mean.

use super::{
    error::{Problem, Problems},
    lists,
    raw::{CREDENTIAL_KEYS, LOCAL_RULE_KEYS, STATIC_KEYS, USER_KEYS},
};
use toml::{Table, Value};

/// The table whose sub-tables have names of the user's choice.
pub(super) const CREDENTIALS: &str = "credentials";

/// The lists of tables, with the keys of one.
const LISTS: [(&str, &[&str]); 3] = [
    ("access.users", &USER_KEYS),
    ("fleet.static", &STATIC_KEYS),
    ("fleet.local.credentials", &LOCAL_RULE_KEYS),
];

/// Edits to accept between a mistyped name and the one that is suggested for it.
const MAX_TYPOS: usize = 3;

/// Why a text could not be put under a key.
#[derive(Debug, PartialEq)]
pub(super) enum SetError {
    /// There is no such key, or it is a table.
    Unknown,
    /// The text is not a value of that key's type.
    Invalid(String),
}

/// Lays the tables of a file over `base`. Unknown keys are reported and left out.
pub(super) fn merge(base: &mut Table, over: Table, problems: &mut Problems) {
    let known = known_keys(base);
    merge_table("", base, over, &known, problems);
}

fn merge_table(
    prefix: &str,
    base: &mut Table,
    over: Table,
    known: &[String],
    problems: &mut Problems,
) {
    for (name, mut value) in over {
        let key = join(prefix, &name);
        match (base.get_mut(&name), value) {
            (None, _) => unknown(key, known, problems),
            (Some(Value::Table(section)), Value::Table(over)) if key == CREDENTIALS => {
                merge_credentials(section, over, problems);
            }
            (Some(Value::Table(section)), Value::Table(over)) => {
                merge_table(&key, section, over, known, problems);
            }
            (Some(Value::Table(_)), _) => problems.invalid(key, "must be a table"),
            (Some(slot), over) => {
                value = over;
                if let Some((_, keys)) = LISTS.iter().find(|(list, _)| *list == key) {
                    check_list(&key, keys, &mut value, problems);
                }
                *slot = value;
            }
        }
    }
}

fn merge_credentials(base: &mut Table, over: Table, problems: &mut Problems) {
    for (name, value) in over {
        let key = join(CREDENTIALS, &name);
        match value {
            Value::Table(mut credential) => {
                retain_known(&key, &mut credential, &CREDENTIAL_KEYS, problems);
                base.insert(name, Value::Table(credential));
            }
            _ => problems.invalid(key, "must be a table"),
        }
    }
}

fn check_list(key: &str, keys: &[&str], list: &mut Value, problems: &mut Problems) {
    for (index, item) in list.as_array_mut().into_iter().flatten().enumerate() {
        if let Value::Table(item) = item {
            retain_known(&format!("{key}[{index}]"), item, keys, problems);
        }
    }
}

fn retain_known(prefix: &str, table: &mut Table, names: &[&str], problems: &mut Problems) {
    let known: Vec<String> = names.iter().map(|name| join(prefix, name)).collect();
    table.retain(|name, _| {
        let is_known = names.contains(&name);
        if !is_known {
            unknown(join(prefix, name), &known, problems);
        }
        is_known
    });
}

fn unknown(key: String, known: &[String], problems: &mut Problems) {
    let suggestion = suggest(&key, known.iter().map(String::as_str));
    problems.push(Problem::UnknownKey { key, suggestion });
}

/// Puts a text under a key of `merged`, as the type that the key has in `defaults`.
pub(super) fn set(
    defaults: &Table,
    merged: &mut Table,
    path: &[&str],
    text: &str,
) -> Result<(), SetError> {
    if let [section, name, field] = path
        && *section == CREDENTIALS
    {
        return set_credential(merged, name, field, text);
    }
    let default = lookup(defaults, path).ok_or(SetError::Unknown)?;
    let invalid = |what| SetError::Invalid(format!("\"{text}\" is not {what}"));
    let value = match default {
        Value::String(_) => Value::String(text.to_owned()),
        Value::Integer(_) => text
            .trim()
            .parse()
            .map(Value::Integer)
            .map_err(|_| invalid("an integer"))?,
        Value::Boolean(_) => text
            .trim()
            .parse()
            .map(Value::Boolean)
            .map_err(|_| invalid("true or false"))?,
        Value::Array(_) if LISTS.iter().any(|(list, _)| *list == path.join(".")) => {
            let reason = "can only be given in the file";
            return Err(SetError::Invalid(reason.to_owned()));
        }
        Value::Array(_) => {
            Value::Array(lists::split(text).into_iter().map(Value::String).collect())
        }
        Value::Table(_) | Value::Float(_) | Value::Datetime(_) => return Err(SetError::Unknown),
    };
    let slot = lookup_mut(merged, path).ok_or(SetError::Unknown)?;
    *slot = value;
    Ok(())
}

/// Sets a field of a credential, also of one that the file spells with capitals.
fn set_credential(merged: &mut Table, name: &str, field: &str, text: &str) -> Result<(), SetError> {
    if name.is_empty() || !CREDENTIAL_KEYS.contains(&field) {
        return Err(SetError::Unknown);
    }
    let Some(Value::Table(credentials)) = merged.get_mut(CREDENTIALS) else {
        return Err(SetError::Unknown);
    };
    let existing = credentials
        .keys()
        .find(|key| key.eq_ignore_ascii_case(name));
    let name = existing.cloned().unwrap_or_else(|| name.to_owned());
    let credential = credentials
        .entry(name)
        .or_insert_with(|| Value::Table(Table::new()));
    if let Value::Table(credential) = credential {
        let value = match field {
            "for" => Value::Array(lists::split(text).into_iter().map(Value::String).collect()),
            _ => Value::String(text.to_owned()),
        };
        credential.insert(field.to_owned(), value);
    }
    Ok(())
}

/// Finds the value at `path`.
pub(super) fn lookup<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    match rest {
        [] => Some(value),
        rest => lookup(value.as_table()?, rest),
    }
}

/// Finds the value at `path`, to be changed.
pub(super) fn lookup_mut<'a>(table: &'a mut Table, path: &[&str]) -> Option<&'a mut Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get_mut(*first)?;
    match rest {
        [] => Some(value),
        rest => lookup_mut(value.as_table_mut()?, rest),
    }
}

/// Lists the dotted names of all keys and tables.
pub(super) fn known_keys(table: &Table) -> Vec<String> {
    let mut keys = Vec::new();
    for (name, value) in table {
        keys.push(name.clone());
        if let Value::Table(section) = value {
            keys.extend(known_keys(section).iter().map(|key| join(name, key)));
        }
    }
    keys
}

/// Finds the known name that `name` was probably meant to be.
pub(super) fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let last = name.rsplit('.').next().unwrap_or(name);
    known
        .map(|known| {
            let same_name_elsewhere = known.rsplit('.').next() == Some(last);
            let typos = strsim::damerau_levenshtein(name, known);
            (if same_name_elsewhere { 1 } else { typos }, known)
        })
        .filter(|(typos, _)| *typos <= MAX_TYPOS.min(last.len() / 2))
        .min()
        .map(|(_, known)| known.to_owned())
}

fn join(prefix: &str, name: &str) -> String {
    match prefix {
        "" => name.to_owned(),
        prefix => format!("{prefix}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{CREDENTIAL_KEYS, LOCAL_RULE_KEYS, STATIC_KEYS, USER_KEYS};
    use crate::config::raw;
    use crate::config::testing::problems;
    use toml::Table;

    #[test]
    fn unknown_keys_are_refused_with_their_full_name() {
        assert_eq!(
            problems(
                "clients = 1\nlsten = \"x\"\ncolour = 1\n[limits]\nclinets = 1\n[stash]\nmode = \"off\"\n\
                 [credentials.main]\npasword = \"hush\"\npassword = \"hush\"\n\
                 [[access.users]]\nnmae = \"hush\"\nname = \"a\""
            ),
            [
                "unknown key \"access.users[0].nmae\" (did you mean \"access.users[0].name\"?)",
                "unknown key \"clients\" (did you mean \"limits.clients\"?)",
                "unknown key \"colour\"",
                "unknown key \"credentials.main.pasword\" (did you mean \"credentials.main.password\"?)",
                "unknown key \"limits.clinets\" (did you mean \"limits.clients\"?)",
                "unknown key \"lsten\" (did you mean \"listen\"?)",
                "unknown key \"stash\"",
                "access.users[0].password_sha256: must be given as 64 hexadecimal digits",
            ]
        );
    }

    #[test]
    fn a_value_is_no_table() {
        assert_eq!(
            problems("limits = 5\n[credentials]\nmain = \"hush\""),
            [
                "credentials.main: must be a table",
                "limits: must be a table"
            ]
        );
    }

    #[test]
    fn the_listed_keys_are_those_that_serde_knows() {
        let table = |keys: &[&str], value: &str| -> Table {
            let lines: Vec<_> = keys.iter().map(|key| format!("{key} = {value}")).collect();
            lines.join("\n").parse().expect("TOML")
        };
        let (texts, lists) = CREDENTIAL_KEYS.split_at(3);
        let mut credential = table(texts, "\"x\"");
        credential.extend(table(lists, "[]"));
        let credential = credential.try_into::<raw::Credential>();
        assert!(credential.is_ok(), "{:?}", credential.err());
        let (texts, lists) = USER_KEYS.split_at(3);
        let mut user = table(texts, "\"x\"");
        user.extend(table(lists, "[]"));
        let user = user.try_into::<raw::User>();
        assert!(user.is_ok(), "{:?}", user.err());
        let mut target = table(&STATIC_KEYS[..3], "\"x\"");
        target.extend(table(&STATIC_KEYS[3..], "{}"));
        let target = target.try_into::<raw::StaticTarget>();
        assert!(target.is_ok(), "{:?}", target.err());
        let mut rule = table(&LOCAL_RULE_KEYS[..1], "1");
        rule.extend(table(&LOCAL_RULE_KEYS[1..3], "\"x\""));
        rule.extend(table(&LOCAL_RULE_KEYS[3..], "true"));
        let rule = rule.try_into::<raw::LocalRule>();
        assert!(rule.is_ok(), "{:?}", rule.err());
    }
}
