//! Sends on what a node of a cluster did not take: to the node that it names, or to the one that has the slot by then.

use std::rc::Rc;

use super::redirects::{NOSCRIPT, Waiting, is_about_slot, whither};
use super::replies::NOBODY;
use super::request::Request;
use super::route::{Directions, Unheard};
use super::worker::Worker;
use crate::command::{Effects, each_key};
use crate::resp::{Parsed, RequestLimits, RequestParser, write_command};
use crate::upstream::{
    Failure, HOME, Link, LinkKey, NodeId, ReplySink, Sent, UpstreamError, Whither,
};

const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// How often the script that a request calls is loaded for it: a slot may move meanwhile.
const MOST_LOADS: u8 = 3;

/// So often a node takes a plain command on the keys of a script, right before it says in the same breath that they are
/// elsewhere, until it is the script that says so. Once it may be true: they move between the two.
const SURE: u8 = 2;

/// A request that is sent on.
#[derive(Default)]
struct Asked {
    /// The slot that decides where it goes.
    slot: Option<u16>,
    /// Of one that runs a script, which may say anything: a plain command on its keys, empty if it has none.
    probe: Option<Vec<u8>>,
}

/// `EXISTS` of all keys: a node takes it or turns it away as it does the request.
fn probe_of(request: Request<'_>) -> Vec<u8> {
    let mut words: Vec<&[u8]> = vec![b"EXISTS"];
    if let Some(row) = request.leaf() {
        each_key(row, request.args, |key| words.push(key.key));
    }
    let mut probe = Vec::new();
    if words.len() > 1 {
        write_command(&mut probe, &words);
    }
    probe
}

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
            contradicted,
            ..
        } = waiting;
        self.shared.backing.note_redirect(&request.reply);
        let sink: Rc<dyn ReplySink> = match request.sink.is_resent() {
            true => Rc::clone(&request.sink),
            false => self.redirects.waiting_for(&request),
        };
        let Asked { slot, probe } = self.read_request(&request.request);
        let probe = probe.filter(|_| is_about_slot(&request.reply));
        let is_scripts = match &probe {
            Some(keys) => keys.is_empty() || contradicted >= SURE,
            None => false,
        };
        let whither = whither(&request.reply).filter(|whither| whither.is_of(slot));
        let Some(whither) = whither.filter(|_| !is_scripts) else {
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
        let say_asking = || {
            if asking {
                link.push(ASKING, 1, Rc::new(Unheard), NOBODY);
            }
        };
        if let Some(probe) = probe {
            say_asking();
            let heard = self.redirects.probing(request.sink.identity());
            link.push(&probe, 1, heard, NOBODY);
        }
        say_asking();
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

    fn read_request(&self, request: &[u8]) -> Asked {
        let mut parser = RequestParser::default();
        match parser.parse(request, &RequestLimits::TRUSTED) {
            Ok(Parsed::Request { .. }) => {
                let settings = self.settings();
                let request = Request::new(parser.args(request), request, &settings.table);
                let runs = request.effects().contains(Effects::RUNS_SCRIPTS);
                Asked {
                    slot: Directions::slot_of(request),
                    probe: runs.then(|| probe_of(request)),
                }
            }
            _ => Asked::default(),
        }
    }
}
