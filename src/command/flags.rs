//! The flags and ACL categories of commands, with the names that `COMMAND` gives them.
//!
//! Not here: what follows from a flag. [`super::Row`] and the session decide that.

use bitflags::bitflags;

bitflags! {
    /// The flags of a command, as `COMMAND` reports them.
    ///
    /// Flags that Respite has no use for are dropped while reading a backing's table.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Flags: u32 {
        /// May modify the data set.
        const WRITE = 1;
        /// Reads keys and never modifies them.
        const READONLY = 1 << 1;
        /// Refused when the backing is out of memory.
        const DENYOOM = 1 << 2;
        /// An administrative command.
        const ADMIN = 1 << 3;
        /// Belongs to publish/subscribe.
        const PUBSUB = 1 << 4;
        /// Not allowed in scripts.
        const NOSCRIPT = 1 << 5;
        /// May block its client.
        const BLOCKING = 1 << 6;
        /// Allowed while the backing loads its data set.
        const LOADING = 1 << 7;
        /// Allowed on a replica with stale data.
        const STALE = 1 << 8;
        /// Constant or logarithmic time.
        const FAST = 1 << 9;
        /// Allowed before authentication, and never refused by access rules.
        const NO_AUTH = 1 << 10;
        /// May produce replication traffic without being a write.
        const MAY_REPLICATE = 1 << 11;
        /// Not allowed inside a transaction.
        const NO_MULTI = 1 << 12;
        /// First key, last key and step do not tell all keys.
        const MOVABLEKEYS = 1 << 13;
        /// Allowed while a script blocks the backing.
        const ALLOW_BUSY = 1 << 14;
        /// Comes from a module.
        const MODULE = 1 << 15;
        /// Hidden from `MONITOR`.
        const SKIP_MONITOR = 1 << 16;
        /// Hidden from `SLOWLOG`.
        const SKIP_SLOWLOG = 1 << 17;
        /// Taken by an importing cluster node without `ASKING`.
        const ASKING = 1 << 18;
        /// Sensible without any key although it takes keys.
        const NO_MANDATORY_KEYS = 1 << 19;
        /// Not allowed while data is loaded asynchronously.
        const NO_ASYNC_LOADING = 1 << 20;
    }
}

bitflags! {
    /// The ACL categories of a command.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
    pub struct Categories: u64 {
        /// `@keyspace`
        const KEYSPACE = 1;
        /// `@read`
        const READ = 1 << 1;
        /// `@write`
        const WRITE = 1 << 2;
        /// `@set`
        const SET = 1 << 3;
        /// `@sortedset`
        const SORTEDSET = 1 << 4;
        /// `@list`
        const LIST = 1 << 5;
        /// `@hash`
        const HASH = 1 << 6;
        /// `@string`
        const STRING = 1 << 7;
        /// `@bitmap`
        const BITMAP = 1 << 8;
        /// `@hyperloglog`
        const HYPERLOGLOG = 1 << 9;
        /// `@geo`
        const GEO = 1 << 10;
        /// `@stream`
        const STREAM = 1 << 11;
        /// `@pubsub`
        const PUBSUB = 1 << 12;
        /// `@admin`
        const ADMIN = 1 << 13;
        /// `@fast`
        const FAST = 1 << 14;
        /// `@slow`
        const SLOW = 1 << 15;
        /// `@blocking`
        const BLOCKING = 1 << 16;
        /// `@dangerous`
        const DANGEROUS = 1 << 17;
        /// `@connection`
        const CONNECTION = 1 << 18;
        /// `@transaction`
        const TRANSACTION = 1 << 19;
        /// `@scripting`
        const SCRIPTING = 1 << 20;
    }
}

/// The names of the flags in the order in which Redis prints them.
const FLAG_NAMES: [(&str, Flags); 21] = [
    ("write", Flags::WRITE),
    ("readonly", Flags::READONLY),
    ("denyoom", Flags::DENYOOM),
    ("module", Flags::MODULE),
    ("admin", Flags::ADMIN),
    ("pubsub", Flags::PUBSUB),
    ("noscript", Flags::NOSCRIPT),
    ("blocking", Flags::BLOCKING),
    ("loading", Flags::LOADING),
    ("stale", Flags::STALE),
    ("skip_monitor", Flags::SKIP_MONITOR),
    ("skip_slowlog", Flags::SKIP_SLOWLOG),
    ("asking", Flags::ASKING),
    ("fast", Flags::FAST),
    ("no_auth", Flags::NO_AUTH),
    ("may_replicate", Flags::MAY_REPLICATE),
    ("no_mandatory_keys", Flags::NO_MANDATORY_KEYS),
    ("no_async_loading", Flags::NO_ASYNC_LOADING),
    ("no_multi", Flags::NO_MULTI),
    ("movablekeys", Flags::MOVABLEKEYS),
    ("allow_busy", Flags::ALLOW_BUSY),
];

