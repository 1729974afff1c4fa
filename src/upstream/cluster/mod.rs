//! Follows a Redis Cluster: which masters there are, and which of them has which slots.
//!
//! A node is asked at the start, every minute, and when somebody has reason to doubt the map (a node said
//! `MOVED`, a connection was lost): one question at a time. What it says is put in force
//! ([`Backing::update`]). While no node answers, everything stays as it was.

mod ask;
mod whither;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::{info, warn};

#[cfg(any(test, fuzzing))]
pub use self::ask::read_map;
pub use self::whither::Whither;
use super::backing::Backing;
use super::direct::Dialer;
use super::error::UpstreamError;
use super::topology::Topology;
use crate::backoff::Backoff;
use crate::config::{Address, ClusterSeeds};

/// How often a node is asked when nothing happens.
const ASK_EVERY: Duration = Duration::from_secs(60);
/// Two questions are at least so far apart.
const APART: Duration = Duration::from_millis(100);
/// Nodes that are asked before it is given up for now.
const MOST_ASKED: usize = 16;

/// Why there is nothing to follow.
#[derive(Debug, thiserror::Error)]
#[error("{address} is no node of a cluster: {reply}")]
pub struct NoCluster {
    address: String,
    reply: String,
}

/// Who is followed, and how its nodes are reached.
pub type Terms = (ClusterSeeds, Arc<Dialer>);

/// Who follows the cluster.
pub struct Follower {
    cluster: ClusterSeeds,
    dialer: Arc<Dialer>,
    backing: Arc<Backing>,
    /// Who is followed, and how, when that is to be another.
    terms: watch::Receiver<Terms>,
    /// The seeds are new: they are asked before the nodes that are known.
    seeds_first: bool,
    /// The last failure that was logged, so that each is logged once.
    told: Option<String>,
    /// The epoch of the map in force: it grows with each change that the cluster agrees on.
    epoch: u64,
    /// Nodes that did not answer when they were asked last.
    mute: Vec<Address>,
    /// The masters with slots that were logged last.
    masters: BTreeSet<String>,
}

impl Follower {
    /// Follows for `backing`, which must have been made by [`Backing::clustered`]. What is sent later takes the place
    /// of these terms; whether there is TLS stays.
    #[must_use]
    pub fn new(terms: Terms, backing: Arc<Backing>) -> (Self, watch::Sender<Terms>) {
        let (sender, terms) = watch::channel(terms);
        let (cluster, dialer) = terms.borrow().clone();
        let follower = Follower {
            cluster,
            dialer,
            backing,
            terms,
            seeds_first: false,
            told: None,
            epoch: 0,
            mute: Vec::new(),
            masters: BTreeSet::new(),
        };
        (follower, sender)
    }

    /// Looks for the cluster once, before anything is served.
    ///
    /// # Errors
    /// When a server answers that it is in no cluster. That none answers is no error: they may come.
    pub async fn first_look(&mut self) -> Result<(), NoCluster> {
        match self.look().await {
            Err(UpstreamError::Refused { address, reply }) if reply.contains("cluster support") => {
                Err(NoCluster { address, reply })
            }
            _ => Ok(()),
        }
    }

    /// Follows for ever.
    pub async fn follow(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            let wait = match self.backing.topology().covered() {
                0 => backoff.next(),
                _ => {
                    backoff.reset();
                    ASK_EVERY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.backing.doubted() => {}
                Ok(()) = self.terms.changed() => self.take_terms(),
            }
            let _ = self.look().await; // told of already
            tokio::time::sleep(APART).await;
        }
    }

    /// Follows as it is said now.
    fn take_terms(&mut self) {
        let (cluster, dialer) = self.terms.borrow_and_update().clone();
        if (&cluster.user, &cluster.password) != (&self.cluster.user, &self.cluster.password) {
            let (user, password) = (cluster.user.as_ref(), cluster.password.as_ref());
            self.backing.log_in(user, password);
        }
        if cluster.seeds != self.cluster.seeds {
            // They may belong to another cluster, whose epochs are its own.
            self.seeds_first = true;
            self.epoch = 0;
        }
        (self.cluster, self.dialer) = (cluster, dialer);
        self.mute.clear();
        self.told = None;
    }

