//! Follows the master that sentinels name.
//!
//! All sentinels are asked together: at the start, every ten seconds, when one of them tells of a
//! failover, and when the master says that it is none. What most of those who answer name is
//! asked for its `ROLE` and, if it is a master, put in force ([`Backing::switch`]). While they do
//! not agree, or none answers, the master stays what it was.
//!
//! ```text
//!                 most name another, whose ROLE is master
//!        ┌──────────────────────────────────────────────────┐
//!        ▼                                                  │
//!   following ──▶ doubted: the master says that it is none ──▶ suspended: commands wait
//! ```

mod ask;
mod hear;
mod vote;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};
use tokio::task::{AbortHandle, JoinSet};
use tracing::{debug, info, warn};

use self::ask::{Answer, Says};
use self::vote::Vote;
use super::backing::Backing;
use super::direct::Dialer;
use super::error::UpstreamError;
use crate::backoff::Backoff;
use crate::config::{Address, SentinelSet};
use crate::tasks::{self, Kind};

/// How often the sentinels are asked when nothing happens.
const ASK_EVERY: Duration = Duration::from_secs(10);
/// How long a sentinel may take to let itself be listened to.
const LIMIT: Duration = Duration::from_secs(2);
/// Sentinels that are asked, those of the configuration and those that they name together.
const MOST_KNOWN: usize = 128;

/// Why there is nothing to follow.
#[derive(Debug, thiserror::Error)]
pub enum NoSuchMaster {
    /// The sentinels know no master of this name.
    #[error("no sentinel knows a master called {name:?}; they know {}", known.join(", "))]
    Unknown {
        /// The name in the URL.
        name: String,
        /// The names that they do know.
        known: Vec<String>,
    },
    /// The sentinels watch over no master at all.
    #[error("no sentinel knows a master called {name:?}, nor any other")]
    None {
        /// The name in the URL.
        name: String,
    },
}

/// Who is followed, and how its servers are reached.
pub type Terms = (SentinelSet, Arc<Dialer>);

/// Who follows the master.
pub struct Follower {
    set: Arc<SentinelSet>,
    dialer: Arc<Dialer>,
    backing: Arc<Backing>,
    /// Who is followed, and how, when that is to be another.
    terms: watch::Receiver<Terms>,
    /// All that are asked: those of the configuration first.
    known: Vec<Address>,
    /// A sentinel has news.
    news: Arc<Notify>,
    hearing: JoinSet<()>,
    heard: HashMap<Address, AbortHandle>,
    /// The last failure that was logged, so that each is logged once.
    told: Option<String>,
}

impl Follower {
    /// Follows for `backing`, which must have been made by [`Backing::followed`]. What is sent later takes the place
    /// of these terms: the database and whether there is TLS stay.
    #[must_use]
    pub fn new(terms: Terms, backing: Arc<Backing>) -> (Self, watch::Sender<Terms>) {
        let (sender, terms) = watch::channel(terms);
        let (set, dialer) = terms.borrow().clone();
        let follower = Follower {
            known: set.sentinels.clone(),
            set: Arc::new(set),
            dialer,
            backing,
            terms,
            news: Arc::default(),
            hearing: JoinSet::new(),
            heard: HashMap::new(),
            told: None,
        };
        (follower, sender)
    }

    /// Looks for the master once, before anything is served.
    ///
    /// # Errors
    /// When sentinels answer, and none of them knows the master. That none answers is no error:
    /// they may come.
    pub async fn first_look(&mut self) -> Result<(), NoSuchMaster> {
        let answers = self.look().await;
        let mut known = Vec::new();
        for answer in answers {
            match answer.says {
                Says::Master(_) => return Ok(()),
                Says::Unknown(names) => known.push(names),
            }
        }
        if known.is_empty() {
            return Ok(());
        }
        let name = self.set.master.clone();
        let mut known: Vec<_> = known.into_iter().flatten().collect();
        known.sort();
        known.dedup();
        Err(match known.is_empty() {
            true => NoSuchMaster::None { name },
            false => NoSuchMaster::Unknown { name, known },
        })
    }

