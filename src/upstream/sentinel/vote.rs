//! Which master the sentinels name together.

use std::collections::HashSet;

use super::ask::{Answer, Says};
use crate::config::Address;

/// What the sentinels say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Vote {
    /// Nobody has answered, or nobody who knows the master.
    Nobody,
    /// Most of those who answered name this one.
    Most(Address),
    /// They do not agree: this one has the most voices, the first of several.
    Split(Address),
}

/// Counts. A sentinel that is known under two addresses has one voice.
pub(super) fn count(answers: &[Answer]) -> Vote {
    let mut heard = HashSet::new();
    let mut named: Vec<(&Address, usize)> = Vec::new();
    for answer in answers.iter().filter(|answer| heard.insert(&answer.id)) {
        let Says::Master(address) = &answer.says else {
            continue;
        };
        match named.iter_mut().find(|(other, _)| *other == address) {
            Some((_, voices)) => *voices += 1,
            None => named.push((address, 1)),
        }
    }
    // The first of equals: `max_by_key` gives the last.
    let first = named.iter().rev().max_by_key(|(_, voices)| *voices);
    match first {
        None => Vote::Nobody,
        Some((address, voices)) if voices * 2 > heard.len() => Vote::Most((*address).clone()),
        Some((address, _)) => Vote::Split((*address).clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str) -> Address {
        let (host, port) = (host.to_owned(), 1);
        Address::Tcp { host, port }
    }

    fn answer(id: &str, master: Option<&str>) -> Answer {
        Answer {
            id: id.to_owned(),
            says: master.map_or(Says::Unknown(Vec::new()), |host| Says::Master(tcp(host))),
            replicas: Vec::new(),
            sentinels: Vec::new(),
        }
    }

    #[test]
    fn most_of_those_who_answered_decide() {
        let (a, b) = (Some("a"), Some("b"));
        for (answers, vote) in [
            (vec![], Vote::Nobody),
            (vec![answer("1", None)], Vote::Nobody),
            (vec![answer("1", a)], Vote::Most(tcp("a"))),
            (vec![answer("1", a), answer("2", b)], Vote::Split(tcp("a"))),
            (
                vec![answer("1", a), answer("2", b), answer("3", b)],
                Vote::Most(tcp("b")),
            ),
            // One voice, however often it is heard.
            (
                vec![answer("1", a), answer("2", b), answer("2", b)],
                Vote::Split(tcp("a")),
            ),
            (
                vec![answer("1", None), answer("2", b)],
                Vote::Split(tcp("b")),
            ),
        ] {
            assert_eq!(count(&answers), vote, "{answers:?}");
        }
    }
}
