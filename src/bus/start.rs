//! What begins with the first use of a bus: listening to other Respites, and tending.

use std::sync::Arc;

use super::hub::Hub;
use super::{hints, upkeep};

/// Begins, unless it has begun.
pub(super) fn start(hub: &Arc<Hub>) {
    if hub.begins() {
        let (listens, tends) = (Arc::clone(hub), Arc::clone(hub));
        hub.shared.keep(move || hints::listen(Arc::clone(&listens)));
        hub.shared.keep(move || upkeep::tend(Arc::clone(&tends)));
    }
}
