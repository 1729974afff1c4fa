//! Connections that switch to another protocol, WebSocket for one: bytes both ways from then on.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tracing::debug;

use super::instance::InFlight;

/// Passes bytes between a client and an instance until both have ended. The request counts as in
/// flight so long.
pub(super) fn pass(client: OnUpgrade, instance: OnUpgrade, in_flight: InFlight) {
    tokio::spawn(async move {
        let _in_flight = in_flight;
        let (client, instance) = match tokio::try_join!(client, instance) {
            Ok(both) => both,
            Err(error) => return debug!("gateway: no switch of protocols: {error}"),
        };
        let (mut client, mut instance) = (TokioIo::new(client), TokioIo::new(instance));
        if let Err(error) = copy_bidirectional(&mut client, &mut instance).await {
            debug!("gateway: a switched connection ended: {error}");
        }
    });
}
