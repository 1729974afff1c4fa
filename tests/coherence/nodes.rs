//! A client of a cluster that goes straight to its nodes: one command at a time, wherever it is sent.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::conn::{Command, command};
use crate::support::{Client, Reply, encode};

/// How long a command is sent from node to node.
const PATIENCE: Duration = Duration::from_secs(5);

/// The connections to the nodes.
#[derive(Debug)]
pub(crate) struct Nodes {
    resp3: bool,
    /// Who is asked for what nothing is known of.
    first: u16,
    clients: HashMap<u16, Client>,
    /// Who has the keys of a hash tag.
    owners: HashMap<Vec<u8>, u16>,
}

/// Where an error sends a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Redirect {
    Moved(u16),
    Ask(u16),
    Again,
}

/// Where this error sends a command, if it does.
pub(crate) fn redirect(error: &[u8]) -> Option<Redirect> {
    let text = String::from_utf8_lossy(error);
    let mut words = text.split(' ');
    let kind = words.next()?;
    let port = words
        .nth(1)
        .and_then(|at| at.rsplit(':').next()?.parse().ok());
    match kind {
        "MOVED" => port.map(Redirect::Moved),
        "ASK" => port.map(Redirect::Ask),
        "TRYAGAIN" => Some(Redirect::Again),
        _ => None,
    }
}

impl Nodes {
    pub(crate) fn new(resp3: bool) -> Self {
        Self {
            resp3,
            first: 0,
            clients: HashMap::new(),
            owners: HashMap::new(),
        }
    }

    /// This node is there: when it is another one than before, nothing is known of the others.
    pub(crate) fn begin_at(&mut self, port: u16) {
        if self.first != port {
            self.first = port;
            self.clients.clear();
            self.owners.clear();
        }
    }

    /// Asks whoever has the keys; none: nobody knows what became of the command.
    pub(crate) fn ask(&mut self, command: &Command) -> Option<Reply> {
        let tag = command
            .iter()
            .find_map(|word| tag(word))
            .unwrap_or_default();
        let end = Instant::now() + PATIENCE;
        let mut asking = None;
        loop {
            let owner = self.owners.get(&tag).copied().unwrap_or(self.first);
            let port = asking.unwrap_or(owner);
            let reply = self.ask_at(port, command, asking.take().is_some())?;
            let to = match &reply {
                Reply::Error(text) if text.starts_with(b"CLUSTERDOWN") => Some(Redirect::Again),
                Reply::Error(text) => redirect(text),
                _ => None,
            };
            match to {
                _ if Instant::now() > end => return Some(reply),
                None => return Some(reply),
                Some(Redirect::Moved(port)) => drop(self.owners.insert(tag.clone(), port)),
                Some(Redirect::Ask(port)) => asking = Some(port),
                Some(Redirect::Again) => std::thread::sleep(Duration::from_millis(3)),
            }
        }
    }

    fn ask_at(&mut self, port: u16, command: &Command, asking: bool) -> Option<Reply> {
        if !self.clients.contains_key(&port) {
            let mut client = Client::try_connect(port).ok()?;
            client.set_timeout(PATIENCE);
            exchange(
                &mut client,
                &command!["HELLO", if self.resp3 { "3" } else { "2" }],
            )?;
            self.clients.insert(port, client);
        }
        let client = self.clients.get_mut(&port).expect("just put in");
        let asked = !asking || exchange(client, &command!["ASKING"]).is_some();
        let reply = asked.then(|| exchange(client, command)).flatten();
        if reply.is_none() {
            self.clients.clear();
            self.owners.clear();
        }
        reply
    }
}

fn exchange(client: &mut Client, command: &Command) -> Option<Reply> {
    client.try_send_raw(&encode(command)).ok()?;
    let reply = client.try_read_reply_raw().ok()?;
    Some(Reply::parse(&reply))
}

/// The hash tag of a key.
fn tag(word: &[u8]) -> Option<Vec<u8>> {
    let start = word.iter().position(|byte| *byte == b'{')? + 1;
    let len = word[start..].iter().position(|byte| *byte == b'}')?;
    (len < 40).then(|| word[start..start + len].to_vec())
}