    /// Asks nodes until one answers that knows no less than was heard before, and puts in force what it says. One that
    /// was cut off for a while tells what was true before, until it has heard of it: it is believed if nobody knows better.
    async fn look(&mut self) -> Result<(), UpstreamError> {
        let mut failed = UpstreamError::NoMaster;
        let mut behind: Option<ask::Told> = None;
        for address in self.known() {
            match ask::shards(&self.dialer, &self.cluster, &address).await {
                Ok(told) if told.shards.iter().any(|shard| !shard.slots.is_empty()) => {
                    self.mute.retain(|mute| *mute != address);
                    if told.epoch >= self.epoch {
                        self.believe(&told);
                        return Ok(());
                    }
                    if behind.as_ref().is_none_or(|best| told.epoch > best.epoch) {
                        behind = Some(told);
                    }
                }
                Ok(_) => {}
                Err(error) => {
                    if !self.mute.contains(&address) {
                        self.mute.push(address);
                    }
                    failed = error;
                }
            }
        }
        if let Some(told) = behind {
            self.believe(&told);
            return Ok(());
        }
        let text = failed.to_string();
        if self.told.as_ref() != Some(&text) && !self.backing.is_leaving() {
            warn!("no node tells who has which slots, everything stays as it was: {text}");
            self.told = Some(text);
        }
        Err(failed)
    }

    /// Who is asked: masters first, then what the configuration names, then replicas; who did not answer comes last.
    fn known(&self) -> Vec<Address> {
        let topology = self.backing.topology();
        let masters = topology
            .nodes()
            .iter()
            .filter_map(|node| node.master.as_ref());
        let masters = masters.map(|master| &master.address);
        let replicas = topology.replicas.iter().map(|replica| &replica.address);
        let first = self.cluster.seeds.iter().filter(|_| self.seeds_first);
        let all = first
            .chain(masters)
            .chain(&self.cluster.seeds)
            .chain(replicas);
        let (mute, well): (Vec<_>, Vec<_>) = all.partition(|address| self.mute.contains(address));
        let mut known: Vec<Address> = Vec::new();
        for address in well.into_iter().chain(mute) {
            if !known.contains(address) && known.len() < MOST_ASKED {
                known.push(address.clone());
            }
        }
        known
    }

    fn believe(&mut self, told: &ask::Told) {
        self.told = None;
        self.seeds_first = false;
        self.backing.served.note_refresh();
        self.epoch = told.epoch;
        self.backing.update(|before| before.clustered(&told.shards));
        let topology = self.backing.topology();
        self.tell(&topology);
        let is_master = |address: &Address| {
            let mut masters = topology
                .nodes()
                .iter()
                .filter_map(|node| node.master.as_ref());
            masters.any(|master| master.address == *address)
        };
        let seeds = &self.cluster.seeds;
        self.mute
            .retain(|mute| is_master(mute) || seeds.contains(mute));
    }

    /// Logs what has changed about the masters.
    fn tell(&mut self, topology: &Topology) {
        let nodes = topology.nodes().iter();
        let with_slots = nodes.filter(|node| topology.has_slots(node.id));
        let masters: BTreeSet<String> = with_slots
            .filter_map(|node| Some(node.master.as_ref()?.address.to_string()))
            .collect();
        if masters == self.masters {
            return;
        }
        let all = |masters: &mut dyn Iterator<Item = &String>| {
            let masters: Vec<&str> = masters.map(String::as_str).collect();
            masters.join(", ")
        };
        let (count, slots) = (masters.len(), topology.covered());
        let new = all(&mut masters.difference(&self.masters));
        let gone = all(&mut self.masters.difference(&masters));
        match (new.as_str(), gone.as_str()) {
            (new, _) if self.masters.is_empty() => {
                info!("the masters of the cluster are {new}, with {slots} slots");
            }
            (new, "") => info!("{new} has slots now: {count} masters, {slots} slots"),
            ("", gone) => info!("{gone} has no slots any more: {count} masters, {slots} slots"),
            (new, gone) => {
                info!("{new} has slots now, {gone} none any more: {count} masters, {slots} slots");
            }
        }
        self.masters = masters;
    }
}
