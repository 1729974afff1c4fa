use super::*;
use crate::command::Table;
use crate::command::key_span::KeyAccess;
use crate::command::testdata::{REDIS_6_0, REDIS_7_0, table};

/// The effects of a command, `container|sub` for a subcommand.
fn effects(table: &Table, name: &str) -> Effects {
    let (container, sub) = name.split_once('|').unwrap_or((name, ""));
    let row = table.get(container.as_bytes()).expect("a known command");
    if sub.is_empty() {
        return row.effects.difference(Effects::TOLD_BY_INFO);
    }
    let row = table.get_sub(row, sub.as_bytes());
    let row = row.expect("a known subcommand");
    row.effects.difference(Effects::TOLD_BY_INFO)
}

const UNKNOWN_KEYS: Effects = Effects::WRITES_UNKNOWN.union(Effects::READS_UNKNOWN);

#[test]
fn effects_are_the_same_whatever_the_version() {
    let tables = [table(REDIS_7_0), Table::shipped()];
    let six = table(REDIS_6_0);
    for (name, want) in [
        ("eval", UNKNOWN_KEYS),
        ("evalsha", UNKNOWN_KEYS),
        ("fcall", UNKNOWN_KEYS),
        ("eval_ro", Effects::READS_UNKNOWN),
        ("fcall_ro", Effects::READS_UNKNOWN),
        ("keys", Effects::READS_UNKNOWN),
        ("scan", Effects::READS_UNKNOWN),
        ("randomkey", Effects::READS_UNKNOWN),
        ("dbsize", Effects::READS_UNKNOWN),
        ("sort", Effects::READS_BY_OPTION),
        ("sort_ro", Effects::READS_BY_OPTION),
        ("flushall", Effects::FLUSHES),
        ("flushdb", Effects::FLUSHES),
        ("swapdb", Effects::SWAPS),
        ("debug", Effects::REPLACES),
        ("replicaof", Effects::REPLACES),
        ("cluster|reset", Effects::REPLACES),
        ("cluster|info", Effects::empty()),
        ("config|set", Effects::REPLACES),
        ("config|get", Effects::empty()),
        ("module|load", Effects::REPLACES),
        ("acl|setuser", Effects::CHANGES_RIGHTS),
        ("acl|whoami", Effects::empty()),
        ("script|load", Effects::empty()),
        ("function|load", Effects::empty()),
        ("function|restore", Effects::empty()),
        ("get", Effects::empty()),
        ("set", Effects::empty()),
        ("migrate", Effects::empty()),
        ("xreadgroup", Effects::empty()),
        ("publish", Effects::empty()),
        ("mset", Effects::empty()),
        ("info", Effects::empty()),
    ] {
        for table in &tables {
            let beyond = effects(table, name) & Effects::BEYOND_ITS_KEYS;
            assert_eq!(beyond, want, "{name}");
        }
        let six_knows = six.get(name.split('|').next().unwrap_or(name).as_bytes());
        if six_knows.is_some() {
            let beyond = effects(&six, name) & Effects::BEYOND_ITS_KEYS;
            assert_eq!(beyond, want, "{name} of Redis 6");
        }
    }
}

#[test]
fn a_container_may_do_what_any_of_its_subcommands_does() {
    let table = table(REDIS_7_0);
    assert!(effects(&table, "acl").contains(Effects::CHANGES_RIGHTS));
    assert!(effects(&table, "config").contains(Effects::REPLACES));
    assert!(effects(&table, "module").contains(Effects::CHANGES_COMMANDS));
    assert!(!effects(&table, "xgroup").contains(Effects::READ_ONLY));
}

#[test]
fn what_is_replicated_is_known_although_command_does_not_say_it() {
    let table = table(REDIS_7_0);
    for name in ["set", "eval", "publish", "spublish", "pfcount", "flushall"] {
        assert!(
            effects(&table, name).contains(Effects::REPLICATES),
            "{name}"
        );
    }
    for name in ["get", "eval_ro", "subscribe", "config|get"] {
        assert!(
            !effects(&table, name).contains(Effects::REPLICATES),
            "{name}"
        );
    }
}

#[test]
fn modules_are_trusted_with_the_keys_of_their_reads_only() {
    let of = |name: &str, flags: Flags, keys: Keys| {
        let mut row = Row {
            name: name.into(),
            flags: flags | Flags::MODULE,
            keys,
            ..Row::default()
        };
        settle(&mut row);
        row.effects & Effects::BEYOND_ITS_KEYS
    };
    let key = || Keys::range((1, 1, 1), KeyAccess::Modify);
    assert_eq!(of("m.do", Flags::empty(), Keys::None), UNKNOWN_KEYS);
    assert_eq!(of("m.set", Flags::WRITE, key()), UNKNOWN_KEYS);
    assert_eq!(of("m.get", Flags::READONLY, key()), Effects::empty());
    let reads = Effects::READS_UNKNOWN;
    assert_eq!(of("ft.search", Flags::READONLY, key()), reads);
    assert_eq!(of("m.range", Flags::READONLY, Keys::None), reads);
    assert_eq!(of("m.any", Flags::READONLY, Keys::Open(None)), reads);
}

/// The list is read again when a module changes it, and only then.
#[test]
fn only_modules_change_the_commands() {
    for row in Table::shipped().rows() {
        let changes = row.effects.contains(Effects::CHANGES_COMMANDS);
        assert_eq!(changes, &*row.name == "module", "{}", row.name);
    }
}

#[test]
fn what_info_tells_is_changed_by_some() {
    let (seven, shipped) = (table(REDIS_7_0), Table::shipped());
    let tells = |table: &Table, name: &str, sub: &str| {
        let row = table.get(name.as_bytes()).expect("a known command");
        let leaf = table.get_sub(row, sub.as_bytes()).unwrap_or(row);
        leaf.effects.contains(Effects::TOLD_BY_INFO)
    };
    for (name, sub) in [
        ("bgsave", ""),
        ("flushall", ""),
        ("config", "set"),
        ("script", "load"),
    ] {
        assert!(
            tells(&seven, name, sub) && tells(&shipped, name, sub),
            "{name} {sub}"
        );
    }
    for (name, sub) in [
        ("set", ""),
        ("info", ""),
        ("config", "get"),
        ("slowlog", "get"),
    ] {
        assert!(!tells(&seven, name, sub), "{name} {sub}");
    }
}
