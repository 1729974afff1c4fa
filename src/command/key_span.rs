//! Keys at fixed positions, and what a command does with them.

use super::flags::Flags;

bitflags::bitflags! {
    /// What a user has to be allowed of a key, as `%R~` and `%W~` of Redis mean it. Neither is needed to be told
    /// whether it exists.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Permission: u8 {
        /// What is in the key is copied or handed out.
        const READ = 1;
        /// Something is put into the key, or taken from it.
        const WRITE = 2;
    }
}

impl Permission {
    /// Reading and writing.
    pub const BOTH: Self = Self::READ.union(Self::WRITE);
}

/// What a command does with a key: Redis' `RO`, `RW`, `OW` and `RM`, and whether it hands out data (`access`)
/// or changes some (`insert`, `update`, `delete`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyAccess {
    /// Reads it.
    Read,
    /// Tells of it without what is in it: whether it exists, its type, its length.
    Look,
    /// Reads it or depends on it, and may modify it.
    Modify,
    /// Reads it, and may modify what no reader sees: `PFCOUNT`, `XREADGROUP`.
    ReadInPlace,
    /// Modifies it, depending on what is there, and hands nothing out: `LPUSH`, `EXPIRE`.
    Change,
    /// Overwrites it without looking.
    Overwrite,
    /// Removes it.
    Remove,
}

impl KeyAccess {
    /// Tells whether the value may be read.
    #[must_use]
    pub fn reads(self) -> bool {
        !matches!(self, Self::Overwrite | Self::Remove)
    }

    /// Tells whether the value may be modified.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::Read | Self::Look)
    }

    /// What a user has to be allowed.
    #[must_use]
    pub fn permission(self) -> Permission {
        match self {
            Self::Look => Permission::empty(),
            Self::Read | Self::ReadInPlace => Permission::READ,
            Self::Modify => Permission::BOTH,
            Self::Change | Self::Overwrite | Self::Remove => Permission::WRITE,
        }
    }

    /// Gives what the flags of a key specification say; what they leave open is taken for both.
    pub(super) fn of_spec(flags: &[&str]) -> Self {
        let has = |name: &str| flags.iter().any(|flag| flag.eq_ignore_ascii_case(name));
        let accesses = has("access");
        let changes = has("insert") || has("update") || has("delete");
        match () {
            () if has("RO") && accesses => Self::Read,
            () if has("RO") => Self::Look,
            () if has("OW") && !accesses => Self::Overwrite,
            () if has("RM") && !accesses => Self::Remove,
            () if has("RW") && accesses && !changes => Self::ReadInPlace,
            () if has("RW") && changes && !accesses => Self::Change,
            () => Self::Modify,
        }
    }

    /// Gives what a command does with its keys, by its name in lower case and its flags, for servers that
    /// have no key specifications. What is not known is taken for both where it may write.
    pub(super) fn of(name: &str, flags: Flags) -> Self {
        match name {
            "exists" | "hexists" | "hlen" | "hstrlen" | "llen" | "scard" | "sismember"
            | "strlen" | "touch" | "type" | "xlen" | "zcard" | "memory|usage"
            | "object|encoding" | "object|freq" | "object|idletime" | "object|refcount" => {
                Self::Look
            }
            "msetnx" | "setnx" | "setex" | "psetex" | "mset" | "restore" | "restore-asking" => {
                Self::Overwrite
            }
            "del" | "unlink" => Self::Remove,
            "append"
            | "hsetnx"
            | "linsert"
            | "lpush"
            | "lpushx"
            | "pfadd"
            | "rpush"
            | "rpushx"
            | "sadd"
            | "expire"
            | "expireat"
            | "geoadd"
            | "hmset"
            | "hset"
            | "lset"
            | "persist"
            | "pexpire"
            | "pexpireat"
            | "setrange"
            | "xack"
            | "xadd"
            | "xclaim"
            | "xsetid"
            | "zadd"
            | "hdel"
            | "lrem"
            | "ltrim"
            | "srem"
            | "xautoclaim"
            | "xdel"
            | "xtrim"
            | "xgroup|create"
            | "xgroup|createconsumer"
            | "xgroup|delconsumer"
            | "xgroup|destroy"
            | "xgroup|setid"
            | "zrem"
            | "zremrangebylex"
            | "zremrangebyrank"
            | "zremrangebyscore" => Self::Change,
            // A command that declares neither (EVAL) is taken for a writer.
            _ if flags.contains(Flags::READONLY) => Self::Read,
            _ => Self::Modify,
        }
    }
}

/// Keys at fixed positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// The position of the first key, at least 1.
    pub first: u32,
    /// The position of the last; negative: counted from the end, -1 is the last argument.
    pub last: i32,
    /// The distance between two keys, at least 1.
    pub step: u32,
    /// What the command does with them.
    pub access: KeyAccess,
}

impl Span {
    /// One key.
    pub(super) const fn at(position: u32, access: KeyAccess) -> Self {
        Self {
            first: position,
            last: position.cast_signed(),
            step: 1,
            access,
        }
    }

    /// All arguments from a position on.
    pub(super) const fn from(position: u32, access: KeyAccess) -> Self {
        Self {
            first: position,
            last: -1,
            step: 1,
            access,
        }
    }
}

/// Makes the span for first key, last key and step as `COMMAND` gives them.
pub(super) fn span((first, last, step): (i32, i32, i32), access: KeyAccess) -> Option<Span> {
    let first = u32::try_from(first).ok().filter(|&first| first > 0)?;
    let step = u32::try_from(step).unwrap_or(1).max(1);
    Some(Span {
        first,
        last,
        step,
        access,
    })
}
