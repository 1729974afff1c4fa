//! Subscriptions of a session on the connection that the clients of its worker share, and what a subscriber may do.
//! Behind a cluster, for users of the backing, and for what only a connection of its own is told, a session subscribes
//! on its own connection.

use std::rc::Rc;
use std::sync::Arc;

use super::client::Session;
use super::client_line::version;
use super::dispatch::Flow;
use super::replies::Then;
use super::request::Request;
use super::settings::Settings;
use super::subscriptions::{Audience, Naming, Subscribed, Subscriber};
use crate::command::{Channel, Handling, Local, Pin, arity_error};
use crate::resp::{Proto, ReplyWriter, Value, parse_reply};

/// Redis tells these to one connection only.
const OWN_CHANNELS: &[u8] = b"__redis__:";

impl Session {
    /// Whether what is subscribed to decides what becomes of the next command.
    #[inline]
    pub(super) fn is_subscribing(&self) -> bool {
        match &self.subscribed {
            None => false,
            Some(subscribed) => {
                let who = &subscribed.who;
                who.pending() > 0 || (self.state.proto == Proto::Resp2 && who.is_subscribed())
            }
        }
    }

    /// Whether it is a subscriber, or becomes one. What it is told may be that a key has changed, and the push for the cache
    /// comes on another connection: it reads what the backing has.
    #[inline]
    pub(super) fn listens(&self) -> bool {
        match &self.subscribed {
            None => false,
            Some(subscribed) => subscribed.who.pending() > 0 || subscribed.who.is_subscribed(),
        }
    }

    /// Whether it is told what others publish.
    pub(super) fn is_subscriber(&self) -> bool {
        let subscribed = self.subscribed.as_ref();
        subscribed.is_some_and(|subscribed| subscribed.who.is_subscribed())
    }

    /// Bytes that are kept of its subscriptions.
    pub(super) fn subscription_bytes(&self) -> usize {
        let subscribed = self.subscribed.as_ref();
        subscribed.map_or(0, |subscribed| subscribed.who.bytes())
    }

    /// Takes over the version of the protocol.
    pub(super) fn show_proto(&self) {
        if let Some(subscribed) = &self.subscribed {
            subscribed.who.set_proto(self.state.proto);
        }
    }

    /// Handles a command that changes subscriptions, or that a subscriber sends; none when it goes its usual way.
    #[inline]
    pub(super) fn route_subscribed(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
    ) -> Option<Flow> {
        let changed = match request.handling() {
            Handling::Pin(Pin::Subscribe(channel)) => {
                self.change_subscriptions(channel, true, request, settings)
            }
            Handling::Pin(Pin::Unsubscribe(channel)) => {
                self.change_subscriptions(channel, false, request, settings)
            }
            _ => None,
        };
        if changed.is_some() {
            return changed;
        }
        if self.is_subscribing() {
            return self.route_subscriber(request);
        }
        let publishes = self.listens() && matches!(counted(request), Some(Counted::Publish(_)));
        (publishes && self.pinned.is_none()).then(|| self.publish_in_order(request))
    }

    /// What a subscriber publishes goes over the connection of the subscriptions: if it is a message to itself, too, that has
    /// its place beside the reply.
    #[cold]
    fn publish_in_order(&mut self, request: Request<'_>) -> Flow {
        if self.replies.outstanding() > 0 {
            return Flow::Wait;
        }
        let then = self.with_subscribers(request).unwrap_or(Then::Pass);
        let then = match self.is_silent() {
            true => Then::Drop,
            false => then,
        };
        let Some(Subscribed { hub, who }) = self.subscribed.as_deref() else {
            return Flow::Wait;
        };
        let ticket = self.replies.expect(1, then, None);
        hub.ask(who, request.raw, ticket);
        Flow::Done
    }

