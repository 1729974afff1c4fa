//! What a command may do to the data set, to its connection and to the server, worked out once when
//! the table is made, so that a request is judged by bits and not by names.
//!
//! Not here: which keys a command names ([`keys`](mod@super::keys)) and what the session does about it.

use bitflags::bitflags;

use super::flags::{Categories, Flags};
use super::key_rules::Keys;
use super::row::{Handling, Pin, Row};

bitflags! {
    /// The effects of a command. Each says that it *may* happen: what is not known may do anything.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Effects: u32 {
        /// Only reads keys.
        const READ_ONLY = 1;
        /// Modifies keys that its arguments do not name. Redis pushes invalidations for them.
        const WRITES_UNKNOWN = 1 << 1;
        /// Shows values, or the existence, of keys that its arguments do not name.
        const READS_UNKNOWN = 1 << 2;
        /// As [`Self::READS_UNKNOWN`], with an option: `SORT` with `BY` or `GET`.
        const READS_BY_OPTION = 1 << 3;
        /// Empties a database or all of them.
        const FLUSHES = 1 << 4;
        /// Exchanges databases, of which Redis tells nobody.
        const SWAPS = 1 << 5;
        /// Replaces keys, or changes what counts as an answer, in ways of which Redis tells nobody:
        /// `DEBUG RELOAD`, `REPLICAOF`, `CONFIG SET`, `MODULE LOAD`.
        const REPLACES = 1 << 6;
        /// Changes who may read what.
        const CHANGES_RIGHTS = 1 << 7;
        /// Changes which commands there are.
        const CHANGES_COMMANDS = 1 << 8;
        /// Blocks its client.
        const BLOCKS = 1 << 9;
        /// Blocks its client with an option: `XREAD` with `BLOCK`.
        const BLOCKS_BY_OPTION = 1 << 10;
        /// Modifies a key of another database, the second argument (`MOVE`).
        const OTHER_DATABASE = 1 << 11;
        /// Modifies a key of another database with an option (`COPY … DB`).
        const OTHER_DATABASE_BY_OPTION = 1 << 12;
        /// Is replicated, although it need not be a write.
        const REPLICATES = 1 << 13;
        /// Nothing is known of the command.
        const UNKNOWN = 1 << 14;
        /// Changes what `INFO` tells in a way that people poll for: a save that has begun, a counter that was
        /// reset, a setting, a role.
        const TOLD_BY_INFO = 1 << 15;
        /// Is for the masters of all nodes of a cluster.
        const EVERY_MASTER = 1 << 16;
        /// Runs commands that its arguments do not name, by the rights of the connection that it comes on.
        const RUNS_SCRIPTS = 1 << 17;
        /// Changes what is run by those who call a function.
        const CHANGES_SCRIPTS = 1 << 18;
        /// Shows what other clients send.
        const SHOWS_REQUESTS = 1 << 19;
    }
}

impl Effects {
    /// After any of these, no key need be what it was.
    pub const EVERY_KEY: Self = Self::FLUSHES
        .union(Self::SWAPS)
        .union(Self::REPLACES)
        .union(Self::CHANGES_RIGHTS);

    /// What a command may do of which nothing is known.
    pub const ANYTHING: Self = Self::UNKNOWN
        .union(Self::WRITES_UNKNOWN)
        .union(Self::READS_UNKNOWN)
        .union(Self::REPLICATES);

    /// With any of these, protecting the keys that are named does not do.
    pub const BEYOND_ITS_KEYS: Self = Self::EVERY_KEY
        .union(Self::WRITES_UNKNOWN)
        .union(Self::READS_UNKNOWN)
        .union(Self::READS_BY_OPTION)
        .union(Self::UNKNOWN);

    /// Works out the effects of a row. Those of a container are all of its subcommands'.
    pub(super) fn of(row: &Row) -> Self {
        let mut effects = own(row);
        for sub in row.subcommands.values() {
            effects |= sub.effects;
        }
        // A container only reads when all that is in it does.
        let reads = |sub: &Row| sub.effects.contains(Self::READ_ONLY);
        if !row.subcommands.is_empty() && !row.subcommands.values().all(reads) {
            effects.remove(Self::READ_ONLY);
        }
        effects
    }
}

/// The effects that Redis' flags do not tell, by name: they are the same in every version.
fn by_name(name: &str) -> Effects {
    match name {
        "flushall" | "flushdb" => Effects::FLUSHES,
        "swapdb" => Effects::SWAPS,
        "acl|setuser" | "acl|deluser" | "acl|load" => Effects::CHANGES_RIGHTS,
        "module|load" | "module|loadex" | "module|unload" => {
            Effects::REPLACES | Effects::CHANGES_COMMANDS
        }
        // What is reset are the counters by which hidden swaps are found.
        "config|set" | "config|resetstat" => Effects::REPLACES,
        "debug"
        | "replicaof"
        | "slaveof"
        | "failover"
        | "cluster|reset"
        | "cluster|failover"
        | "cluster|replicate"
        | "cluster|setslot"
        | "cluster|flushslots"
        | "cluster|flushslot"
        | "cluster|delslots"
        | "cluster|delslotsrange" => Effects::REPLACES,
        "keys"
        | "scan"
        | "randomkey"
        | "dbsize"
        | "cluster|getkeysinslot"
        | "cluster|countkeysinslot" => Effects::READS_UNKNOWN,
        // A script of these may be loaded with keys undeclared, and functions read as they like.
        "eval_ro" | "evalsha_ro" | "fcall_ro" => Effects::READS_UNKNOWN,
        "sort" | "sort_ro" => Effects::READS_BY_OPTION,
        "move" => Effects::OTHER_DATABASE,
        "copy" => Effects::OTHER_DATABASE_BY_OPTION,
        // `may_replicate`, which `COMMAND` does not print.
        "pfcount" | "publish" | "spublish" | "eval" | "evalsha" | "fcall" => Effects::REPLICATES,
        "monitor" => Effects::SHOWS_REQUESTS,
        _ => Effects::empty(),
    }
}

