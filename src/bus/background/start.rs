//! What begins with the first use of a bus: listening to other Respites, and tending.

use std::sync::Arc;

use super::{hints, upkeep};
use crate::bus::hub::Hub;

/// Begins, unless it has begun.
pub(in crate::bus) fn start(hub: &Arc<Hub>) {
    if hub.begins() {
        let (listens, tends) = (Arc::clone(hub), Arc::clone(hub));
        hub.shared.keep(move || hints::listen(Arc::clone(&listens)));
        hub.shared.keep(move || upkeep::tend(Arc::clone(&tends)));
    }
}
