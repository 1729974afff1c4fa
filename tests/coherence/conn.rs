//! One client connection of the load: it knows its database, and reconnects after an error.

use std::sync::Arc;
use std::time::Duration;

use super::history::Place;
use super::nodes::{Nodes, redirect};
use super::world::World;
use crate::support::{Client, Reply, encode};

/// A command, word by word.
pub(crate) type Command = Vec<Vec<u8>>;

/// How long a client waits for a reply before it takes the command for lost.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes a [`Command`] of words of any kind.
macro_rules! command {
    ($($word:expr),+ $(,)?) => { vec![$(AsRef::<[u8]>::as_ref(&$word).to_vec()),+] };
}
pub(crate) use command;

/// A connection that may be down.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) place: Place,
    world: Arc<World>,
    /// Where `client` is connected to.
    port: u16,
    resp3: bool,
    db: u8,
    client: Option<Client>,
    /// How it finds the nodes of a cluster, when it goes straight there.
    nodes: Option<Nodes>,
    /// What these are still to be asked.
    queued: Vec<Command>,
}

impl Conn {
    pub(crate) fn new(place: Place, world: &Arc<World>, resp3: bool) -> Self {
        Self {
            place,
            world: Arc::clone(world),
            port: 0,
            resp3,
            db: 0,
            client: None,
            nodes: (place == Place::Direct && world.cluster).then(|| Nodes::new(resp3)),
            queued: Vec::new(),
        }
    }

    /// Makes sure of a connection on this database, so that an exchange times the commands alone.
    pub(crate) fn ready(&mut self, db: u8) -> bool {
        let port = self.world.port(self.place);
        if let Some(nodes) = &mut self.nodes {
            nodes.begin_at(port);
            return true;
        }
        if self.client.is_none() || self.port != port {
            let hello = command!["HELLO", if self.resp3 { "3" } else { "2" }];
            self.db = 0;
            self.port = port;
            self.client = Client::try_connect(self.port).ok();
            if let Some(client) = &self.client {
                client.set_timeout(REPLY_TIMEOUT);
            }
            if self
                .exchange(&[hello])
                .is_none_or(|replies| replies[0].is_error())
            {
                self.client = None;
            }
        }
        if self.client.is_some() && self.db != db {
            let selected = self.exchange(&[command!["SELECT", db.to_string()]]);
            if selected.is_none_or(|replies| replies[0].is_error()) {
                self.client = None;
            }
            self.db = db;
        }
        self.client.is_some()
    }

    /// Sends the commands in one packet and reads their replies; none when the connection was lost.
    pub(crate) fn exchange(&mut self, commands: &[Command]) -> Option<Vec<Reply>> {
        self.send(commands);
        self.receive(commands.len())
    }

    /// Sends the commands in one packet.
    pub(crate) fn send(&mut self, commands: &[Command]) {
        if self.nodes.is_some() {
            self.queued.extend(commands.iter().cloned());
            return;
        }
        let packet: Vec<u8> = commands.iter().flat_map(|words| encode(words)).collect();
        let sent = self
            .client
            .as_mut()
            .map(|client| client.try_send_raw(&packet));
        if !matches!(sent, Some(Ok(()))) {
            self.client = None;
        }
    }

    /// Goes on with a new connection: nobody knows how many replies this one still brings.
    pub(crate) fn leave(&mut self) {
        self.client = None;
    }

    /// Reads so many replies.
    pub(crate) fn receive(&mut self, count: usize) -> Option<Vec<Reply>> {
        if let Some(nodes) = &mut self.nodes {
            let queued = std::mem::take(&mut self.queued);
            return queued.iter().map(|command| nodes.ask(command)).collect();
        }
        let client = self.client.as_mut()?;
        let replies: Result<Vec<Reply>, String> = (0..count)
            .map(|_| client.try_read_reply_raw().map(|raw| Reply::parse(&raw)))
            .collect();
        if replies.is_err() {
            self.client = None;
        }
        let told = |reply: &Reply| match reply {
            Reply::Error(text) => redirect(text).is_some(),
            _ => false,
        };
        let told = replies.iter().flatten().find(|reply| told(reply));
        assert!(told.is_none(), "a client was told {told:?}");
        replies.ok()
    }
}
