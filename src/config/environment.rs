//! The layer of environment variables: `RESPITE_LIMITS__CLIENTS` is `limits.clients`.

use super::{
    error::{Problem, Problems},
    merge::{self, SetError},
    upstream,
};
use toml::Table;

/// What every variable starts with.
const PREFIX: &str = "RESPITE_";

/// Returns this process's variables that concern the configuration, for [`load`](super::load()).
///
/// What is not UTF-8 is replaced, so that it is refused by name.
pub fn environment() -> Vec<(String, String)> {
    std::env::vars_os()
        .map(|(name, value)| {
            let name = name.to_string_lossy().into_owned();
            (name, value.to_string_lossy().into_owned())
        })
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect()
}

/// Lays the variables over `merged`. Unknown ones are reported.
pub(super) fn apply(
    defaults: &Table,
    merged: &mut Table,
    variables: impl IntoIterator<Item = (String, String)>,
    problems: &mut Problems,
) {
    let mut variables: Vec<_> = variables
        .into_iter()
        .filter(|(name, _)| name.starts_with(PREFIX))
        .collect();
    variables.sort();
    for (name, text) in variables {
        let key = key_of(&name);
        let path: Vec<&str> = key.iter().map(String::as_str).collect();
        // Capitals only, or one key could have several variables.
        let set = if name.contains(|c: char| c.is_ascii_lowercase()) {
            Err(SetError::Unknown)
        } else {
            merge::set(defaults, merged, &path, &text)
        };
        match set {
            Ok(()) => {}
            Err(SetError::Unknown) => {
                let suggestion = suggest(defaults, &name);
                problems.push(Problem::UnknownVariable { name, suggestion });
            }
            Err(SetError::Invalid(reason)) => {
                problems.invalid(path.join("."), format!("{reason} ({name})"));
            }
        }
    }
}

fn key_of(name: &str) -> Vec<String> {
    let name = name.strip_prefix(PREFIX).unwrap_or(name);
    let path: Vec<String> = name.split("__").map(str::to_ascii_lowercase).collect();
    match path.as_slice() {
        [section, name] if section == "upstream" => {
            upstream::key(name).map_or(path.clone(), |key| vec![key.to_owned()])
        }
        _ => path,
    }
}

pub(super) fn variable_of(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase().replace('.', "__"))
}

fn suggest(defaults: &Table, name: &str) -> Option<String> {
    let known: Vec<String> = merge::known_keys(defaults)
        .iter()
        .filter(|key| !matches!(lookup(defaults, key), None | Some(toml::Value::Table(_))))
        .map(|key| variable_of(key))
        .collect();
    let name = name.to_ascii_uppercase();
    merge::suggest(&name, known.iter().map(String::as_str))
}

fn lookup<'a>(table: &'a Table, key: &str) -> Option<&'a toml::Value> {
    let path: Vec<&str> = key.split('.').collect();
    merge::lookup(table, &path)
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{env, lines};
    use std::time::Duration;

    #[test]
    fn every_type_is_read() {
        let config = env(
            "",
            &[
                ("RESPITE_LISTEN", "127.0.0.1:1, [::1]:2"),
                ("RESPITE_WORKERS", " 3 "),
                ("RESPITE_LIMITS__BULK_BYTES", "1KiB"),
                ("RESPITE_LIMITS__CLIENT_OUTPUT_BYTES", "4096"),
                ("RESPITE_TIMEOUTS__REPLY", "0.5"),
                ("RESPITE_HTTP__LISTEN", ""),
                ("RESPITE_ACCESS__PROTECTED_MODE", "false"),
                ("RESPITE_ACCESS__DENY", "flushall, keys"),
                ("RESPITE_CREDENTIALS__TEAM_A__PASSWORD", "12"),
                ("HOME", "/root"),
                ("RESPITEFUL", "not ours"),
            ],
        )
        .expect("valid");
        let listen: Vec<&str> = config.listen.iter().map(|a| a.as_str()).collect();
        assert_eq!(listen, ["127.0.0.1:1", "[::1]:2"]);
        assert_eq!(config.workers, 3);
        assert_eq!(config.limits.bulk_bytes, 1024);
        assert_eq!(config.limits.client_output_bytes, 4096);
        assert_eq!(config.timeouts.reply, Some(Duration::from_millis(500)));
        assert_eq!(config.http.listen, None);
        assert!(!config.access.protected_mode);
        assert_eq!(config.access.deny, ["flushall", "keys"]);
        assert_eq!(config.credentials["team_a"].password.expose(), "12");
    }

    #[test]
    fn an_empty_list_is_a_list() {
        let config = env("access.deny = [\"keys\"]", &[("RESPITE_ACCESS__DENY", "")]);
        assert!(config.expect("valid").access.deny.is_empty());
    }

    #[test]
    fn unknown_variables_are_refused_by_name() {
        let refused = lines(env(
            "",
            &[
                ("RESPITE_LIMITS__CLINETS", "1"),
                ("RESPITE_LIMITS_CLIENTS", "1"),
                ("RESPITE_limits__clients", "1"),
                ("RESPITE_LIMITS", "1"),
                ("RESPITE_", "1"),
                ("RESPITE_CREDENTIALS__MAIN", "1"),
                ("RESPITE_CREDENTIALS__MAIN__NAME", "1"),
                ("RESPITE_CREDENTIALS____PASSWORD", "1"),
                ("RESPITE_LIMITS__CLIENTS__MAX", "1"),
            ],
        ));
        let unknown = |name: &str| format!("unknown environment variable \"{name}\"");
        let meant = " (did you mean \"RESPITE_LIMITS__CLIENTS\"?)";
        assert_eq!(
            refused,
            [
                unknown("RESPITE_"),
                unknown("RESPITE_CREDENTIALS__MAIN"),
                unknown("RESPITE_CREDENTIALS__MAIN__NAME"),
                unknown("RESPITE_CREDENTIALS____PASSWORD"),
                unknown("RESPITE_LIMITS"),
                unknown("RESPITE_LIMITS_CLIENTS") + meant,
                unknown("RESPITE_LIMITS__CLIENTS__MAX"),
                unknown("RESPITE_LIMITS__CLINETS") + meant,
                unknown("RESPITE_limits__clients") + meant,
            ]
        );
    }

    #[test]
    fn what_a_text_cannot_say_is_refused() {
        let refused = lines(env(
            "",
            &[
                ("RESPITE_ACCESS__PROTECTED_MODE", "maybe"),
                ("RESPITE_ACCESS__USERS", "a,b"),
                ("RESPITE_LIMITS__CLIENTS", "many"),
            ],
        ));
        assert_eq!(
            refused,
            [
                "access.protected_mode: \"maybe\" is not true or false (RESPITE_ACCESS__PROTECTED_MODE)",
                "access.users: can only be given in the file (RESPITE_ACCESS__USERS)",
                "limits.clients: \"many\" is not an integer (RESPITE_LIMITS__CLIENTS)",
            ]
        );
    }
}
