//! Asks one node something, and brings what it says to a future.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use crate::config::Endpoint;
use crate::resp::{Proto, ReplyWriter};
use crate::session::worker::Worker;
use crate::tasks::{self, Kind};
use crate::upstream::{ConnectOptions, Failure, HOME, LinkKey, LoginId, NodeId, ReplySink, Ticket};

/// In which database, in which version of the protocol, as whom.
pub(super) type At = (u32, Proto, LoginId);

/// What became of a question.
#[derive(Debug)]
pub(super) enum Said {
    /// The node's reply.
    Reply(Vec<u8>),
    /// There is none, for this reason.
    Nothing(String),
}

/// Bytes that the replies to what is asked together may have.
#[derive(Debug)]
pub(super) struct Budget {
    left: Cell<usize>,
}

/// A reply that is to come.
pub(super) type Awaited = oneshot::Receiver<Said>;

/// Takes the reply.
struct Answer {
    bytes: RefCell<Vec<u8>>,
    tell: Cell<Option<oneshot::Sender<Said>>>,
    budget: Rc<Budget>,
}

// === impl Said ===

impl Said {
    /// What was said, once it is there.
    pub(super) async fn of(awaited: Awaited) -> Self {
        let lost = |_| Said::Nothing("UPSTREAM no connection to the backing".to_owned());
        awaited.await.unwrap_or_else(lost)
    }
}

/// An error as a reply.
pub(super) fn error(text: &str, proto: Proto) -> Vec<u8> {
    let mut out = Vec::new();
    ReplyWriter::new(&mut out, proto).error(text);
    out
}

// === impl Budget ===

impl Budget {
    /// So many bytes.
    pub(super) fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Budget {
            left: Cell::new(bytes),
        })
    }

    /// Takes so many, if they are left.
    fn take(&self, bytes: usize) -> bool {
        let left = self.left.get().checked_sub(bytes);
        self.left.set(left.unwrap_or(0));
        left.is_some()
    }

    fn is_spent(&self) -> bool {
        self.left.get() == 0
    }
}

// === impl Worker ===

impl Worker {
    /// Sends a request to a node, after what was sent there before, and no other one: what the node says is the
    /// reply, whatever it is.
    pub(super) fn ask(
        &self,
        node: NodeId,
        (db, proto, login): At,
        request: &[u8],
        budget: &Rc<Budget>,
    ) -> Awaited {
        let (answer, awaited) = answer(budget);
        let link = self.link(LinkKey::new(node, db, proto).as_user(login));
        link.push(request, 1, answer, Ticket(0));
        awaited
    }
}

/// A sink for one reply, and the reply.
fn answer(budget: &Rc<Budget>) -> (Rc<dyn ReplySink>, Awaited) {
    let (tell, awaited) = oneshot::channel();
    let answer = Answer {
        bytes: RefCell::default(),
        tell: Cell::new(Some(tell)),
        budget: Rc::clone(budget),
    };
    (Rc::new(answer), awaited)
}

/// A server that is asked on a connection of its own.
#[derive(Debug, Clone)]
pub(super) enum Server {
    /// The master of a node.
    Master(NodeId),
    Replica(Endpoint),
}

/// Asks a server on a connection of its own.
pub(super) fn ask_apart(
    worker: &Worker,
    server: Server,
    (db, proto, login): At,
    words: Vec<Vec<u8>>,
    limit: Option<Duration>,
) -> Awaited {
    let (tell, awaited) = oneshot::channel();
    let backing = Arc::clone(&worker.shared.backing);
    let timeout = worker.settings().timeouts.connect;
    tokio::task::spawn_local(tasks::named(Kind::Client, async move {
        let node = match server {
            Server::Master(node) => node,
            Server::Replica(_) => HOME,
        };
        let options = ConnectOptions {
            key: LinkKey::new(node, db, proto).as_user(login),
            name: "respite-apart",
            timeout,
        };
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let limit = limit.unwrap_or(timeout);
        let said = match &server {
            Server::Master(_) => backing.ask_apart(options, &words, limit).await,
            Server::Replica(replica) => backing.ask_replica(replica, options, &words, limit).await,
        };
        let said = match said {
            Ok(reply) => Said::Reply(reply),
            Err((error, sent)) => Said::Nothing(error.client_text(sent)),
        };
        // Whoever asked may be gone.
        let _ = tell.send(said);
    }));
    awaited
}

// === impl Answer ===

impl Answer {
    fn tell(&self, said: Said) {
        if let Some(tell) = self.tell.take() {
            // Whoever asked may be gone.
            let _ = tell.send(said);
        }
    }
}

impl ReplySink for Answer {
    fn deliver(&self, _ticket: Ticket, bytes: &[u8], replies: u32) {
        if self.budget.take(bytes.len()) {
            self.bytes.borrow_mut().extend_from_slice(bytes);
        } else {
            *self.bytes.borrow_mut() = Vec::new();
        }
        if replies == 0 {
            return;
        }
        self.tell(match self.budget.is_spent() {
            true => Said::Nothing(
                "ERR the replies of the nodes are larger than limits.client_output_bytes"
                    .to_owned(),
            ),
            false => Said::Reply(self.bytes.take()),
        });
    }

    fn abort(&self) {
        // It comes again from the beginning, or is lost.
        *self.bytes.borrow_mut() = Vec::new();
    }

    fn lost(&self, _ticket: Ticket, failure: &Failure, _replies: u32) {
        self.tell(Said::Nothing(failure.text.clone()));
    }

    fn ends_with_loss(&self) -> bool {
        false
    }

    fn is_for_node(&self) -> bool {
        true
    }
}
