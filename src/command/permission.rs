//! What a user has to be allowed of the keys of those commands whose options decide it.
//!
//! Not here: what other commands need (`key_span`), who is allowed what (`access`).

use super::key_span::Permission;
use super::row::Row;
use crate::resp::Args;

/// What the commands whose options decide need of their keys: as `setGetKeys` and `bitfieldGetKeys` of Redis' db.c
/// have it. None for all others.
#[must_use]
pub fn permission_by_options(row: &Row, args: Args<'_>) -> Option<Permission> {
    match &*row.name {
        "set" => {
            let gets = args
                .iter()
                .skip(3)
                .any(|arg| arg.eq_ignore_ascii_case(b"get"));
            Some(if gets {
                Permission::BOTH
            } else {
                Permission::WRITE
            })
        }
        "bitfield" => bitfield_reads(args).then_some(Permission::READ),
        _ => None,
    }
}

/// Whether a `BITFIELD` has nothing but `GET`.
fn bitfield_reads(args: Args<'_>) -> bool {
    let mut at = 2;
    while let Some(word) = args.get(at) {
        let is = |name: &[u8]| word.eq_ignore_ascii_case(name);
        at += if is(b"get") && at + 2 < args.len() {
            3
        } else if is(b"overflow") && at + 1 < args.len() {
            2
        } else {
            return false;
        };
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testdata::{REDIS_6_0, REDIS_7_0, args, parsed, table_of};
    use crate::command::{Table, each_key};

    fn needed(table: &Table, line: &str) -> String {
        let args = args(line);
        let args = args.as_args();
        let row = table.get(&args[0]).expect("a known command");
        let mut words = Vec::new();
        each_key(row, args, |key| {
            let needs = permission_by_options(row, args).unwrap_or(key.permission);
            let needs = match (
                needs.contains(Permission::READ),
                needs.contains(Permission::WRITE),
            ) {
                (true, true) => "RW",
                (true, false) => "R",
                (false, true) => "W",
                (false, false) => "-",
            };
            words.push(format!("{}:{needs}", String::from_utf8_lossy(key.key)));
        });
        words.join(" ")
    }

    /// As `ACL DRYRUN` of redis-server 7.0.15 judges users with `%R~` and `%W~`. Servers without key
    /// specifications are judged alike.
    #[test]
    fn what_is_needed_is_what_redis_needs() {
        for reply in [REDIS_7_0, REDIS_6_0] {
            let table = table_of(&parsed(reply)).expect("a table");
            for (line, want) in [
                ("get a", "a:R"),
                ("strlen a", "a:-"),
                ("exists a b", "a:- b:-"),
                ("set a 1", "a:W"),
                ("set get 1", "get:W"),
                ("set a 1 ex 5 GeT", "a:RW"),
                ("setex a 1 2", "a:W"),
                ("getdel a", "a:RW"),
                ("getex a", "a:RW"),
                ("append a b", "a:W"),
                ("incr a", "a:RW"),
                ("del a b", "a:W b:W"),
                ("mset a 1 b 2", "a:W b:W"),
                ("expire a 1", "a:W"),
                ("lpush a 1", "a:W"),
                ("lpop a", "a:RW"),
                ("lmove a b left right", "a:RW b:W"),
                ("rpoplpush a b", "a:RW b:W"),
                ("smove a b c", "a:RW b:W"),
                ("rename a b", "a:RW b:W"),
                ("copy a b", "a:R b:W"),
                ("bitfield a get u8 0", "a:R"),
                ("bitfield a get u8 0 set u8 0 1", "a:RW"),
                ("bitfield a overflow fail get u8 0", "a:R"),
                ("bitfield a get", "a:RW"),
                ("pfcount a", "a:R"),
                ("pfadd a 1", "a:W"),
                ("pfmerge a b", "a:RW b:R"),
                ("sort a store b", "a:R b:W"),
                ("sunionstore a b c", "a:W b:R c:R"),
                ("zunionstore a 1 b", "a:W b:R"),
                ("bitop and a b c", "a:W b:R c:R"),
                ("xadd a * f v", "a:W"),
                ("xreadgroup group g c streams a >", "a:R"),
                ("xgroup create a g $", "a:W"),
                ("xinfo stream a", "a:R"),
                ("object encoding a", "a:-"),
                ("memory usage a", "a:-"),
                ("watch a", "a:-"),
                ("zadd a 1 m", "a:W"),
                ("zrange a 0 1", "a:R"),
                ("hset a f v", "a:W"),
                ("hdel a f", "a:W"),
                ("geoadd a 1 1 m", "a:W"),
                ("move a 1", "a:RW"),
                ("restore a 0 x", "a:W"),
            ] {
                if table
                    .get(line.split(' ').next().unwrap_or("").as_bytes())
                    .is_none()
                {
                    continue; // newer than this server
                }
                assert_eq!(needed(&table, line), want, "{line}");
            }
        }
    }
}
