//! Which other Respites have workers, as they said themselves a moment ago.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long is believed that a Respite has workers since it last said so, or since one of its workers answered.
const BELIEVED: Duration = Duration::from_secs(10);
/// How often a Respite is told of workers, at most.
const OFFER_EVERY: Duration = Duration::from_secs(1);
/// No more methods, and Respites of each, are remembered than that.
const MOST_METHODS: usize = 2000;
const MOST_PEERS: usize = 64;

/// The other Respites with workers, by method.
#[derive(Debug, Default)]
pub(in crate::bus) struct Peers {
    methods: Mutex<HashMap<String, Vec<Peer>>>,
    /// When others were told of workers here.
    offered: Mutex<HashMap<(String, String), Instant>>,
}

#[derive(Debug)]
struct Peer {
    name: Arc<str>,
    workers: usize,
    /// Calls that were sent there and have not ended.
    outstanding: usize,
    until: Instant,
}

/// A Respite that may have a worker for a call.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) struct Choice {
    pub(in crate::bus) name: Arc<str>,
    /// Whether a worker there is likely to be idle.
    pub(in crate::bus) is_idle: bool,
    /// How many calls of this Respite are likely to wait there.
    pub(in crate::bus) waiting: usize,
}

impl Peers {
    /// A Respite says how many of its workers serve a method.
    pub(in crate::bus) fn offer(&self, name: &str, method: &str, workers: usize) {
        let mut methods = self.methods.lock();
        if methods.len() >= MOST_METHODS && !methods.contains_key(method) {
            methods.clear();
        }
        let peers = methods.entry(method.to_owned()).or_default();
        let now = Instant::now();
        peers.retain(|peer| peer.until > now || peer.outstanding > 0);
        let until = now + BELIEVED;
        if let Some(peer) = peers.iter_mut().find(|peer| &*peer.name == name) {
            (peer.workers, peer.until) = (workers.max(1), until);
        } else if peers.len() < MOST_PEERS {
            peers.push(Peer {
                name: name.into(),
                workers: workers.max(1),
                outstanding: 0,
                until,
            });
        }
    }

    /// The Respite where a call has to wait least.
    pub(in crate::bus) fn choose(&self, method: &str) -> Option<Choice> {
        let now = Instant::now();
        let methods = self.methods.lock();
        let peers = methods.get(method)?.iter();
        let believed = peers.filter(|peer| peer.until > now);
        let load = |peer: &&Peer| peer.outstanding * 1000 / peer.workers;
        let peer = believed.min_by_key(load)?;
        Some(Choice {
            name: Arc::clone(&peer.name),
            is_idle: peer.outstanding < peer.workers,
            waiting: peer.outstanding.saturating_sub(peer.workers),
        })
    }

    /// A call goes there.
    pub(in crate::bus) fn sent(&self, name: &str, method: &str) {
        self.change(name, method, |peer| peer.outstanding += 1);
    }

    /// A call that went there is over; whether a worker there answered it.
    pub(in crate::bus) fn over(&self, name: &str, method: &str, is_answered: bool) {
        self.change(name, method, |peer| {
            peer.outstanding = peer.outstanding.saturating_sub(1);
            if is_answered {
                peer.until = Instant::now() + BELIEVED;
            }
        });
    }

    /// No worker there takes calls of this method any more.
    pub(in crate::bus) fn disbelieve(&self, name: &str, method: &str) {
        self.change(name, method, |peer| peer.until = Instant::now());
    }

    fn change(&self, name: &str, method: &str, change: impl FnOnce(&mut Peer)) {
        let mut methods = self.methods.lock();
        let peers = methods.get_mut(method).into_iter().flatten();
        if let Some(peer) = peers.into_iter().find(|peer| &*peer.name == name) {
            change(peer);
        }
    }

    /// Whether a Respite is to be told of the workers here.
    pub(in crate::bus) fn is_to_be_told(&self, name: &str, method: &str) -> bool {
        let now = Instant::now();
        let mut offered = self.offered.lock();
        if offered.len() >= MOST_METHODS {
            offered.retain(|_, at| now.duration_since(*at) < OFFER_EVERY);
        }
        let key = (name.to_owned(), method.to_owned());
        if let Some(at) = offered.get(&key)
            && now.duration_since(*at) < OFFER_EVERY
        {
            return false;
        }
        offered.len() < MOST_METHODS && {
            offered.insert(key, now);
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_goes_where_it_waits_least() {
        let peers = Peers::default();
        assert_eq!(peers.choose("m"), None);
        peers.offer("one", "m", 1);
        peers.offer("two", "m", 3);
        let mut sent = [0, 0];
        for n in 0..8 {
            let choice = peers.choose("m").expect("somebody");
            assert_eq!(choice.is_idle, n < 4, "{n}");
            peers.sent(&choice.name, "m");
            sent[usize::from(&*choice.name == "two")] += 1;
        }
        assert_eq!(sent, [2, 6]);
        peers.over("one", "m", true);
        peers.over("one", "m", true);
        assert_eq!(&*peers.choose("m").expect("somebody").name, "one");
        peers.disbelieve("one", "m");
        assert_eq!(&*peers.choose("m").expect("somebody").name, "two");
        peers.disbelieve("two", "m");
        assert_eq!(peers.choose("m"), None);
    }

    #[test]
    fn a_respite_is_told_once_a_second() {
        let peers = Peers::default();
        assert!(peers.is_to_be_told("one", "m"));
        assert!(!peers.is_to_be_told("one", "m"));
        assert!(peers.is_to_be_told("one", "n") && peers.is_to_be_told("two", "m"));
    }
}
