//! `RESPITE.NODE host:port command …`: a command at one node of the backing, for what each node would answer in another way.
//!
//! It goes over a connection that is opened for it, so neither state nor a long wait is left to anybody. What the node
//! says is the reply, `MOVED` included. The rules of access are asked about the command that it runs as well.

use std::rc::Rc;
use std::time::Duration;

use super::ask::{Said, Server, ask_apart, error};
use super::fence::catch_up;
use super::scan::words;
use crate::access::changes_access;
use crate::command::{Handling, Local, Pin, has_block_option};
use crate::resp::write_command;
use crate::session::cached::Cover;
use crate::session::client::Session;
use crate::session::dispatch::Flow;
use crate::session::request::Request;
use crate::session::settings::Settings;
use crate::upstream::{HOME, Topology};

const NO_NODE: &str = "ERR no such node: RESPITE.NODE LIST names them";
const USAGE: &str =
    "ERR RESPITE.NODE takes the address of a node and a command for it, or LIST for the addresses";
/// How long a node may take where `timeouts.reply` sets no limit.
const LIMIT: Duration = Duration::from_secs(60);

/// The masters, then the replicas, and their names.
fn servers(topology: &Topology) -> impl Iterator<Item = (Server, String)> {
    let nodes = topology.nodes().iter();
    let masters = nodes.filter_map(|node| {
        let name = node.master.as_ref()?.address.to_string();
        Some((Server::Master(node.id), name))
    });
    let replicas = topology.replicas.iter().map(|replica| {
        let name = replica.address.to_string();
        (Server::Replica(replica.clone()), name)
    });
    masters.chain(replicas)
}

/// Whether a command leaves nothing in its connection, and its client waits for nothing but its execution.
fn may_run(request: Request<'_>) -> bool {
    match request.handling() {
        Handling::Forward => request.leaf().is_some(),
        Handling::Pin(Pin::Control | Pin::Script) => true,
        Handling::Pin(Pin::BlockIfOption) => !has_block_option(request.args),
        Handling::Local(Local::Info | Local::Ping | Local::Echo | Local::Cluster) => true,
        Handling::Pin(_) | Handling::Local(_) | Handling::Family(_) => false,
    }
}

impl Session {
    /// `RESPITE.NODE host:port command [arg …]|LIST`
    pub(in crate::session) fn ask_node(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
    ) -> Flow {
        let args = request.args;
        let worker = Rc::clone(&self.worker);
        let topology = worker.shared.backing.topology();
        if args.len() == 2 {
            if !args[1].eq_ignore_ascii_case(b"LIST") {
                return self.answer_error(USAGE);
            }
            let names: Vec<String> = servers(&topology).map(|(_, name)| name).collect();
            self.answer(|reply| {
                reply.array(names.len());
                names.iter().for_each(|name| reply.bulk(name));
            });
            return Flow::Done;
        }
        let named = servers(&topology).find(|(_, name)| name.as_bytes() == &args[1]);
        let Some((server, name)) = named else {
            return self.answer_error(NO_NODE);
        };
        let node = match server {
            Server::Master(node) => node,
            Server::Replica(_) => HOME,
        };
        let inner = words(args.tail(2));
        let mut raw = Vec::new();
        let slices: Vec<&[u8]> = inner.iter().map(Vec::as_slice).collect();
        write_command(&mut raw, &slices);
        let run = Request::new(args.tail(2), &raw, &settings.table);
        if let Some(refusal) = self.refusal_of(run, settings) {
            return self.answer_error(refusal);
        }
        let owed = self.replies.outstanding() + self.replies.later() + self.replies.held();
        if owed > 0 {
            return Flow::Wait;
        }
        let (db, proto, login) = (self.state.db, self.state.proto, self.state.login());
        let cover = self.coherence.cover(run, db, node, &worker.cache);
        let limit = settings.timeouts.reply.unwrap_or(LIMIT);
        let pending = async move {
            let said = ask_apart(&worker, server, (db, proto, login), inner, Some(limit));
            let said = Said::of(said).await;
            let Cover { guard, fence } = cover;
            drop(guard);
            catch_up(&worker.shared, &[node], fence).await;
            match said {
                Said::Reply(reply) => reply,
                Said::Nothing(text) => {
                    let why = text.strip_prefix("UPSTREAM ").unwrap_or(&text);
                    error(&format!("UPSTREAM {name}: {why}"), proto)
                }
            }
        };
        self.occupy_with_command(Box::pin(pending), &raw);
        Flow::Done
    }

    /// Why a command may not be run for the client.
    fn refusal_of(&self, run: Request<'_>, settings: &Settings) -> Option<String> {
        let Request { args, row, sub, .. } = run;
        let user = self.state.user_id();
        // A user of the backing is judged by the node.
        let judged = match self.is_judged_by_backing(settings) {
            true => self.denied_to_all(run, settings).map_or(Ok(()), Err),
            false => settings.access.check(user, row, &args[0], sub, args),
        };
        if let Err(denied) = judged {
            self.note_denied(&denied, run, user);
            return Some(self.words_of(&denied));
        }
        if settings.embedded
            && let Some(denied) = changes_access(row, args)
        {
            return Some(denied.to_string());
        }
        let name = String::from_utf8_lossy(&args[0]).to_lowercase();
        (!may_run(run)).then(|| {
            format!("ERR '{name}' blocks, leaves state in its connection or is not known: RESPITE.NODE does not run it")
        })
    }
}
