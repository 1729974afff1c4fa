//! `CLIENT UNBLOCK`: ends the wait of another client, and says truly whether it did.
//!
//! Redis takes commands one by one: who sees a client blocked can unblock it. Here the blocking
//! command travels on a connection of its own, and the order to unblock must not overtake it. As
//! long as the backing does not find the client blocked and its command has no reply, the order is
//! given again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::client::Session;
use super::dispatch::Flow;
use super::hello::number;
use super::mailbox::ToWorker;
use super::registry::{ClientEntry, Wish};
use super::worker::Worker;
use crate::backoff::Backoff;
use crate::resp::{Args, Proto, write_command};
use crate::upstream::{Failure, LinkKey, NodeId, ReplySink, Ticket};

/// Pauses between orders that came too early: from the first to the longest.
const AGAIN_AFTER: Duration = Duration::from_millis(1);
const AGAIN_AT_MOST: Duration = Duration::from_millis(50);

impl Session {
    pub(super) fn client_unblock(&mut self, args: Args<'_>) -> Flow {
        let reason = args.get(3).unwrap_or(b"TIMEOUT");
        let is_error = reason.eq_ignore_ascii_case(b"ERROR");
        if !is_error && !reason.eq_ignore_ascii_case(b"TIMEOUT") {
            return self.answer_error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        }
        let Some(id) = args.get(2).and_then(number) else {
            return self.answer_error("ERR value is not an integer or out of range");
        };
        if self.replies.outstanding() + self.replies.later() + self.replies.held() > 0 {
            // What this client did before comes first: it may be what ends the wait.
            return Flow::Wait;
        }
        let client = u64::try_from(id)
            .ok()
            .and_then(|id| self.worker.shared.clients.get(id));
        let Some(client) = client else {
            self.answer(|reply| reply.integer(0));
            return Flow::Done;
        };
        let worker = Rc::clone(&self.worker);
        if client.facts().blocked_here {
            let (done, answer) = oneshot::channel();
            let wish = Wish::Unblock {
                error: is_error,
                done,
            };
            // Whoever is gone is not blocked.
            let _ = client.wish(wish);
            worker.shared.tell(client.worker, ToWorker::Wake(client.id));
            self.occupy(Box::pin(async move {
                let unblocked = answer.await.unwrap_or(false);
                format!(":{}\r\n", u8::from(unblocked)).into_bytes()
            }));
        } else if let Some(command) = client.blocked_in() {
            let reason = reason.to_vec();
            let proto = self.state.proto;
            self.occupy(Box::pin(async move {
                unblock(&worker, &client, command, &reason, proto).await
            }));
        } else {
            self.answer(|reply| reply.integer(0));
        }
        Flow::Done
    }
}

/// Unblocks a client that waits in its `command`-th blocking command; gives the reply.
async fn unblock(
    worker: &Worker,
    client: &Arc<ClientEntry>,
    command: u64,
    reason: &[u8],
    proto: Proto,
) -> Vec<u8> {
    const NOT_BLOCKED: &[u8] = b":0\r\n";
    let mut backoff = Backoff::new(AGAIN_AFTER, AGAIN_AT_MOST);
    while client.blocked_in() == Some(command) && !client.is_killed() {
        // It has none yet while its connection is being opened.
        if let Some((node, id)) = client.pinned() {
            let mut order = Vec::new();
            let id = id.to_string();
            write_command(&mut order, &[b"CLIENT", b"UNBLOCK", id.as_bytes(), reason]);
            let reply = ask(worker, node, &order, proto).await;
            if reply != NOT_BLOCKED {
                return reply;
            }
        }
        tokio::time::sleep(backoff.next()).await;
    }
    NOT_BLOCKED.to_vec()
}

/// Asks a node over the shared link.
async fn ask(worker: &Worker, node: NodeId, request: &[u8], proto: Proto) -> Vec<u8> {
    let (done, answer) = oneshot::channel();
    let sink = Rc::new(Reply {
        bytes: RefCell::default(),
        done: Cell::new(Some(done)),
    });
    let first = worker.shared.backing.first_db();
    let link = worker.link(LinkKey::new(node, first, proto));
    // The sink waits for nothing else.
    link.push(request, 1, sink, Ticket(0));
    let lost = || b"-UPSTREAM the connection to the backing was lost\r\n".to_vec();
    answer.await.unwrap_or_else(|_| lost())
}

/// Collects the one reply.
struct Reply {
    bytes: RefCell<Vec<u8>>,
    done: Cell<Option<oneshot::Sender<Vec<u8>>>>,
}

impl ReplySink for Reply {
    fn deliver(&self, _: Ticket, bytes: &[u8], replies: u32) {
        self.bytes.borrow_mut().extend_from_slice(bytes);
        if let Some(done) = (replies > 0).then(|| self.done.take()).flatten() {
            // Who asked may be gone.
            let _ = done.send(self.bytes.take());
        }
    }

    fn abort(&self) {
        self.done.take();
    }

    fn lost(&self, ticket: Ticket, failure: &Failure, replies: u32) {
        self.deliver(ticket, &failure.replies(replies), replies);
    }

    fn ends_with_loss(&self) -> bool {
        false
    }
}
