//! What Respites ask of one another: to have a direct call kept, whose id names the one that owns it; to let go of
//! a registry that has changed.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::bus::direct::PATIENCE;
use crate::bus::error::BusError;
use crate::bus::shared::Shared;
use crate::bus::store::{Holder, LASTS};
use crate::random;

/// How long another Respite may take to have a call kept.
const HOME_WAIT: Duration = Duration::from_secs(2);

/// Somebody who waits for another Respite's answer.
struct Asking<'a>(&'a Shared, &'a str);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // The receiver is closed; those of others who wait for the call are not.
        let mut asked = self.0.asked.lock();
        if let Some((_, waiting)) = asked.get_mut(self.1) {
            waiting.retain(|tx| !tx.is_closed());
            if waiting.is_empty() {
                asked.remove(self.1);
            }
        }
    }
}

impl Shared {
    /// Notes that an answer is awaited, until the guard is dropped. Drop the receiver before.
    fn expect<'a>(&'a self, bus: &str, id: &'a str) -> (Asking<'a>, oneshot::Receiver<()>) {
        let (tx, answer) = oneshot::channel();
        let mut asked = self.asked.lock();
        let waiting = asked.entry(id.to_owned());
        let (_, waiting) = waiting.or_insert_with(|| (bus.to_owned(), Vec::new()));
        waiting.push(tx);
        drop(asked);
        (Asking(self, id), answer)
    }

    /// Asks the Respite that owns a call to have it kept. Nothing happens if that Respite is gone.
    pub(in crate::bus) async fn ask_home(
        &self,
        bus: &str,
        home: &str,
        id: &str,
    ) -> Result<(), BusError> {
        self.ready().await;
        let (_asking, kept) = self.expect(bus, id);
        let words = ["k", bus, id, self.store.instance()];
        if self.store.tell(home, &words).await? == 0 {
            // It is gone, or it does not hear for a moment: then it tells the backing by itself. Or it hears at
            // another node of a cluster than was asked.
            let _ = timeout(PATIENCE * 2, kept).await;
            return Ok(());
        }
        match timeout(HOME_WAIT, kept).await {
            Ok(_) => Ok(()),
            Err(_) => Err(BusError::PeerSilent),
        }
    }

    /// Waits until those that a changed registry was leased to have let go, or their lease has ended.
    pub(in crate::bus) async fn have_let_go(&self, bus: &str, holders: &[Holder]) {
        if holders.is_empty() {
            return;
        }
        self.ready().await;
        let each = holders.iter().map(async |holder| {
            let (name, left) = (&holder.name, holder.left.min(LASTS));
            let id = format!("{}-{name}", random::word());
            let (_asking, answer) = self.expect(bus, &id);
            let _ = timeout(left, async {
                let words = ["g", bus, &id, self.store.instance()];
                match self.store.tell(name, &words).await {
                    Ok(1..) => drop(answer.await),
                    // It may not know yet that it does not hear.
                    _ => std::future::pending().await,
                }
            })
            .await;
        });
        join_all(each).await;
    }

    /// Another Respite says that it has done what it was asked for. Anybody can say so: it is true if it is
    /// written in the backing, under a key of the bus.
    pub(in crate::bus) async fn answered(&self, id: &str) {
        let known = self.asked.lock().get(id).map(|(bus, _)| bus.clone());
        let Some(bus) = known else {
            return;
        };
        if !self.store.take_answer(&bus, id).await {
            return;
        }
        let waiting = self.asked.lock().remove(id);
        for tx in waiting.into_iter().flat_map(|(_, waiting)| waiting) {
            let _ = tx.send(());
        }
    }
}
