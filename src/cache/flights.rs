//! Fetches that are under way, each for everybody who wants the same meanwhile.

use std::time::Instant;

use hashbrown::HashMap;
use smallvec::SmallVec;

use super::entry::{Read, Waiter};
use super::full_key::{FullKey, HashInFront, hash_of};
use super::mutant::{Mutant, is_active};
use super::stripes::Version;
use super::value::is_same;
use crate::resp::Shape;

/// The fetches of some of the keys.
#[derive(Debug, Default)]
pub(super) struct Flights {
    valid: HashMap<FullKey, SmallVec<[Flight; 1]>, HashInFront>,
    /// Those that were voided: who waits still gets the reply, it is just not kept.
    voided: HashMap<u64, Flight>,
}

/// One fetch.
#[derive(Debug)]
pub(super) struct Flight {
    token: u64,
    /// Of the key.
    hash: u64,
    /// The fetch was sent after this.
    since: Instant,
    version: Version,
    /// The worker on whose link it is.
    worker: usize,
    /// The variant; none for `GET`.
    name: Option<Box<[u8]>>,
    shape: Shape,
    waiters: Vec<Waiter>,
    /// What a client was shown of its key meanwhile, which may be newer.
    shown: Option<Box<[u8]>>,
}

/// A fetch that begins.
#[derive(Debug)]
pub(super) struct NewFlight<'a> {
    pub(super) token: u64,
    pub(super) since: Instant,
    pub(super) version: Version,
    pub(super) read: Read<'a>,
    pub(super) shape: Shape,
    pub(super) waiter: Waiter,
}

/// Whether a flight can be joined.
#[derive(Debug)]
pub(super) enum Joined<'a> {
    /// By whoever adds a waiter.
    Yes(u64, &'a mut Vec<Waiter>),
    NoFlight,
    TooOld,
}

/// A flight that has landed.
#[derive(Debug, Default)]
pub(super) struct Landed {
    pub(super) waiters: Vec<Waiter>,
    /// The variant; none for `GET`.
    pub(super) name: Option<Box<[u8]>>,
    pub(super) shape: Shape,
    /// The version to compare; none for a flight that was voided.
    pub(super) version: Option<Version>,
    /// What a client was shown of its key meanwhile.
    pub(super) shown: Option<Box<[u8]>>,
}

impl Flight {
    fn is_of(&self, read: Read<'_>) -> bool {
        match read {
            Read::Get => self.name.is_none(),
            Read::Other(name, _) => self.name.as_deref() == Some(name),
        }
    }
}

impl Flights {
    /// Whether nothing is being fetched that may be kept.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.valid.is_empty()
    }

    /// Looks for a valid flight that began `after`: an older one may bring what was current too long ago.
    pub(super) fn find(
        &mut self,
        key: &[u8],
        read: Read<'_>,
        after: Option<Instant>,
    ) -> Joined<'_> {
        let of_key = self.valid.get_mut(key).into_iter().flatten();
        match of_key.into_iter().find(|flight| flight.is_of(read)) {
            None => Joined::NoFlight,
            Some(flight) if after.is_some_and(|after| flight.since < after) => Joined::TooOld,
            Some(flight) => Joined::Yes(flight.token, &mut flight.waiters),
        }
    }

    /// The worker on whose link a valid flight of a key is.
    pub(super) fn worker(&self, key: &[u8], token: u64) -> Option<usize> {
        let flight = self.valid.get(key)?.iter().find(|f| f.token == token)?;
        Some(flight.worker)
    }

    /// Begins a flight.
    pub(super) fn begin(&mut self, key: &[u8], new: NewFlight<'_>) {
        let flight = Flight {
            token: new.token,
            hash: hash_of(key),
            since: new.since,
            version: new.version,
            worker: new.waiter.worker,
            name: match new.read {
                Read::Get => None,
                Read::Other(name, _) => Some(name.into()),
            },
            shape: new.shape,
            waiters: vec![new.waiter],
            shown: None,
        };
        self.valid.entry(key.into()).or_default().push(flight);
    }

    /// Voids the flights of a key: what they bring is not kept, and nobody joins them any more.
    pub(super) fn void(&mut self, key: &[u8]) {
        if self.valid.is_empty() {
            return;
        }
        for flight in self.valid.remove(key).into_iter().flatten() {
            self.voided.insert(flight.token, flight);
        }
    }

    /// A client is shown this reply to `GET` of a key: of its flights only one that brings the same may be kept. Of
    /// two that were shown it is not known which is newer.
    pub(super) fn show(&mut self, key: &[u8], reply: &[u8]) {
        if self.valid.is_empty() || is_active(Mutant::FlightForgetsShown) {
            return;
        }
        let flights = self.valid.get_mut(key).into_iter().flatten();
        let mut differs = false;
        for flight in flights {
            match &flight.shown {
                _ if flight.name.is_some() => differs = true,
                Some(shown) => differs |= !is_same(shown, reply),
                None => flight.shown = Some(reply.into()),
            }
        }
        if differs {
            self.void(key);
        }
    }

    /// Voids the flights of a key that are on the links of other workers.
    pub(super) fn void_others(&mut self, key: &[u8], worker: usize) {
        let Some(flights) = self.valid.get_mut(key) else {
            return;
        };
        let mut n = 0;
        while n < flights.len() {
            if flights[n].worker == worker {
                n += 1;
                continue;
            }
            let flight = flights.swap_remove(n);
            self.voided.insert(flight.token, flight);
        }
        if flights.is_empty() {
            self.valid.remove(key);
        }
    }

    /// Voids all flights.
    pub(super) fn void_all(&mut self) {
        for flight in self.valid.drain().flat_map(|(_, flights)| flights) {
            self.voided.insert(flight.token, flight);
        }
    }

    /// Hands over all voided flights, each with the hash of its key.
    pub(super) fn take_voided(&mut self) -> impl Iterator<Item = (u64, Flight)> {
        let voided = std::mem::take(&mut self.voided);
        voided.into_values().map(|flight| (flight.hash, flight))
    }

    /// Takes over a voided flight.
    pub(super) fn put_voided(&mut self, flight: Flight) {
        self.voided.insert(flight.token, flight);
    }

    /// Ends a flight. One that may be kept voids those of its key on other links: they may bring what is
    /// older than what is now shown.
    pub(super) fn land(&mut self, key: &[u8], token: u64) -> Landed {
        let of_key = self.valid.get_mut(key);
        let found = of_key.and_then(|flights| {
            let at = flights.iter().position(|flight| flight.token == token)?;
            Some(flights.swap_remove(at))
        });
        let (flight, version) = match found {
            Some(flight) => {
                if self.valid.get(key).is_some_and(SmallVec::is_empty) {
                    self.valid.remove(key);
                } else {
                    self.void_others(key, flight.worker);
                }
                let version = Some(flight.version);
                (flight, version)
            }
            None => match self.voided.remove(&token) {
                Some(flight) => (flight, None),
                None => return Landed::default(),
            },
        };
        Landed {
            waiters: flight.waiters,
            name: flight.name,
            shape: flight.shape,
            version,
            shown: flight.shown,
        }
    }
}