    /// Follows for ever.
    pub async fn follow(&mut self) {
        let mut backoff = Backoff::default();
        loop {
            self.listen();
            // Without a master there is nothing to lose by asking often.
            let wait = match self.backing.master() {
                Some(_) => {
                    backoff.reset();
                    ASK_EVERY
                }
                None => backoff.next(),
            };
            let news = Arc::clone(&self.news);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = news.notified() => {}
                () = self.backing.doubted() => self.look_at_the_master().await,
                Ok(()) = self.terms.changed() => self.take_terms(),
            }
            self.look().await;
        }
    }

    /// Follows as it is said now.
    fn take_terms(&mut self) {
        let (set, dialer) = self.terms.borrow_and_update().clone();
        if set.master != self.set.master {
            // Which server that is the sentinels have to say.
            self.backing.suspend();
        } else if (&set.user, &set.password) != (&self.set.user, &self.set.password) {
            self.backing
                .log_in(set.user.as_ref(), set.password.as_ref());
        }
        if set.sentinels != self.set.sentinels {
            self.known.clone_from(&set.sentinels);
        }
        (self.set, self.dialer) = (Arc::new(set), dialer);
        // They listen by the terms before.
        self.heard.drain().for_each(|(_, task)| task.abort());
        self.told = None;
    }

    /// Somebody says that the master is none: commands wait for another if that is so.
    async fn look_at_the_master(&self) {
        let Some(master) = self.backing.master() else {
            return;
        };
        if let Ok(false) = ask::is_master(&self.dialer, &self.set, &master.address).await {
            info!("{} is no master any more", master.address);
            self.backing.suspend();
        }
    }

    /// Asks all sentinels, and puts in force what they say.
    async fn look(&mut self) -> Vec<Answer> {
        let asked = self
            .known
            .iter()
            .map(|address| ask::sentinel(&self.dialer, &self.set, address));
        let mut answers = Vec::new();
        let mut failed = None;
        for answer in join_all(asked).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        self.tell_failure(answers.is_empty(), failed.as_ref());
        let now = self.backing.master();
        let chosen = match vote::count(&answers) {
            Vote::Most(address) => Some(address),
            Vote::Split(address) if now.is_none() => Some(address),
            Vote::Split(_) | Vote::Nobody => None,
        };
        if let Some(address) = chosen.filter(|new| now.is_none_or(|now| now.address != *new)) {
            self.switch_to(address).await;
        }
        self.note_others(&answers);
        answers
    }

    async fn switch_to(&self, address: Address) {
        match ask::is_master(&self.dialer, &self.set, &address).await {
            Ok(true) => {
                let before = self.backing.master();
                self.backing.switch(self.set.server(address.clone()));
                match before {
                    Some(before) => info!(
                        "the sentinels name {address} as the master {}, it was {}",
                        self.set.master, before.address
                    ),
                    None => info!(
                        "the sentinels name {address} as the master {}",
                        self.set.master
                    ),
                }
            }
            Ok(false) => {
                debug!("{address} is named as the master, but is none yet");
                self.look_soon();
            }
            Err(error) => {
                debug!("{address} is named as the master, but cannot be used: {error}");
                self.look_soon();
            }
        }
    }

    /// Looks again before the next regular time.
    fn look_soon(&self) {
        let news = Arc::clone(&self.news);
        tokio::spawn(tasks::named(Kind::Backing, async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            news.notify_one();
        }));
    }

    fn tell_failure(&mut self, all: bool, failed: Option<&UpstreamError>) {
        let text = failed.filter(|_| all).map(ToString::to_string);
        if text != self.told
            && let Some(text) = &text
        {
            warn!("no sentinel answers, the master stays what it was: {text}");
        }
        self.told = text;
    }

    /// Takes over which other servers and sentinels there are.
    fn note_others(&mut self, answers: &[Answer]) {
        let Some(answer) = answers
            .iter()
            .find(|answer| matches!(answer.says, Says::Master(_)))
        else {
            return;
        };
        let mut known = self.set.sentinels.clone();
        for address in answers.iter().flat_map(|answer| &answer.sentinels) {
            if !known.contains(address) && known.len() < MOST_KNOWN {
                known.push(address.clone());
            }
        }
        let replicas = answer.replicas.iter().cloned();
        let replicas: Vec<_> = replicas.map(|address| self.set.server(address)).collect();
        let sentinels = known.iter().cloned();
        let sentinels: Vec<_> = sentinels.map(|at| self.set.sentinel(at)).collect();
        self.backing.set_others(&replicas, &sentinels);
        self.known = known;
    }

    /// Listens to all sentinels that are known, and to no others.
    fn listen(&mut self) {
        let known = &self.known;
        self.heard.retain(|address, task| {
            let keep = known.contains(address);
            if !keep {
                task.abort();
            }
            keep
        });
        for address in known {
            self.heard.entry(address.clone()).or_insert_with(|| {
                let (dialer, set) = (Arc::clone(&self.dialer), Arc::clone(&self.set));
                let news = Arc::clone(&self.news);
                let address = address.clone();
                self.hearing.spawn(tasks::keep(Kind::Backing, move || {
                    let (dialer, set) = (Arc::clone(&dialer), Arc::clone(&set));
                    hear::hear(dialer, set, address.clone(), Arc::clone(&news))
                }))
            });
        }
        while self.hearing.try_join_next().is_some() {}
    }
}
