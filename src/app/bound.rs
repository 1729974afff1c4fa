//! Everything that listens: bound before anything else starts.

use super::gateway::HttpAddresses;
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

/// Binds every address.
pub(super) async fn bind(
    clients: &[ListenAddr],
    addresses: &HttpAddresses,
) -> Result<Bound, Failure> {
    let mut listeners = Vec::new();
    for addr in clients {
        let listener = Listener::bind(addr).await;
        let listener = listener.map_err(cannot(format!("listen on {addr}")))?;
        listeners.push((addr.clone(), listener));
    }
    let http = match &addresses.admin {
        None => None,
        Some(addr) => {
            let bound = HttpListener::bind(addr).await;
            Some(bound.map_err(cannot(format!("listen on {addr} for HTTP")))?)
        }
    };
    let requests = match &addresses.gateway {
        None => None,
        Some(addr) => {
            let bound = GatewayListener::bind(addr).await;
            Some(bound.map_err(cannot(format!("listen on {addr} for the gateway")))?)
        }
    };
    Ok(Bound {
        listeners,
        http,
        requests,
    })
}
