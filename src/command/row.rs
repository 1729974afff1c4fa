//! One row of the command table: what Respite knows about a command and does with it.
//!
//! Not here: where rows come from ([`super::Table`]) and how keys are picked out of arguments
//! ([`keys`](mod@super::keys)).

use hashbrown::HashMap;

use super::effects::Effects;
use super::flags::{Categories, Flags};
use super::key_rules::Keys;
use super::lower::Lower;
use super::readable::Readable;
use super::spread::{Spread, Tips};
use crate::resp::Args;

/// What Respite does with a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Handling {
    /// Goes to the backing on the shared link.
    #[default]
    Forward,
    /// Is answered by the session.
    Local(Local),
    /// Leaves state in a backing connection.
    Pin(Pin),
    /// Belongs to one of Respite's own families: the index of the family.
    Family(usize),
}

/// The connection commands that the session answers itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Local {
    /// `HELLO`
    Hello,
    /// `AUTH`
    Auth,
    /// `PING`
    Ping,
    /// `ECHO`
    Echo,
    /// `SELECT`
    Select,
    /// `QUIT`
    Quit,
    /// `RESET`
    Reset,
    /// `CLIENT` with all its subcommands
    Client,
    /// `COMMAND` with all its subcommands
    Command,
    /// `INFO`
    Info,
    /// `RESPITE.NODE`: a command for one node.
    Node,
    /// `CLUSTER`, `ASKING`, `READONLY`, `READWRITE`; passed on where Respite speaks for one server.
    Cluster,
}

/// The commands that leave state in a backing connection, or would.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pin {
    /// `MULTI`
    Multi,
    /// `EXEC`
    Exec,
    /// `DISCARD`
    Discard,
    /// `WATCH`
    Watch,
    /// `UNWATCH`
    Unwatch,
    /// May always block its client (`BLPOP`, …).
    Block,
    /// `XREAD` and `XREADGROUP`: block only with an option, see [`super::has_block_option`].
    BlockIfOption,
    /// `SUBSCRIBE`, `PSUBSCRIBE`, `SSUBSCRIBE`
    Subscribe(Channel),
    /// `UNSUBSCRIBE`, `PUNSUBSCRIBE`, `SUNSUBSCRIBE`
    Unsubscribe(Channel),
    /// `MONITOR`
    Monitor,
    /// `WAIT` and `WAITAOF`
    Wait,
    /// `SYNC`, `PSYNC`, `REPLCONF`: refused.
    Replication,
    /// `SCRIPT DEBUG`: would put a shared connection into the debugger, refused.
    Debugger,
    /// A script, which may run for long: on the links for scripts.
    Script,
    /// What the backing answers while it is busy (`SCRIPT KILL`, `SHUTDOWN`), or may wait with for long.
    Control,
}

/// What a subscription names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Channel {
    /// A channel by its name.
    Exact,
    /// A glob pattern over channels.
    Pattern,
    /// A channel of the cluster's sharded publish/subscribe.
    Shard,
}

/// One command, or one subcommand.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Row {
    /// The name in lower case, `container|sub` for a subcommand.
    pub name: Box<str>,
    /// The number of arguments with the name; negative: at least as many.
    pub arity: i32,
    /// The flags that the backing (or Respite) declares.
    pub flags: Flags,
    /// The ACL categories.
    pub categories: Categories,
    /// Where the keys are.
    pub keys: Keys,
    /// What Respite does with the command.
    pub handling: Handling,
    /// What the backing's tips say of it.
    pub tips: Tips,
    /// Which nodes of a cluster it is for, worked out when the row is taken into a table.
    pub spread: Spread,
    /// What it may do, worked out from the above when the row is taken into a table.
    pub effects: Effects,
    /// What it is as a read that may be answered from memory, worked out with the effects.
    pub readable: Option<&'static Readable>,
    /// Commands that tell or do the same, in lower case: rules about one of them are about this one, too.
    pub aliases: &'static [&'static str],
    /// The subcommands by their short names in lower case; mostly empty.
    pub subcommands: HashMap<Box<[u8]>, Row>,
}

impl Row {
    /// Tells whether the command may modify the data set.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.flags.contains(Flags::WRITE)
    }

    /// Tells whether the command only reads.
    #[must_use]
    pub fn is_readonly(&self) -> bool {
        self.flags.contains(Flags::READONLY)
    }

    /// Tells whether the command comes from a module; Redis 6 shows it by the dot only.
    #[must_use]
    pub fn is_module(&self) -> bool {
        self.flags.contains(Flags::MODULE)
            || (self.handling == Handling::Forward && self.name.contains('.'))
    }

    /// Tells whether the backing may have subcommands of this command that are not listed here.
    #[must_use]
    pub fn hides_subcommands(&self) -> bool {
        let passed_on = [Handling::Forward, Handling::Local(Local::Cluster)];
        passed_on.contains(&self.handling) && !self.subcommands.is_empty()
    }

    /// Finds a subcommand by its short name in any case.
    #[must_use]
    pub fn subcommand(&self, sub: &[u8]) -> Option<&Self> {
        if self.subcommands.is_empty() {
            return None;
        }
        Lower::of(sub).and_then(|lower| self.subcommands.get(lower.as_bytes()))
    }

    /// Gives the row of the subcommand that the arguments name, or this one.
    #[must_use]
    pub fn or_subcommand(&self, args: Args<'_>) -> &Self {
        if self.subcommands.is_empty() {
            return self;
        }
        args.get(1)
            .and_then(|sub| self.subcommand(sub))
            .unwrap_or(self)
    }
}

/// Tells whether a command with this many arguments (the name included) has a valid arity.
#[must_use]
pub fn arity_ok(row: &Row, args: usize) -> bool {
    let wanted = row.arity.unsigned_abs() as usize;
    if row.arity < 0 {
        args >= wanted
    } else {
        args == wanted
    }
}
