//! Everything that listens: bound before anything else starts.

use tracing::info;

use super::gateway::HttpAddresses;
use super::{Failure, cannot};
use crate::config::Config;
use crate::gateway::GatewayListener;
use crate::http::HttpListener;
use crate::session::listener::Listener;

/// The bound listeners.
pub(super) struct Bound {
    /// For Redis clients.
    pub(super) listeners: Vec<Listener>,
    /// The admin pages.
    pub(super) http: Option<HttpListener>,
    /// Requests to be forwarded.
    pub(super) requests: Option<GatewayListener>,
}

/// Binds every address.
pub(super) async fn bind(config: &Config, addresses: &HttpAddresses) -> Result<Bound, Failure> {
    let mut listeners = Vec::new();
    for addr in &config.listen {
        let listener = Listener::bind(addr).await;
        listeners.push(listener.map_err(cannot(format!("listen on {addr}")))?);
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

impl Bound {
    /// Says who listens where. `backing` is what stands behind.
    pub(super) fn announce(&self, backing: &str, workers: usize, tls: bool) {
        info!(
            "respite {} with {workers} workers",
            env!("CARGO_PKG_VERSION")
        );
        for listener in &self.listeners {
            let scheme = if tls { "rediss" } else { "redis" };
            info!("clients:  {scheme}://{}", listener.addr());
        }
        info!("backing:  {backing}");
        match &self.http {
            Some(http) => info!("http:     http://{}", http.addr()),
            None => info!("http:     off"),
        }
        if let Some(gateway) = &self.requests {
            info!("gateway:  http://{}", gateway.addr());
        }
    }
}
