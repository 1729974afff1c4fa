//! The calls of a bus that workers of this Respite hold, by the connection that fetched them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use crate::bus::id::method_of;

/// A call that was fetched and is not answered yet.
#[derive(Debug)]
pub(in crate::bus) struct Held {
    pub(in crate::bus) token: String,
    pub(in crate::bus) worker: String,
    /// Until then the worker need not be heard of.
    pub(in crate::bus) visible: Instant,
    /// The end of the call, whatever happens.
    pub(in crate::bus) deadline: Instant,
    client: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(in crate::bus) struct HeldCalls {
    calls: HashMap<String, Held>,
    clients: HashMap<u64, HashSet<String>>,
}

impl HeldCalls {
    pub(in crate::bus) fn add(
        &mut self,
        client: u64,
        id: &str,
        (worker, token): (&str, &str),
        visible: Instant,
        deadline: Instant,
    ) {
        self.remove(id);
        let held = Held {
            token: token.to_owned(),
            worker: worker.to_owned(),
            visible,
            deadline,
            client,
        };
        self.calls.insert(id.to_owned(), held);
        self.clients
            .entry(client)
            .or_default()
            .insert(id.to_owned());
    }

    pub(in crate::bus) fn remove(&mut self, id: &str) -> Option<Held> {
        let held = self.calls.remove(id)?;
        if let Some(ids) = self.clients.get_mut(&held.client) {
            ids.remove(id);
            if ids.is_empty() {
                self.clients.remove(&held.client);
            }
        }
        Some(held)
    }

    /// Removes a call if it is still this delivery of it.
    pub(in crate::bus) fn remove_delivery(&mut self, id: &str, token: &str) {
        if self.calls.get(id).is_some_and(|held| held.token == token) {
            self.remove(id);
        }
    }

    /// Removes and gives all calls of a connection.
    pub(in crate::bus) fn remove_client(&mut self, client: u64) -> Vec<(String, Held)> {
        let ids = self.clients.remove(&client).unwrap_or_default();
        let calls = ids.into_iter();
        calls
            .filter_map(|id| self.calls.remove(&id).map(|held| (id, held)))
            .collect()
    }

    /// A beat has extended a call.
    pub(in crate::bus) fn extend(&mut self, id: &str, visible: Instant) {
        if let Some(held) = self.calls.get_mut(id) {
            held.visible = visible;
        }
    }

    /// The calls that a worker holds.
    pub(in crate::bus) fn of_worker(&self, worker: &str) -> Vec<String> {
        let calls = self.calls.iter();
        let own = calls.filter(|(_, held)| held.worker == worker);
        own.map(|(id, _)| id.clone()).collect()
    }

    /// The workers that hold calls within their visibility.
    pub(in crate::bus) fn workers(&self, now: Instant) -> HashSet<String> {
        let calls = self.calls.values();
        let alive = calls.filter(|held| held.visible > now);
        alive.map(|held| held.worker.clone()).collect()
    }

    /// How many calls of each method are held.
    pub(in crate::bus) fn by_method(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for id in self.calls.keys() {
            *counts.entry(method_of(id).to_owned()).or_default() += 1;
        }
        counts
    }

    pub(in crate::bus) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Forgets calls whose time was over before then, by their deadline or because the worker was not heard of.
    pub(in crate::bus) fn prune(&mut self, before: Instant) {
        let over: Vec<String> = self
            .calls
            .iter()
            .filter(|(_, held)| held.deadline.min(held.visible) < before)
            .map(|(id, _)| id.clone())
            .collect();
        for id in over {
            self.remove(&id);
        }
    }
}
