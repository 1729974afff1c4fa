//! What a command means to a cluster: whether one node can answer it, and how the replies of several become one.
//!
//! By name for what Redis itself has, in every version the same; by the tips of the backing (`request_policy`,
//! `response_policy`, since Redis 7.0) for what is not in the list: newer commands, and those of modules.

use super::key_rules::Keys;

/// Who has to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Spread {
    /// One node: the one that has its keys, any without keys.
    #[default]
    One,
    /// One node that the client has to name, since each would say something else.
    Named,
    /// The nodes of its keys: it is split into a part for each slot.
    BySlot(Joining),
    /// All masters.
    Everywhere(Joining),
    /// All masters, one after the other, as far as its cursor is.
    Scan,
}

/// How the replies of several nodes become one. An error of any is the error of all, but for
/// [`Joining::OneSucceeded`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Joining {
    /// All say the same.
    AllSucceeded,
    /// One success is enough: the others had nothing to do.
    OneSucceeded,
    /// Numbers are added.
    Sum,
    /// The least number.
    Min,
    /// The greatest number.
    Max,
    /// Lists of 0 and 1: 1 where all say so.
    LogicalAnd,
    /// Elements of arrays; of commands that are split, in the order of their keys.
    Elements,
    /// Elements of arrays, each once.
    Distinct,
    /// Names and numbers in turns; the numbers of each name are added.
    Counts,
    /// Any of them that is not nil.
    AnyValue,
    /// `SLOWLOG GET`: the newest.
    Newest,
    /// `LATENCY LATEST`: one entry for each event.
    Latest,
    /// `FUNCTION STATS`: that of a node that runs one, if any.
    Running,
}

/// What the backing's tips say of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tips {
    /// `request_policy`.
    pub request: Option<RequestTip>,
    /// `response_policy`, if it is one that is known here.
    pub response: Option<Joining>,
    /// It names a policy that is not.
    pub is_special: bool,
}

/// The values of `request_policy` that are known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RequestTip {
    /// `all_nodes`, `all_shards`
    All,
    /// `multi_shard`
    MultiShard,
}

impl Tips {
    /// Reads what a backing lists.
    pub(super) fn read<'a>(tips: impl IntoIterator<Item = &'a str>) -> Self {
        let mut read = Self::default();
        for tip in tips {
            match tip.split_once(':') {
                Some(("request_policy", "all_nodes" | "all_shards")) => {
                    read.request = Some(RequestTip::All);
                }
                Some(("request_policy", "multi_shard")) => {
                    read.request = Some(RequestTip::MultiShard);
                }
                Some(("response_policy", policy)) => {
                    read.response = match policy {
                        "one_succeeded" => Some(Joining::OneSucceeded),
                        "all_succeeded" => Some(Joining::AllSucceeded),
                        "agg_sum" => Some(Joining::Sum),
                        "agg_min" => Some(Joining::Min),
                        "agg_max" => Some(Joining::Max),
                        "agg_logical_and" => Some(Joining::LogicalAnd),
                        _ => None,
                    };
                    read.is_special = read.response.is_none();
                }
                _ => {}
            }
        }
        read
    }
}

impl Spread {
    /// Whether no node can answer it alone, whatever its keys are.
    #[must_use]
    pub fn is_for_all(self) -> bool {
        matches!(self, Spread::Everywhere(_) | Spread::Named | Spread::Scan)
    }

    /// What a command means to a cluster.
    pub(super) fn of(name: &str, tips: Tips, keys: &Keys) -> Self {
        by_name(name).unwrap_or_else(|| by_tips(tips, keys))
    }
}

