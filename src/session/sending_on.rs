//! Sends on what a node of a cluster did not take: to the node that it names, or to the one that has the slot by then.

use std::rc::Rc;

use super::redirects::{NOSCRIPT, Waiting, whither};
use super::replies::NOBODY;
use super::request::Request;
use super::route::{Directions, Unheard};
use super::worker::Worker;
use crate::resp::{Parsed, RequestLimits, RequestParser};
use crate::upstream::{
    Failure, HOME, Link, LinkKey, NodeId, ReplySink, Sent, UpstreamError, Whither,
};

const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// How often the script that a request calls is loaded for it: a slot may move meanwhile.
const MOST_LOADS: u8 = 3;

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
        let Waiting {
            request,
            proto,
            login,
            loads,
            ..
        } = waiting;
        self.shared.backing.note_redirect(&request.reply);
        let sink: Rc<dyn ReplySink> = match request.sink.is_resent() {
            true => Rc::clone(&request.sink),
            false => self.redirects.waiting_for(&request),
        };
        let slot = self.slot_of_request(&request.request);
        let Some(whither) = whither(&request.reply).filter(|whither| whither.is_of(slot)) else {
            // No node says so: a script does.
            return sink.deliver(request.ticket, &request.reply, 1);
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
        let is_no_script = request.reply.starts_with(NOSCRIPT);
        let (node, asking) = self.destination(slot, whither, is_no_script);
        let link = self.link(LinkKey::new(node, 0, proto).as_user(login));
        let load = self.load_of(&request.request, &link, is_no_script);
        // What the client has asked behind it was executed already.
        let may_load = loads < MOST_LOADS && request.sink.is_last(request.ticket);
        if request.reply.starts_with(b"-NOSCRIPT ") && (load.is_none() || !may_load) {
            return sink.deliver(request.ticket, &request.reply, 1);
        }
        if let Some(load) = load {
            link.push(&load, 1, Rc::new(Unheard), NOBODY);
        }
        if asking {
            link.push(ASKING, 1, Rc::new(Unheard), NOBODY);
        }
        link.push(&request.request, 1, sink, request.ticket);
    }

    /// The node that a request for this slot is sent to now, and whether it has to be told that it was sent there.
    fn destination(
        &self,
        mut slot: Option<u16>,
        whither: Whither,
        is_no_script: bool,
    ) -> (NodeId, bool) {
        let backing = &self.shared.backing;
        let mut asking = None;
        match whither {
            Whither::Moved(named, address) => {
                backing.moved(named, &address);
                // A node may see keys where Redis' own table of commands shows none.
                slot = Some(named);
            }
            Whither::Ask(_, address) => asking = backing.node_at(&address),
            Whither::Again if is_no_script => {}
            Whither::Again => backing.doubt(),
        }
        self.direct(backing.topology());
        match asking {
            Some(node) => (node, true),
            None => (
                slot.map_or(HOME, |slot| self.directions.node_of_slot(slot)),
                false,
            ),
        }
    }

    /// The request that loads the script which a request calls, if it is known and to be loaded.
    fn load_of(&self, request: &[u8], link: &Link, again: bool) -> Option<Vec<u8>> {
        let mut parser = RequestParser::default();
        match parser.parse(request, &RequestLimits::TRUSTED) {
            Ok(Parsed::Request { .. }) => self.load_for(parser.args(request), link, again),
            _ => None,
        }
    }

    /// The slot that decides where a request goes.
    fn slot_of_request(&self, request: &[u8]) -> Option<u16> {
        let mut parser = RequestParser::default();
        match parser.parse(request, &RequestLimits::TRUSTED) {
            Ok(Parsed::Request { .. }) => {
                let settings = self.settings();
                let request = Request::new(parser.args(request), request, &settings.table);
                Directions::slot_of(request)
            }
            _ => None,
        }
    }
}