/// The names of the categories in the order in which Redis prints them.
const CATEGORY_NAMES: [(&str, Categories); 21] = [
    ("keyspace", Categories::KEYSPACE),
    ("read", Categories::READ),
    ("write", Categories::WRITE),
    ("set", Categories::SET),
    ("sortedset", Categories::SORTEDSET),
    ("list", Categories::LIST),
    ("hash", Categories::HASH),
    ("string", Categories::STRING),
    ("bitmap", Categories::BITMAP),
    ("hyperloglog", Categories::HYPERLOGLOG),
    ("geo", Categories::GEO),
    ("stream", Categories::STREAM),
    ("pubsub", Categories::PUBSUB),
    ("admin", Categories::ADMIN),
    ("fast", Categories::FAST),
    ("slow", Categories::SLOW),
    ("blocking", Categories::BLOCKING),
    ("dangerous", Categories::DANGEROUS),
    ("connection", Categories::CONNECTION),
    ("transaction", Categories::TRANSACTION),
    ("scripting", Categories::SCRIPTING),
];

impl Flags {
    /// Finds a flag by the name that `COMMAND` uses, in any case.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        find(&FLAG_NAMES, name)
    }

    /// Lists the names of the flags that are set, in Redis' order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        FLAG_NAMES
            .iter()
            .filter(move |(_, flag)| self.contains(*flag))
            .map(|(name, _)| *name)
    }
}

impl Categories {
    /// Finds a category by its name in any case, with or without the `@`.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        find(&CATEGORY_NAMES, name.strip_prefix('@').unwrap_or(name))
    }

    /// Lists the names of the categories that are set, without `@`, in Redis' order.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        CATEGORY_NAMES
            .iter()
            .filter(move |(_, one)| self.contains(*one))
            .map(|(name, _)| *name)
    }

    /// Adds what Redis takes to be implied: what is administrative is dangerous.
    #[must_use]
    pub fn implied(self) -> Self {
        let mut categories = self;
        if self.contains(Self::ADMIN) {
            categories |= Self::DANGEROUS;
        }
        categories
    }

    /// Derives the categories that Redis derives from flags (`setImplicitACLCategories`), for
    /// tables that report none.
    #[must_use]
    pub fn implied_by(flags: Flags) -> Self {
        let mut categories = Self::empty();
        categories.set(Self::WRITE, flags.contains(Flags::WRITE));
        categories.set(Self::READ, flags.contains(Flags::READONLY));
        categories.set(Self::ADMIN | Self::DANGEROUS, flags.contains(Flags::ADMIN));
        categories.set(Self::PUBSUB, flags.contains(Flags::PUBSUB));
        categories.set(Self::BLOCKING, flags.contains(Flags::BLOCKING));
        categories.set(Self::FAST, flags.contains(Flags::FAST));
        categories.set(Self::SLOW, !flags.contains(Flags::FAST));
        categories
    }
}

fn find<T: Copy>(names: &[(&str, T)], name: &str) -> Option<T> {
    names
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_and_category_has_exactly_one_name() {
        assert!(
            Flags::all()
                .names()
                .eq(FLAG_NAMES.iter().map(|(name, _)| *name))
        );
        assert!(
            Categories::all()
                .names()
                .eq(CATEGORY_NAMES.iter().map(|(name, _)| *name))
        );
        assert_eq!(FLAG_NAMES.len(), Flags::all().bits().count_ones() as usize);
        assert_eq!(
            CATEGORY_NAMES.len(),
            Categories::all().bits().count_ones() as usize
        );
    }

    #[test]
    fn names_are_found_in_any_case_and_with_the_at_sign() {
        assert_eq!(Categories::by_name("@Read"), Some(Categories::READ));
        assert_eq!(Categories::by_name("read"), Some(Categories::READ));
        assert_eq!(Categories::by_name("@@read"), None);
        assert_eq!(Categories::by_name("all"), None);
        assert_eq!(Flags::by_name("NO_AUTH"), Some(Flags::NO_AUTH));
        assert_eq!(Flags::by_name("random"), None);
    }

    #[test]
    fn flags_imply_categories_as_in_redis() {
        let categories = Categories::implied_by(Flags::ADMIN | Flags::NOSCRIPT);
        assert_eq!(
            categories,
            Categories::ADMIN | Categories::DANGEROUS | Categories::SLOW
        );
        let categories = Categories::implied_by(Flags::READONLY | Flags::FAST);
        assert_eq!(categories, Categories::READ | Categories::FAST);
    }
}
