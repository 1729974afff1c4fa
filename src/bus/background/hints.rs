//! Hints: one connection per Respite that others tell it news over, for all buses.
//!
//! Sealed messages about calls come over it as well, for `remote`.
//!
//! A hint only says where to look: anybody who may publish can make one, so nothing is believed because of it. One that is lost is made up for by the upkeep, which looks at everything
//! now and then, and by a look at everything whenever the connection is made again.

use std::pin::pin;
use std::sync::Arc;
use std::time::Instant;

use futures_util::{FutureExt, StreamExt};
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::bus::hub::Hub;
use crate::bus::id::{HOME_LEN, parse_direct};
use crate::bus::remote;
use crate::bus::store::Order;
use crate::upstream::ControlError;

/// Listens for as long as the process lives.
pub(in crate::bus) async fn listen(hub: Arc<Hub>) {
    let channel = hub.shared.store.channel();
    let mut backoff = Backoff::default();
    let mut refused = None;
    loop {
        let node = hub.shared.store.link().node_of(&channel);
        match hub
            .shared
            .store
            .link()
            .listen("respite-bus", &channel)
            .await
        {
            Ok(hints) => {
                // What was seen to be empty may not be any more.
                for bus in hub.used_buses() {
                    bus.touched.forget(Instant::now());
                }
                hub.set_hints(true);
                backoff.reset();
                refused = None;
                look_at_everything(&hub);
                let (mut sink, mut messages) = hints.split();
                let leaves = async {
                    match node {
                        Some(node) => hub.shared.store.link().leaves(&channel, node).await,
                        None => std::future::pending().await,
                    }
                };
                let (mut leaves, mut stops) = (pin!(leaves), pin!(hub.shared.stops()));
                // Others count those who listen where the channel is: so that is where to listen.
                while let Some(message) = tokio::select! {
                    message = messages.next() => message,
                    () = &mut leaves => None,
                    () = &mut stops => {
                        // From the answer on nobody counts this Respite as one that hears.
                        let _ = sink.unsubscribe(&channel).await;
                        while let Some(Some(message)) = messages.next().now_or_never() {
                            hear(&hub, message.get_payload_bytes());
                        }
                        hub.shared.has_heard_all();
                        return std::future::pending().await;
                    }
                } {
                    hear(&hub, message.get_payload_bytes());
                }
                hub.set_hints(false);
                debug!("the connection for hints of the bus was lost");
            }
            Err(error) => {
                hub.set_hints(false);
                // A backing that is away has said so elsewhere; a refusal is told of once.
                match error {
                    ControlError::Server(reason) => {
                        if refused.as_ref() != Some(&reason) {
                            warn!("no hints for the bus: {reason}");
                        }
                        refused = Some(reason);
                    }
                    ControlError::Upstream(..) => debug!("no hints for the bus: {error}"),
                }
            }
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// Looks whether something has come for those who wait here.
pub(in crate::bus) fn look_at_everything(hub: &Arc<Hub>) {
    for bus in hub.used_buses() {
        if !bus.parked.lock().is_empty() {
            bus.submit(Order::ready());
        }
        let waiting = bus.waiting.lock().ids();
        for id in waiting {
            bus.submit(Order::look(&id));
        }
    }
}

/// The longest id of a question: that of a call, with the name of its method.
const LONGEST_ID: usize = 512;

/// Whether a question can be one of a Respite's: what is made of it is a key in the backing.
fn is_question(id: &str, asking: &str) -> bool {
    id.len() <= LONGEST_ID
        && asking.len() == HOME_LEN
        && asking.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What another Respite asks. `k`: a direct call of this one is to be kept; `g`: the registry has changed; `a`: its answer
/// to one of them.
fn hear_question(hub: &Arc<Hub>, (kind, bus): (&str, &str), id: &str, asking: Option<&str>) {
    if kind == "a" {
        let (id, own) = (id.to_owned(), Arc::clone(hub));
        // Whoever may publish can say this as often as he likes: only what is waited for is looked up.
        if hub.shared.asked.lock().contains_key(&id) {
            hub.shared
                .spawn(async move { own.shared.answered(&id).await });
        }
    } else if let Some(asking) = asking.filter(|asking| is_question(id, asking)) {
        let (id, bus, asking) = (id.to_owned(), bus.to_owned(), asking.to_owned());
        let own = Arc::clone(hub);
        let is_call = kind == "k";
        hub.shared.spawn(async move {
            if is_call {
                keep(&own, &bus, &id).await;
            } else if let Some(bus) = own.used_bus(&bus) {
                bus.let_go();
            }
            // If that fails, whoever asks waits in vain.
            let _ = own.shared.store.answer(&asking, &bus, &id).await;
        });
    }
}

fn hear(hub: &Arc<Hub>, message: &[u8]) {
    if let Some(frame) = message.strip_prefix(b"s\n") {
        return remote::receive(hub, frame);
    }
    let Ok(text) = std::str::from_utf8(message) else {
        return;
    };
    let mut words = text.split('\n');
    let (Some(kind), Some(bus)) = (words.next(), words.next()) else {
        return;
    };
    if matches!(kind, "k" | "g" | "a") {
        if let (Some(id), home) = (words.next(), words.next()) {
            hear_question(hub, (kind, bus), id, home);
        }
        return;
    }
    let Some(bus) = hub.used_bus(bus) else { return };
    match kind {
        "q" => {
            while let (Some(count), Some(method)) = (words.next(), words.next()) {
                bus.news(method, count.parse().unwrap_or(1));
            }
        }
        "r" => {
            for id in words {
                if bus.waiting.lock().has(id) {
                    bus.submit(Order::look(id));
                }
            }
        }
        _ => {}
    }
}

/// Another Respite asks to have a direct call kept.
async fn keep(hub: &Hub, bus: &str, id: &str) {
    if let Some(bus) = hub.used_bus(bus)
        && let Some((number, home)) = parse_direct(id)
        && home == hub.shared.store.instance()
        && let Some(mut over) = bus.store(number)
    {
        let _ = over.changed().await;
    }
}