/// Redis' own commands for which one node does not do.
fn by_name(name: &str) -> Option<Spread> {
    use Joining as J;
    use Spread::{BySlot, Everywhere, Named, One, Scan};
    let (command, sub) = name.split_once('|').unwrap_or((name, ""));
    Some(match (command, sub) {
        ("mget", _) => BySlot(J::Elements),
        ("mset", _) => BySlot(J::AllSucceeded),
        ("del" | "unlink" | "exists" | "touch", _) => BySlot(J::Sum),
        // All or nothing, which several nodes cannot promise; Redis 7.0's tips say otherwise.
        ("msetnx", _) => One,
        ("scan", _) => Scan,
        ("flushall" | "flushdb" | "bgsave" | "save" | "bgrewriteaof", _) => {
            Everywhere(J::AllSucceeded)
        }
        ("dbsize", _) => Everywhere(J::Sum),
        ("keys", _) => Everywhere(J::Distinct),
        ("randomkey", _) => Everywhere(J::AnyValue),
        ("lastsave", _) => Everywhere(J::Min),
        ("config", "set" | "resetstat" | "rewrite") => Everywhere(J::AllSucceeded),
        ("function", "load" | "delete" | "flush" | "restore") => Everywhere(J::AllSucceeded),
        ("function" | "script", "kill") => Everywhere(J::OneSucceeded),
        ("function", "stats") => Everywhere(J::Running),
        ("script", "load" | "flush") => Everywhere(J::AllSucceeded),
        ("script", "exists") => Everywhere(J::LogicalAnd),
        ("slowlog", "get") => Everywhere(J::Newest),
        ("slowlog", "len") => Everywhere(J::Sum),
        ("slowlog", "reset") => Everywhere(J::AllSucceeded),
        ("latency", "latest") => Everywhere(J::Latest),
        ("latency", "reset") => Everywhere(J::Sum),
        ("latency", "doctor" | "graph" | "histogram" | "history") => Named,
        ("memory", "purge") => Everywhere(J::AllSucceeded),
        ("memory", "doctor" | "malloc-stats" | "stats") => Named,
        ("pubsub", "channels" | "shardchannels") => Everywhere(J::Distinct),
        ("pubsub", "numsub" | "shardnumsub") => Everywhere(J::Counts),
        ("pubsub", "numpat") => Everywhere(J::Sum),
        ("acl", "setuser" | "load" | "save") => Everywhere(J::AllSucceeded),
        ("acl", "deluser") => Everywhere(J::Max),
        ("acl", "log") | ("debug" | "shutdown", _) => Named,
        ("module", "load" | "loadex" | "unload") => Everywhere(J::AllSucceeded),
        // Theirs are handled where the connection is.
        ("wait" | "waitaof" | "ping" | "info" | "client", _) => One,
        _ => return None,
    })
}

fn by_tips(tips: Tips, keys: &Keys) -> Spread {
    let Tips {
        request,
        response,
        is_special,
    } = tips;
    match request {
        None => Spread::One,
        Some(_) if is_special => Spread::Named,
        Some(RequestTip::All) => Spread::Everywhere(response.unwrap_or(Joining::Elements)),
        Some(RequestTip::MultiShard) if keys.step().is_some() => {
            Spread::BySlot(response.unwrap_or(Joining::Elements))
        }
        Some(RequestTip::MultiShard) => Spread::One,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Table;
    use crate::command::key_span::{KeyAccess, Span};

    #[test]
    fn policies_are_those_of_redis_and_need_no_tips() {
        let table = Table::shipped();
        let spread = |words: &str| {
            let mut words = words.split(' ');
            let row = words.next().and_then(|name| table.get(name.as_bytes()));
            let row = row.expect("a command");
            let sub = words.next().and_then(|sub| row.subcommand(sub.as_bytes()));
            sub.unwrap_or(row).spread
        };
        for (command, expected) in [
            ("get", Spread::One),
            ("publish", Spread::One),
            ("msetnx", Spread::One),
            ("config get", Spread::One),
            ("mget", Spread::BySlot(Joining::Elements)),
            ("unlink", Spread::BySlot(Joining::Sum)),
            ("dbsize", Spread::Everywhere(Joining::Sum)),
            ("script exists", Spread::Everywhere(Joining::LogicalAnd)),
            ("script kill", Spread::Everywhere(Joining::OneSucceeded)),
            ("memory stats", Spread::Named),
            ("scan", Spread::Scan),
        ] {
            assert_eq!(spread(command), expected, "{command}");
        }
    }

    #[test]
    fn tips_tell_of_commands_that_are_not_known() {
        let all = Keys::Span(Span {
            first: 1,
            last: -1,
            step: 1,
            access: KeyAccess::Read,
        });
        for (tips, keys, expected) in [
            (&[][..], Keys::None, Spread::One),
            (
                &["request_policy:all_shards", "response_policy:agg_max"],
                Keys::None,
                Spread::Everywhere(Joining::Max),
            ),
            (
                &["request_policy:all_nodes"],
                Keys::None,
                Spread::Everywhere(Joining::Elements),
            ),
            (
                &["request_policy:all_nodes", "response_policy:special"],
                Keys::None,
                Spread::Named,
            ),
            (
                &["request_policy:multi_shard"],
                all,
                Spread::BySlot(Joining::Elements),
            ),
            (&["request_policy:multi_shard"], Keys::None, Spread::One),
            (&["request_policy:special"], Keys::None, Spread::One),
        ] {
            let read = Tips::read(tips.iter().copied());
            assert_eq!(Spread::of("new", read, &keys), expected, "{tips:?}");
        }
    }
}
