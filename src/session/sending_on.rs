//! Sends on what a node of a cluster did not take: to the node that it names, or to the one that has the slot by then.

use std::rc::Rc;

use super::redirects::{Waiting, Whither};
use super::replies::NOBODY;
use super::request::Request;
use super::worker::Worker;
use crate::config::{Address, Endpoint};
use crate::resp::{Parsed, RequestLimits, RequestParser};
use crate::upstream::{Failure, HOME, LinkKey, NodeId, ReplySink, Sent, Ticket, UpstreamError};

const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// Takes the reply to `ASKING`.
struct Asking;

impl Worker {
    /// Sends requests on, for ever.
    pub(super) async fn send_on(self: Rc<Self>) {
        loop {
            let (due, next) = self.redirects.due();
            for waiting in due {
                self.send_again(waiting);
            }
            let changed = self.redirects.changed.notified();
            match next {
                None => changed.await,
                Some(at) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(at.into()) => {}
                },
            }
        }
    }

    fn send_again(self: &Rc<Self>, waiting: Waiting) {
        let Waiting { request, proto, .. } = waiting;
        self.shared.backing.note_redirect(&request.reply);
        let whither = Whither::read(&request.reply).unwrap_or(Whither::Again);
        let sink: Rc<dyn ReplySink> = match request.sink.is_resent() {
            true => Rc::clone(&request.sink),
            false => self.redirects.waiting_for(&request),
        };
        if request.at.elapsed() > self.settings().timeouts.failover {
            if request.reply.starts_with(b"-CLUSTERDOWN ") {
                sink.deliver(request.ticket, &request.reply, 1);
            } else {
                let failure = Failure::new(&UpstreamError::NotReady, Sent::No);
                sink.lost(request.ticket, &failure, 1);
            }
            return;
        }
        let (node, asking) = self.whither(&request.request, whither);
        let link = self.link(LinkKey::new(node, 0, proto));
        if asking {
            link.push(ASKING, 1, Rc::new(Asking), NOBODY);
        }
        link.push(&request.request, 1, sink, request.ticket);
    }

    /// The node that a request is sent to now, and whether it has to be told that it was sent there.
    fn whither(&self, request: &[u8], whither: Whither) -> (NodeId, bool) {
        let backing = &self.shared.backing;
        let asking = match whither {
            Whither::Moved(slot, address) => {
                if let Some(master) = self.endpoint(address) {
                    backing.moved(slot, &master);
                }
                None
            }
            Whither::Ask(address) => self.endpoint(address).map(|at| backing.node_at(&at)),
            Whither::Again => {
                backing.doubt();
                None
            }
        };
        self.direct(backing.topology());
        if let Some(node) = asking {
            return (node, true);
        }
        let mut parser = RequestParser::default();
        let settings = self.settings();
        let node = match parser.parse(request, &RequestLimits::TRUSTED) {
            Ok(Parsed::Request { .. }) => {
                let request = Request::new(parser.args(request), request, &settings.table);
                self.directions.node(self.directions.route(request))
            }
            _ => HOME,
        };
        (node, false)
    }

    /// How to reach a node that another one names.
    pub(super) fn endpoint(&self, address: Address) -> Option<Endpoint> {
        let topology = self.shared.backing.topology();
        let mut masters = topology
            .nodes()
            .iter()
            .filter_map(|node| node.master.as_ref());
        let known = masters.next()?;
        Some(Endpoint {
            address,
            ..Endpoint::clone(known)
        })
    }
}

impl ReplySink for Asking {
    fn deliver(&self, _: Ticket, _: &[u8], _: u32) {}

    fn abort(&self) {}

    fn lost(&self, _: Ticket, _: &Failure, _: u32) {}

    fn ends_with_loss(&self) -> bool {
        false
    }
}
