//! Asks all masters of a cluster, so that none is missed.
//!
//! With each question goes another one, what the node has itself: together they say whether all slots were asked
//! for, each once. If not, slots have moved meanwhile, or a master is new: all are asked again.
//!
//! Keys on their way from one master to another are with one of them, or with both. Those who take keys are asked
//! once more behind the others: what had left before the giver was asked is there then.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::ask::{Budget, Said, Server, ask_apart};
use crate::resp::{Proto, parse_reply};
use crate::session::census::{Census, Master, Own};
use crate::session::worker::Worker;
use crate::upstream::{LoginId, NodeId, is_redirect};

/// What a node has.
const NODES: &[u8] = b"*2\r\n$7\r\nCLUSTER\r\n$5\r\nNODES\r\n";
/// The wait before everybody is asked again.
const AGAIN: Duration = Duration::from_millis(50);
/// The lines of a thousand nodes.
const CENSUS_BYTES: usize = 16 * 1024 * 1024;

/// What all masters are asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) request: Vec<u8>,
    pub(super) db: u32,
    pub(super) proto: Proto,
    /// Whose question it is.
    pub(super) login: LoginId,
    /// It is about keys, wherever they are.
    pub(super) of_keys: bool,
    /// Its words, where each node is asked on a connection of its own.
    pub(super) apart: Option<Vec<Vec<u8>>>,
    /// Asked twice, it does what it does once.
    pub(super) repeats: bool,
    /// Bytes that the replies may have.
    pub(super) most_bytes: usize,
}

/// What they say.
#[derive(Debug)]
pub(super) struct Answers {
    /// Of each master.
    pub(super) replies: Vec<Vec<u8>>,
    /// The masters.
    pub(super) nodes: Vec<NodeId>,
    /// More of those who take keys from another one.
    pub(super) late: Vec<Vec<u8>>,
}

/// One try.
struct Round {
    census: Census,
    replies: HashMap<NodeId, Vec<u8>>,
}

/// Why a try came to nothing: the error to be told when there is no time for another one.
enum Failed {
    /// It may go better.
    ForNow(String),
    /// It must not be tried again.
    ForGood(String),
}

impl Worker {
    /// Asks every master.
    ///
    /// # Errors
    /// The text for the client: one of them did not answer, or they did not agree about who has what.
    pub(super) async fn ask_everywhere(
        self: &Rc<Self>,
        question: &Question,
    ) -> Result<Answers, String> {
        let end = Instant::now() + self.settings().timeouts.failover;
        let mut answered = HashMap::new();
        loop {
            let budget = Budget::new(question.most_bytes);
            let failed = match self.count(question, &budget, &mut answered).await {
                Ok(round) => match self.ask_late(question, &round.census, &budget).await {
                    Ok(late) => return Ok(round.answers(late)),
                    Err(failed) => failed,
                },
                Err(failed) => failed,
            };
            if question.of_keys {
                answered.clear();
            }
            self.wait_or_fail(failed, end).await?;
        }
    }

    /// Asks every master for what it has.
    ///
    /// # Errors
    /// As [`Worker::ask_everywhere`].
    pub(super) async fn count_slots(
        self: &Rc<Self>,
        db: u32,
        proto: Proto,
    ) -> Result<Rc<Census>, String> {
        let end = Instant::now() + self.settings().timeouts.failover;
        let question = Question {
            request: Vec::new(),
            db,
            proto,
            login: LoginId::OWN,
            of_keys: true,
            apart: None,
            repeats: true,
            most_bytes: CENSUS_BYTES,
        };
        loop {
            let budget = Budget::new(CENSUS_BYTES);
            match self.count(&question, &budget, &mut HashMap::new()).await {
                Ok(round) => {
                    let census = Rc::new(round.census);
                    *self.census.borrow_mut() = Some(Rc::clone(&census));
                    return Ok(census);
                }
                Err(failed) => self.wait_or_fail(failed, end).await?,
            }
        }
    }

    async fn wait_or_fail(&self, failed: Failed, end: Instant) -> Result<(), String> {
        match failed {
            Failed::ForNow(_) if Instant::now() < end => {}
            Failed::ForNow(text) | Failed::ForGood(text) => return Err(text),
        }
        self.shared.backing.doubt();
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }

