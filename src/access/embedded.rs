//! `CONFIG SET` of what keeps the embedded Redis private, and of what would have it turn Respite's own connections away.
//!
//! What else could open it, the server itself denies its clients. It has no rules for single parameters, and
//! `CONFIG` cannot be called from scripts, so whoever looks at each command sees them all.

use super::error::Denied;
use crate::command::{Flags, Row};
use crate::resp::Args;

/// The parameters, beside those of TLS.
const PROTECTED: [&str; 20] = [
    "aclfile",
    "appenddirname",
    "appendfilename",
    "bind",
    "bind-source-addr",
    "client-output-buffer-limit",
    "client-query-buffer-limit",
    "dbfilename",
    "dir",
    "masterauth",
    "masteruser",
    "maxclients",
    "maxmemory-clients",
    "port",
    "proto-max-bulk-len",
    "protected-mode",
    "requirepass",
    "timeout",
    "unixsocket",
    "unixsocketperm",
];

/// Why a command may not be sent to the embedded Redis: the first parameter that it would change and may not.
#[must_use]
pub fn changes_access(row: Option<&Row>, args: Args<'_>) -> Option<Denied> {
    // Few commands are administrative or have subcommands: of the others no name is compared.
    let row = row.filter(|row| row.flags.contains(Flags::ADMIN) || !row.subcommands.is_empty())?;
    let sets = args
        .get(1)
        .is_some_and(|sub| sub.eq_ignore_ascii_case(b"set"));
    if !sets || &*row.name != "config" {
        return None;
    }
    let names = args.iter().skip(2).step_by(2);
    names
        .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
        .find(|name| PROTECTED.contains(&name.as_str()) || name.starts_with("tls-"))
        .map(|name| Denied::Parameter(name.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::resp::ArgVec;

    #[test]
    fn every_spelling_is_seen_and_nothing_else() {
        let table = Table::shipped();
        let row = table.get(b"config").expect("a container");
        let asked = |line: &str| {
            let args: ArgVec = line.split(' ').collect();
            changes_access(Some(row), args.as_args()).map(|denied| denied.to_string())
        };
        for line in [
            "CONFIG SET port 1",
            "config set PORT 1",
            "Config Set maxmemory 1 Bind 0.0.0.0",
            "CONFIG SET tls-port 1",
            "CONFIG SET requirepass",
            "CONFIG SET maxclients 1",
            "CONFIG SET client-output-buffer-limit x",
        ] {
            let text = asked(line).unwrap_or_else(|| panic!("{line}"));
            assert!(text.ends_with("can't set protected config"), "{text}");
        }
        for line in [
            "CONFIG GET port",
            "CONFIG SET maxmemory 1",
            "CONFIG",
            "CONFIG SET",
        ] {
            assert_eq!(asked(line), None, "{line}");
        }
    }
}