/// What a command does with scripts. Of the category of scripts all run some that are not known not to: a
/// backing may have given `EVAL` another name, and modules have engines of their own.
fn with_scripts(row: &Row) -> Effects {
    let name = &*row.name;
    let (command, sub) = name.split_once('|').unwrap_or((name, ""));
    let runs = match command {
        "script" => false,
        "function" => match sub {
            // With the container for whoever does not know its subcommands, as Redis' own rules have it.
            "" | "load" | "delete" | "flush" | "restore" => return Effects::CHANGES_SCRIPTS,
            _ => false,
        },
        "tfcall" | "tfcallasync" | "tfunction" => true,
        _ => row.categories.contains(Categories::SCRIPTING) || command.starts_with("rg."),
    };
    match runs {
        true => Effects::RUNS_SCRIPTS,
        false => Effects::empty(),
    }
}

/// What is for all nodes, as the tips of servers since 7.0 have it.
fn is_for_all(name: &str) -> bool {
    let (command, sub) = name.split_once('|').unwrap_or((name, ""));
    match command {
        "flushall" | "flushdb" | "dbsize" | "keys" | "randomkey" | "wait" => true,
        "config" => sub == "set",
        "function" => matches!(
            sub,
            "delete" | "flush" | "kill" | "load" | "restore" | "stats"
        ),
        "latency" => matches!(
            sub,
            "doctor" | "graph" | "histogram" | "history" | "latest" | "reset"
        ),
        "memory" => matches!(sub, "doctor" | "malloc-stats" | "purge" | "stats"),
        "script" => matches!(sub, "exists" | "flush" | "kill" | "load"),
        "slowlog" => matches!(sub, "get" | "len" | "reset"),
        _ => false,
    }
}

/// Written without keys, and no key of a database changes: libraries and scripts.
fn is_no_data(name: &str) -> bool {
    name == "function" || name.starts_with("function|") || name.starts_with("script|")
}

/// What changes INFO but by writing keys. Where the subcommands are not known, the whole command does.
fn is_told_by_info(name: &str) -> bool {
    let (command, sub) = name.split_once('|').unwrap_or((name, ""));
    match command {
        "bgsave" | "save" | "bgrewriteaof" | "shutdown" | "replicaof" | "slaveof" | "failover"
        | "flushall" | "flushdb" | "swapdb" | "debug" | "module" => true,
        "config" => matches!(sub, "" | "set" | "resetstat" | "rewrite"),
        "script" => matches!(sub, "" | "load" | "flush"),
        "function" => matches!(sub, "" | "load" | "delete" | "flush" | "restore"),
        "memory" => matches!(sub, "" | "purge"),
        "latency" => matches!(sub, "" | "reset"),
        "client" => matches!(sub, "kill" | "no-evict" | "pause" | "unpause"),
        "cluster" => matches!(
            sub,
            "" | "meet"
                | "forget"
                | "reset"
                | "failover"
                | "replicate"
                | "addslots"
                | "addslotsrange"
                | "delslots"
                | "delslotsrange"
                | "flushslots"
                | "setslot"
        ),
        _ => false,
    }
}

fn own(row: &Row) -> Effects {
    let name = &*row.name;
    let mut effects = by_name(name);
    effects.set(Effects::TOLD_BY_INFO, is_told_by_info(name));
    effects |= with_scripts(row);
    if matches!(row.handling, Handling::Local(_) | Handling::Family(_)) {
        return effects;
    }
    effects.set(Effects::EVERY_MASTER, row.for_all || is_for_all(name));
    let (write, readonly) = (
        row.flags.contains(Flags::WRITE),
        row.flags.contains(Flags::READONLY),
    );
    effects.set(Effects::READ_ONLY, readonly && !write);
    if write || row.flags.contains(Flags::MAY_REPLICATE) {
        effects |= Effects::REPLICATES;
    }
    match row.handling {
        Handling::Pin(Pin::Block) => effects |= Effects::BLOCKS,
        Handling::Pin(Pin::BlockIfOption) => effects |= Effects::BLOCKS_BY_OPTION,
        _ => {}
    }
    if effects.intersects(Effects::EVERY_KEY) {
        // More than that cannot happen to a key.
        return effects;
    }
    effects | unnamed(row, write, readonly)
}

/// What a command does with keys that its arguments do not name.
fn unnamed(row: &Row, write: bool, readonly: bool) -> Effects {
    let by_key = row.keys != Keys::None && !row.keys.is_open();
    if row.is_module() {
        // One that does not say that it only reads may do anything behind its own name: a series of
        // time points writes its aggregates. What a search reads is not its index.
        return match readonly {
            false => Effects::WRITES_UNKNOWN | Effects::READS_UNKNOWN,
            true if by_key && !row.name.starts_with("ft.") => Effects::empty(),
            true => Effects::READS_UNKNOWN,
        };
    }
    if readonly {
        return match row.keys.is_open() {
            true => Effects::READS_UNKNOWN,
            false => Effects::empty(),
        };
    }
    if row.keys.is_open() {
        return Effects::WRITES_UNKNOWN | Effects::READS_UNKNOWN;
    }
    if write && row.keys == Keys::None && !is_no_data(&row.name) {
        return Effects::WRITES_UNKNOWN;
    }
    Effects::empty()
}

#[cfg(test)]
mod tests;