    /// Asks for what each has, and the question if it has words.
    async fn count(
        self: &Rc<Self>,
        how: &Question,
        budget: &Rc<Budget>,
        answered: &mut HashMap<NodeId, Vec<u8>>,
    ) -> Result<Round, Failed> {
        let topology = self.shared.backing.topology();
        let at = (how.db, how.proto, how.login);
        // What a node says of itself is Respite's own question, whatever the client may ask.
        let own_at = (how.db, how.proto, LoginId::OWN);
        let counts = how.apart.is_none();
        let counted = Budget::new(CENSUS_BYTES);
        let mut asked = Vec::new();
        for node in topology.nodes() {
            // One that is away is waited for, as any command waits for it.
            let is_asked = !how.request.is_empty() && !answered.contains_key(&node.id);
            let said = is_asked.then(|| match &how.apart {
                Some(words) => ask_apart(self, Server::Master(node.id), at, words.clone(), None),
                None => self.ask(node.id, at, &how.request, budget),
            });
            // A node that is busy says nothing of itself.
            let together = counts && how.login.is_own();
            let own = together.then(|| self.ask(node.id, own_at, NODES, &counted));
            asked.push((node, said, own));
        }
        let mut masters = Vec::new();
        let mut failed = None;
        for (node, said, own) in asked {
            let name = || match &node.master {
                Some(master) => master.address.to_string(),
                None => "a node without a master".to_owned(),
            };
            if let Some(said) = said {
                match Said::of(said).await {
                    Said::Reply(reply) if is_redirect(&reply) => {
                        let text = String::from_utf8_lossy(&reply[1..]);
                        failed = Some(Failed::ForNow(text.trim_end().to_owned()));
                    }
                    Said::Reply(reply) => drop(answered.insert(node.id, reply)),
                    Said::Nothing(text) => failed = Some(lost(how, &name(), &text)),
                }
            }
            // Another connection would overtake the question: so behind its reply.
            let later = || counts.then(|| self.ask(node.id, own_at, NODES, &counted));
            let Some(own) = own.or_else(later) else {
                continue;
            };
            match Said::of(own).await {
                Said::Reply(reply) => match own_line(&reply) {
                    Some(own) => masters.push(Master { node: node.id, own }),
                    None => failed = failed.or(Some(Failed::ForNow(no_master(&name())))),
                },
                Said::Nothing(text) => failed = failed.or(Some(lost(how, &name(), &text))),
            }
        }
        if let Some(failed) = failed {
            return Err(failed);
        }
        let census = Census::new(topology.version, masters);
        self.meet_takers(&census)?;
        if how.of_keys && !census.is_whole() {
            let text = "CLUSTERDOWN the masters do not have every slot, or slots are moving";
            return Err(Failed::ForNow(text.to_owned()));
        }
        Ok(Round {
            census,
            replies: std::mem::take(answered),
        })
    }

    /// Sees to it that whoever takes keys is known: a master without a slot need not be.
    fn meet_takers(&self, census: &Census) -> Result<(), Failed> {
        let takers = census.masters.iter().flat_map(|master| &master.own.takers);
        let mut unknown = takers.filter(|(id, _)| !census.has(id));
        let Some((_, address)) = unknown.next() else {
            return Ok(());
        };
        self.shared.backing.meet(address);
        Err(Failed::ForNow(format!(
            "UPSTREAM {address} is not known yet"
        )))
    }

    /// Asks once more those that keys are on their way to.
    async fn ask_late(
        self: &Rc<Self>,
        question: &Question,
        census: &Census,
        budget: &Rc<Budget>,
    ) -> Result<Vec<Vec<u8>>, Failed> {
        if !question.of_keys || !census.is_moving() {
            return Ok(Vec::new());
        }
        let at = (question.db, question.proto, question.login);
        let ask = |node| self.ask(node, at, &question.request, budget);
        let asked: Vec<_> = census.takers().into_iter().map(ask).collect();
        let mut late = Vec::new();
        for awaited in asked {
            match Said::of(awaited).await {
                Said::Reply(reply) => late.push(reply),
                Said::Nothing(text) => return Err(Failed::ForNow(text)),
            }
        }
        Ok(late)
    }
}

impl Round {
    fn answers(self, late: Vec<Vec<u8>>) -> Answers {
        let Round {
            census,
            mut replies,
        } = self;
        let mut nodes: Vec<NodeId> = census.masters.iter().map(|master| master.node).collect();
        if nodes.is_empty() {
            nodes.extend(replies.keys());
        }
        Answers {
            replies: nodes
                .iter()
                .filter_map(|node| replies.remove(node))
                .collect(),
            nodes,
            late,
        }
    }
}

/// A node has not answered.
fn lost(how: &Question, name: &str, text: &str) -> Failed {
    let text = match text.strip_prefix("UPSTREAM ") {
        Some(why) => format!("UPSTREAM {name}: {why}"),
        None => text.to_owned(),
    };
    match how.repeats && text.starts_with("UPSTREAM ") {
        true => Failed::ForNow(text),
        false => Failed::ForGood(text),
    }
}

fn no_master(name: &str) -> String {
    format!("UPSTREAM {name} is not a master of a cluster")
}

/// A node's own line in its reply to `CLUSTER NODES`.
fn own_line(reply: &[u8]) -> Option<Own> {
    let (value, _) = parse_reply(reply).ok()??;
    Own::read(value.as_str()?)
}
