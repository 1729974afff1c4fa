//! The channels of publish/subscribe that a command names.
//!
//! Not here: who may use them (`access`).

use super::flags::Categories;
use super::row::{Channel, Handling, Pin, Row};
use crate::resp::Args;

/// What a command has to do with channels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channels {
    /// Nothing that a rule is asked about. Whoever ends a subscription may.
    None,
    /// It publishes to, or subscribes to, those among its arguments.
    Named {
        /// How many of them are channels, after the name.
        count: usize,
        /// Whether they are patterns, which a rule has to name as they are.
        patterns: bool,
    },
    /// It is about channels, and which is not known.
    Unknown,
}

/// Tells what a command has to do with channels.
#[must_use]
pub fn channels(row: &Row, args: Args<'_>) -> Channels {
    // Most commands are no business of this.
    if !row.categories.contains(Categories::PUBSUB) {
        return Channels::None;
    }
    let named = |count, patterns| Channels::Named { count, patterns };
    match (row.handling, &*row.name) {
        (Handling::Pin(Pin::Subscribe(kind)), _) => named(args.len() - 1, kind == Channel::Pattern),
        (Handling::Pin(Pin::Unsubscribe(_)) | Handling::Family(_), _) => Channels::None,
        (_, "publish" | "spublish") => named(1.min(args.len() - 1), false),
        // As in Redis, whoever may run it is told all channels.
        (_, name) if name == "pubsub" || name.starts_with("pubsub|") => Channels::None,
        // `PUBLISH` under another name, or a module's.
        _ => Channels::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::command::testdata::{REDIS_7_0, args, parsed, table_of};

    #[test]
    fn channels_are_known_or_taken_for_any() {
        for table in [
            table_of(&parsed(REDIS_7_0)).expect("a table"),
            Table::shipped(),
        ] {
            let shown = |line: &str| {
                let args = args(line);
                let args = args.as_args();
                let row = table.get(&args[0]).expect("a known command");
                match channels(row.or_subcommand(args), args) {
                    Channels::Named { count, patterns } => format!("{count} {patterns}"),
                    other => format!("{other:?}"),
                }
            };
            assert_eq!(shown("subscribe a b"), "2 false");
            assert_eq!(shown("subscribe"), "0 false");
            assert_eq!(shown("psubscribe a*"), "1 true");
            assert_eq!(shown("publish a m"), "1 false");
            assert_eq!(shown("publish"), "0 false");
            for line in ["unsubscribe a", "pubsub channels", "pubsub", "get a"] {
                assert_eq!(shown(line), "None", "{line}");
            }
            let mut renamed = table.get(b"publish").expect("known").clone();
            renamed.name = "tell".into();
            let line = args("tell a m");
            assert_eq!(channels(&renamed, line.as_args()), Channels::Unknown);
        }
    }
}
