//! Direct calls that the backing is told of: because they take long, or because somebody asks for them.

use std::sync::Arc;

use futures_util::future::join_all;

use crate::bus::bus::Bus;
use crate::bus::direct::{Keep, Keeping, Kept};
use crate::bus::error::BusError;
use crate::bus::id::{direct_id, parse_direct};
use crate::bus::outcome::Outcome;
use crate::bus::store::{KeepAnswer, Operation};

impl Bus {
    /// Has a direct call kept in the backing; the receiver ends when that is over.
    pub(in crate::bus) fn store(self: &Arc<Self>, number: &str) -> Option<Keeping> {
        let keep = self.direct.lock().keep(number);
        match keep {
            Keep::Not => None,
            Keep::Wait(over) => Some(over),
            Keep::Begin(kept, sender) => {
                let over = sender.subscribe();
                let (bus, number) = (Arc::clone(self), number.to_owned());
                self.shared.spawn(async move {
                    tell(&bus, &number, kept).await;
                    drop(sender);
                });
                Some(over)
            }
        }
    }

    /// Has all direct calls that workers have kept in the backing.
    pub(in crate::bus) async fn store_all(self: &Arc<Self>) {
        let numbers = self.direct.lock().handed();
        let over: Vec<_> = numbers
            .iter()
            .filter_map(|number| self.store(number))
            .collect();
        for mut over in over {
            let _ = over.changed().await;
        }
    }

    /// Has direct calls kept in the backing that it does not know yet, whichever Respite owns them.
    ///
    /// # Errors
    /// When a Respite that owns one does not answer.
    pub(in crate::bus) async fn bring(self: &Arc<Self>, ids: &[&str]) -> Result<(), BusError> {
        let all = join_all(ids.iter().map(|id| self.bring_one(id))).await;
        all.into_iter().collect()
    }

    async fn bring_one(self: &Arc<Self>, id: &str) -> Result<(), BusError> {
        let Some((number, home)) = parse_direct(id) else {
            return Ok(());
        };
        if home != self.shared.store.instance() {
            return self.shared.ask_home(&self.name, home, id).await;
        }
        if let Some(mut over) = self.store(number) {
            let _ = over.changed().await;
        }
        Ok(())
    }
}

/// Tells the backing of a direct call.
async fn tell(bus: &Arc<Bus>, number: &str, kept: Kept) {
    let method = &kept.method;
    let id = direct_id(number, &method.name);
    let origin = kept.origin;
    let home = origin.as_deref().unwrap_or(bus.shared.store.instance());
    let meta = method
        .options
        .meta(number, kept.timeout_ms, Some(home), b"");
    let told = Operation::Keep {
        id: id.clone(),
        token: kept.token,
        worker: kept.worker,
        left: kept.left,
        handed: kept.handed,
        begun: kept.begun,
        meta,
    };
    match bus.ask(told).await {
        Ok(KeepAnswer::Kept) => {
            // In this order, so that whoever does not find it in one place finds it in the other.
            bus.waiting.lock().set_id(&id);
            bus.direct.lock().remove(number);
            if let Some(origin) = origin {
                bus.tell_stored(&id, &origin);
            }
        }
        Ok(KeepAnswer::Unregistered) => {
            bus.direct.lock().remove(number);
            let ended = Outcome::Failed(BusError::Unregistered);
            bus.complete_direct(&id, ended, (false, origin));
        }
        Ok(KeepAnswer::Unclear) | Err(_) => bus.direct.lock().not_kept(number),
    }
}
