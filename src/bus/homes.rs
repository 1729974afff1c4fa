//! Respites that ask one another for direct calls: a call's id names the one where it began.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::direct::PATIENCE;
use super::hub::Hub;
use super::id::parse_direct;
use super::store::Failure;

/// How long another Respite may take to have a call kept.
const HOME_WAIT: Duration = Duration::from_secs(2);

/// Those who wait until a call is kept, by its id.
pub(super) type Asked = HashMap<String, Vec<oneshot::Sender<()>>>;

/// Somebody who waits for another Respite's answer.
struct Asking<'a>(&'a Hub, &'a str);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        // The receiver is closed; those of others who wait for the call are not.
        let mut asked = self.0.asked.lock();
        if let Some(waiting) = asked.get_mut(self.1) {
            waiting.retain(|tx| !tx.is_closed());
            if waiting.is_empty() {
                asked.remove(self.1);
            }
        }
    }
}

impl Hub {
    /// Asks the Respite where a call began to have it kept. Nothing happens if that Respite is gone.
    pub(super) async fn ask_home(
        self: &Arc<Self>,
        bus: &str,
        home: &str,
        id: &str,
    ) -> Result<(), Failure> {
        self.ready().await;
        // Dropped after the receiver.
        let _asking = Asking(self, id);
        let (tx, kept) = oneshot::channel();
        self.asked.lock().entry(id.to_owned()).or_default().push(tx);
        let words = ["k", bus, id, self.store.instance()];
        if self.store.tell(home, &words).await? == 0 {
            // It is gone, or it does not hear for a moment: then it tells the backing by itself.
            tokio::time::sleep(PATIENCE * 2).await;
            return Ok(());
        }
        match tokio::time::timeout(HOME_WAIT, kept).await {
            Ok(_) => Ok(()),
            Err(_) => Err(Failure(
                "ERR the Respite where the call began does not answer".to_owned(),
            )),
        }
    }

    /// Another Respite asks for a direct call.
    pub(super) async fn keep_for(&self, bus: &str, id: &str, asking: &str) {
        if let Some(bus) = self.used_bus(bus)
            && let Some((number, home)) = parse_direct(id)
            && home == self.store.instance()
            && let Some(mut over) = bus.store(number)
        {
            let _ = over.changed().await;
        }
        // If that fails, whoever asks waits in vain and is told so.
        let _ = self.store.tell(asking, &["a", bus, id]).await;
    }

    /// Another Respite has kept a call that was asked for.
    pub(super) fn answered(&self, id: &str) {
        for tx in self.asked.lock().remove(id).unwrap_or_default() {
            let _ = tx.send(());
        }
    }
}
