//! What follows from the rest of a row: the [`Effects`] of its command, whether it may be read from memory, the
//! categories that others imply. Worked out once, when the row is taken into a table.
//!
//! Not here: which keys a command names ([`keys`](mod@super::keys)).

use super::effects::Effects;
use super::flags::{Categories, Flags};
use super::key_rules::Keys;
use super::readable::Readable;
use super::row::{Handling, Pin, Row};
use super::spread::Spread;

/// Completes a row and those of its subcommands.
pub(super) fn settle(row: &mut Row) {
    row.subcommands.values_mut().for_each(settle);
    row.categories = row.categories.implied();
    row.spread = Spread::of(&row.name, row.tips, &row.keys);
    row.effects = effects_of(row);
    row.readable = Readable::of(&row.name, row.flags);
}

/// Works out the effects of a row. Those of a container are all of its subcommands'.
fn effects_of(row: &Row) -> Effects {
    let mut effects = own(row);
    for sub in row.subcommands.values() {
        effects |= sub.effects;
    }
    // A container only reads when all that is in it does.
    let reads = |sub: &Row| sub.effects.contains(Effects::READ_ONLY);
    if !row.subcommands.is_empty() && !row.subcommands.values().all(reads) {
        effects.remove(Effects::READ_ONLY);
    }
    effects
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
    effects.set(Effects::SPREADS, row.spread != Spread::One);
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
