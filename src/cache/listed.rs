//! `[cache] commands`: which reads may be answered from memory.

use crate::command::Readable;
use crate::config::CacheSettings;

/// Whether this one may, by its name in lower case.
pub(super) fn lists(settings: &CacheSettings, command: &[u8]) -> bool {
    let commands = &settings.commands;
    commands.is_empty() || commands.iter().any(|name| name.as_bytes() == command)
}

/// Whether each name of the list is that of a read that can be answered from memory.
///
/// # Errors
/// Says which are not.
pub fn check_commands(commands: &[String]) -> Result<(), String> {
    let has = |name: &str| commands.iter().any(|listed| listed == name);
    let is_known = |name: &str| name == "get" || Readable::named(name).is_some();
    let unknown = commands.iter().filter(|name| !is_known(name));
    let mut problems: Vec<String> = unknown
        .map(|name| match closest(name) {
            Some(known) => format!(
                "cache.commands: {name:?} is no read that can be answered from memory (did you mean {known:?}?)"
            ),
            None => format!("cache.commands: {name:?} is no read that can be answered from memory"),
        })
        .collect();
    if has("mget") && !has("get") {
        problems.push(
            "cache.commands: \"mget\" needs \"get\" as well: it is kept as what that reads".into(),
        );
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(problems.join("\n")),
    }
}

/// The name that was probably meant.
fn closest(name: &str) -> Option<&'static str> {
    let names = Readable::names().chain(["get"]);
    let typos = names.map(|known| (strsim::damerau_levenshtein(name, known), known));
    let (typos, known) = typos.min()?;
    (typos <= 2 && typos < known.len()).then_some(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(commands: &[&str]) -> String {
        let commands: Vec<String> = commands.iter().map(|name| (*name).to_owned()).collect();
        check_commands(&commands).err().unwrap_or_default()
    }

    #[test]
    fn names_of_reads_are_taken_and_others_are_named() {
        assert_eq!(problems(&[]), "");
        assert_eq!(
            problems(&["get", "mget", "hgetall", "exists", "zrange"]),
            ""
        );
        let said = problems(&["hgetal", "ttl", "set"]);
        assert!(
            said.contains("cache.commands: \"hgetal\" is no read"),
            "{said}"
        );
        assert!(said.contains("(did you mean \"hgetall\"?)"), "{said}");
        assert_eq!(said.lines().count(), 3, "{said}");
        let said = problems(&["mget", "hget"]);
        assert!(said.contains("\"mget\" needs \"get\""), "{said}");
    }
}
