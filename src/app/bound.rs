//! Everything that listens: bound before anything else starts.

use super::gateway::HttpAddresses;
use super::handover::Inherited;
use super::{Failure, cannot};
use crate::config::ListenAddr;
use crate::gateway::GatewayListener;
use crate::http::HttpListener;
use crate::session::listener::Listener;

/// The bound listeners.
pub(super) struct Bound {
    /// For Redis clients.
    pub(super) listeners: Vec<(ListenAddr, Listener)>,
    /// The admin pages.
    pub(super) http: Option<HttpListener>,
    /// Requests to be forwarded.
    pub(super) requests: Option<GatewayListener>,
}

/// Binds every address, but those of which the socket was passed.
pub(super) async fn bind(
    clients: &[ListenAddr],
    addresses: &HttpAddresses,
    inherited: &mut Inherited,
) -> Result<Bound, Failure> {
    let mut listeners = Vec::new();
    for addr in clients {
        let listener = match inherited.listener(addr) {
            Some(socket) => Listener::of(socket),
            None => Listener::bind(addr).await,
        };
        let listener = listener.map_err(cannot(format!("listen on {addr}")))?;
        listeners.push((addr.clone(), listener));
    }
    let http = match &addresses.admin {
        None => None,
        Some(addr) => {
            let bound = match inherited.listener(addr) {
                Some(socket) => HttpListener::of(socket),
                None => HttpListener::bind(addr).await,
            };
            Some(bound.map_err(cannot(format!("listen on {addr} for HTTP")))?)
        }
    };
    let requests = match &addresses.gateway {
        None => None,
        Some(addr) => {
            let bound = match inherited.listener(addr) {
                Some(socket) => GatewayListener::of(socket),
                None => GatewayListener::bind(addr).await,
            };
            Some(bound.map_err(cannot(format!("listen on {addr} for the gateway")))?)
        }
    };
    Ok(Bound {
        listeners,
        http,
        requests,
    })
}

/// Binds what the server starts with; sockets that it was started with are used.
pub(super) async fn bind_first(
    clients: &[ListenAddr],
    addresses: &HttpAddresses,
) -> Result<(Bound, Inherited), Failure> {
    let mut inherited = Inherited::take();
    let bound = bind(clients, addresses, &mut inherited).await?;
    inherited.close_others();
    Ok((bound, inherited))
}
