//! What Respite does with the commands that it does not simply forward: those it answers and those
//! that leave state in a connection.
//!
//! By name, whatever the backing says of them. Their rows are in [`super::shipped`] until the backing
//! has been reached.

use super::row::{Channel, Handling, Local, Pin};

use Handling::{Local as L, Pin as P};

const HANDLED: &[(&str, Handling)] = &[
    ("hello", L(Local::Hello)),
    ("auth", L(Local::Auth)),
    ("quit", L(Local::Quit)),
    ("reset", L(Local::Reset)),
    ("ping", L(Local::Ping)),
    ("echo", L(Local::Echo)),
    ("select", L(Local::Select)),
    ("client", L(Local::Client)),
    ("command", L(Local::Command)),
    ("info", L(Local::Info)),
    ("cluster", L(Local::Cluster)),
    ("asking", L(Local::Cluster)),
    ("readonly", L(Local::Cluster)),
    ("readwrite", L(Local::Cluster)),
    ("multi", P(Pin::Multi)),
    ("exec", P(Pin::Exec)),
    ("discard", P(Pin::Discard)),
    ("watch", P(Pin::Watch)),
    ("unwatch", P(Pin::Unwatch)),
    ("blpop", P(Pin::Block)),
    ("brpop", P(Pin::Block)),
    ("brpoplpush", P(Pin::Block)),
    ("blmove", P(Pin::Block)),
    ("blmpop", P(Pin::Block)),
    ("bzpopmin", P(Pin::Block)),
    ("bzpopmax", P(Pin::Block)),
    ("bzmpop", P(Pin::Block)),
    ("xread", P(Pin::BlockIfOption)),
    ("xreadgroup", P(Pin::BlockIfOption)),
    ("subscribe", P(Pin::Subscribe(Channel::Exact))),
    ("psubscribe", P(Pin::Subscribe(Channel::Pattern))),
    ("ssubscribe", P(Pin::Subscribe(Channel::Shard))),
    ("unsubscribe", P(Pin::Unsubscribe(Channel::Exact))),
    ("punsubscribe", P(Pin::Unsubscribe(Channel::Pattern))),
    ("sunsubscribe", P(Pin::Unsubscribe(Channel::Shard))),
    ("monitor", P(Pin::Monitor)),
    ("wait", P(Pin::Wait)),
    ("waitaof", P(Pin::Wait)),
    ("sync", P(Pin::Replication)),
    ("psync", P(Pin::Replication)),
    ("replconf", P(Pin::Replication)),
    ("shutdown", P(Pin::Control)),
    ("eval", P(Pin::Script)),
    ("eval_ro", P(Pin::Script)),
    ("evalsha", P(Pin::Script)),
    ("evalsha_ro", P(Pin::Script)),
    ("fcall", P(Pin::Script)),
    ("fcall_ro", P(Pin::Script)),
];

/// Gives the handling of a command that is not simply forwarded, by its full name in lower case.
pub(super) fn handling_of(name: &str) -> Option<Handling> {
    match name {
        // Only this one must not reach a shared connection.
        "script|debug" => return Some(P(Pin::Debugger)),
        "script|kill" | "function|kill" => return Some(P(Pin::Control)),
        _ => {}
    }
    let container = name.split('|').next().unwrap_or(name);
    let known = HANDLED.iter().find(|(name, _)| *name == container);
    known.map(|(_, handling)| *handling)
}