    #[cold]
    fn change_subscriptions(
        &mut self,
        channel: Channel,
        begins: bool,
        request: Request<'_>,
        settings: &Settings,
    ) -> Option<Flow> {
        let naming = Naming::of(channel)?;
        let own = settings.access.is_of_backing() || self.worker.directions.is_divided();
        if own || !request.arity_ok() || self.subscribes_apart(naming, begins) {
            return None;
        }
        if self
            .pinned
            .as_ref()
            .is_some_and(|pinned| !pinned.is_quiet())
        {
            // Whether its own connection is subscribed then is not known.
            return Some(Flow::Wait);
        }
        let names: Vec<&[u8]> = request.args.iter().skip(1).collect();
        if begins {
            let for_one = names.iter().any(|name| name.starts_with(OWN_CHANNELS));
            return (!for_one).then(|| self.begin_subscriptions(naming, &names, request));
        }
        Some(self.end_subscriptions(naming, &names))
    }

    /// Whether a command of this kind is for its own connection: that queues commands, or is subscribed itself. Channels of
    /// slots are another matter.
    fn subscribes_apart(&self, naming: Naming, begins: bool) -> bool {
        let Some(pinned) = &self.pinned else {
            return false;
        };
        let shared = self.subscribed.as_ref();
        let ends_shared = !begins && shared.is_some_and(|shared| !shared.who.is_without(naming));
        pinned.in_multi() || (pinned.named_subscriptions() > 0 && !ends_shared)
    }

    fn begin_subscriptions(
        &mut self,
        naming: Naming,
        names: &[&[u8]],
        request: Request<'_>,
    ) -> Flow {
        let pending = self.subscribed.as_ref().map_or(0, |it| it.who.pending());
        let ending = self
            .subscribed
            .as_ref()
            .is_some_and(|it| it.who.is_ending());
        // What was sent before is executed before; what follows another one of its kind goes the same way.
        if ending || self.replies.outstanding() > pending {
            return Flow::Wait;
        }
        let subscribed = self.subscribed.get_or_insert_with(|| {
            let (entry, replies) = (self.state.entry.clone(), Rc::clone(&self.replies));
            Box::new(Subscribed {
                hub: Rc::clone(&self.worker.subscriptions),
                who: Rc::new(Subscriber::new(entry, replies, self.state.proto)),
            })
        });
        // Confirmations are shown even to a client that wants no replies.
        let ticket = self.replies.expect(1, Then::Pass, None);
        let Subscribed { hub, who } = &**subscribed;
        hub.begin(who, naming, names, request.raw, ticket);
        Flow::Done
    }

    fn end_subscriptions(&mut self, naming: Naming, names: &[&[u8]]) -> Flow {
        let Some(Subscribed { hub, who }) = self.subscribed.as_deref() else {
            return self.answer_ended(0, naming, names);
        };
        if who.pending() > 0 || self.replies.outstanding() > 0 {
            return Flow::Wait;
        }
        if who.is_without(naming) {
            return self.answer_ended(who.count(), naming, names);
        }
        let ticket = self.replies.expect(1, Then::Pass, None);
        hub.end(who, naming, names, ticket);
        Flow::Done
    }

    /// There is nothing to end, of a client with so many subscriptions.
    fn answer_ended(&self, count: u32, naming: Naming, names: &[&[u8]]) -> Flow {
        self.replies.reply(|out| {
            let mut write = |name| naming.write_ended(name, count, self.state.proto, out);
            names.iter().for_each(|name| write(Some(*name)));
            if names.is_empty() {
                write(None);
            }
        });
        Flow::Done
    }

