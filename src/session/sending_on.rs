//! Sends on what a node of a cluster did not take: to the node that it names, or to the one that has the slot by then.

use std::rc::Rc;

use super::redirects::{Waiting, Whither};
use super::replies::NOBODY;
use super::request::Request;
use super::route::Unheard;
use super::worker::Worker;
use crate::config::{Address, Endpoint};
use crate::resp::{Parsed, RequestLimits, RequestParser};
use crate::upstream::{Failure, HOME, Link, LinkKey, NodeId, ReplySink, Sent, UpstreamError};

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
            loads,
            ..
        } = waiting;
        self.shared.backing.note_redirect(&request.reply);
        let sink: Rc<dyn ReplySink> = match request.sink.is_resent() {
            true => Rc::clone(&request.sink),
            false => self.redirects.waiting_for(&request),
        };
        let slot = self.slot_of_request(&request.request);
        let whither = Whither::read(&request.reply).filter(|whither| whither.is_of(slot));
        let Some(whither) = whither else {
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
        let is_no_script = matches!(whither, Whither::Loaded);
        let (node, asking) = self.whither(&request.request, whither);
        let link = self.link(LinkKey::new(node, 0, proto));
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
            Whither::Ask(_, address) => self.endpoint(address).map(|at| backing.node_at(&at)),
            Whither::Loaded => None,
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

    /// The request that loads the script which a request calls, if it is known and to be loaded.
    fn load_of(&self, request: &[u8], link: &Link, again: bool) -> Option<Vec<u8>> {
        let mut parser = RequestParser::default();
        match parser.parse(request, &RequestLimits::TRUSTED) {
            Ok(Parsed::Request { .. }) => self.load_for(parser.args(request), link, again),
            _ => None,
        }
    }

    /// How to reach a node that another one names. One that the map does not have is asked for first: what a reply
    /// says may come from a script, and nobody is logged in to a server for that.
    pub(super) fn endpoint(&self, address: Address) -> Option<Endpoint> {
        let topology = self.shared.backing.topology();
        let masters = topology.nodes().iter();
        let masters = masters.filter_map(|node| node.master.as_deref());
        let mut known = masters.chain(&topology.replicas);
        let found = known.find(|node| node.address == address).cloned();
        if found.is_none() {
            self.shared.backing.doubt();
        }
        found
    }

    /// The slot that decides where a request goes.
    fn slot_of_request(&self, request: &[u8]) -> Option<u16> {
        let mut parser = RequestParser::default();
        match parser.parse(request, &RequestLimits::TRUSTED) {
            Ok(Parsed::Request { .. }) => {
                let settings = self.settings();
                let request = Request::new(parser.args(request), request, &settings.table);
                self.directions.route(request).slot()
            }
            _ => None,
        }
    }
}
