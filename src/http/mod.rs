//! The admin listener: whether the server is alive, and whether it is of use.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::config::ListenAddr;
use crate::upstream::Backing;

const INDEX: &str =
    "respite\n\n/health  the process is alive\n/ready   the backing Redis is usable\n";

/// The bound admin listener.
#[derive(Debug)]
pub struct HttpListener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl HttpListener {
    /// Binds an address.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(addr: &ListenAddr) -> io::Result<Self> {
        let socket = TcpListener::bind(addr.as_str()).await?;
        let addr = socket.local_addr()?;
        Ok(HttpListener { socket, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves, for ever.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn serve(self, backing: Arc<Backing>) -> io::Result<()> {
        let routes = Router::new()
            .route("/", get(async || INDEX))
            .route("/health", get(async || "alive\n"))
            .route("/ready", get(ready))
            .with_state(backing);
        axum::serve(self.socket, routes).await
    }
}

async fn ready(State(backing): State<Arc<Backing>>) -> (StatusCode, &'static str) {
    if backing.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the backing Redis is not usable\n",
        )
    }
}
