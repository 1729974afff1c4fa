//! What a command may do to the data set, to its connection and to the server: bits, so that a request is
//! not judged by names.
//!
//! Not here: which command has which ([`settle`](super::settle)) and what the session does about it.

use bitflags::bitflags;

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
        /// One node of a cluster may not be enough for it: see [`Spread`](super::Spread).
        const SPREADS = 1 << 16;
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
}