    #[cold]
    fn route_subscriber(&mut self, request: Request<'_>) -> Option<Flow> {
        let who = &self.subscribed.as_ref()?.who;
        if who.pending() > 0 {
            return Some(Flow::Wait);
        }
        let row = request.leaf()?;
        if !request.arity_ok() {
            return Some(self.answer_error(arity_error(row)));
        }
        match request.handling() {
            Handling::Local(Local::Quit | Local::Reset)
            | Handling::Pin(Pin::Subscribe(_) | Pin::Unsubscribe(_)) => None,
            Handling::Local(Local::Ping) if request.args.len() <= 2 => {
                self.answer(|reply| {
                    reply.array(2);
                    reply.bulk("pong");
                    reply.bulk(request.args.get(1).unwrap_or_default());
                });
                Some(Flow::Done)
            }
            Handling::Local(Local::Ping) => None,
            _ => Some(self.refuse_in_subscription(&row.name)),
        }
    }

    /// Refuses what a RESP2 client may not do while it is subscribed, as its backing would.
    pub(super) fn refuse_in_subscription(&self, name: &str) -> Flow {
        let version = version(self.worker.settings().hello.as_deref());
        let of_shards = version.is_none_or(|version| version >= (7, 0));
        let commands = match of_shards {
            true => "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE",
            false => "(P)SUBSCRIBE / (P)UNSUBSCRIBE",
        };
        self.answer_error(format!(
            "ERR Can't execute '{name}': only {commands} / PING / QUIT / RESET are allowed in this context"
        ))
    }

    /// Whether the backing does not know of all that a command counts: clients that share a subscription.
    #[inline]
    pub(super) fn counts_subscribers(&self, request: Request<'_>) -> bool {
        let shared = !self.worker.shared.audience.is_empty() || self.listens();
        shared && counted(request).is_some()
    }

    /// How the count of subscribers is corrected in a command's reply.
    #[cold]
    pub(super) fn with_subscribers(&self, request: Request<'_>) -> Option<Then> {
        let audience = Arc::clone(&self.worker.shared.audience);
        let channel: Option<Box<[u8]>> = match counted(request)? {
            Counted::Publish(channel) => Some(channel.into()),
            Counted::Channels => None,
        };
        Some(Then::Rewrite(Box::new(move |reply, out| {
            let written = match &channel {
                Some(channel) => write_published(reply, &audience, channel, out),
                None => write_channels(reply, &audience, out),
            };
            if written.is_none() {
                // An error, or what only other servers say.
                out.clear();
                out.extend_from_slice(reply);
            }
        })))
    }
}

/// What a command counts.
enum Counted<'a> {
    /// Who got a message on a channel.
    Publish(&'a [u8]),
    /// Who is subscribed to each channel.
    Channels,
}

fn counted(request: Request<'_>) -> Option<Counted<'_>> {
    let row = request.leaf()?;
    match &*row.name {
        "publish" if request.args.len() == 3 => request.args.get(1).map(Counted::Publish),
        "pubsub|numsub" => Some(Counted::Channels),
        // Before 7.0 subcommands have no rows.
        "pubsub" => {
            let sub = request.args.get(1)?;
            sub.eq_ignore_ascii_case(b"NUMSUB")
                .then_some(Counted::Channels)
        }
        _ => None,
    }
}

fn write_published(
    reply: &[u8],
    audience: &Audience,
    channel: &[u8],
    out: &mut Vec<u8>,
) -> Option<()> {
    let Ok(Some((Value::Integer(count), _))) = parse_reply(reply) else {
        return None;
    };
    let more = i64::try_from(audience.of_message(channel)).ok()?;
    ReplyWriter::new(out, Proto::Resp2).integer(count + more);
    Some(())
}

fn write_channels(reply: &[u8], audience: &Audience, out: &mut Vec<u8>) -> Option<()> {
    let Ok(Some((Value::Array(parts), _))) = parse_reply(reply) else {
        return None;
    };
    let mut writer = ReplyWriter::new(out, Proto::Resp2);
    writer.array(parts.len());
    for pair in parts.chunks(2) {
        let channel = pair.first().and_then(Value::as_bytes)?;
        let count = pair.get(1).and_then(Value::as_int)?;
        writer.bulk(channel);
        writer.integer(count + i64::try_from(audience.of_channel(channel)).ok()?);
    }
    Some(())
}
