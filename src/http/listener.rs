//! The bound admin listener and its connections.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tower_service::Service;
use tracing::{debug, warn};

use super::access::{Guard, is_free};
use super::answers::too_many;
use super::pages::{Sources, routes};
use super::places::{Place, Places};
use crate::config::ListenAddr;
use crate::tasks::{self, Kind};

/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(60);
/// The bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// How long a connection that has to give way may take to send what it has written.
const FAREWELL: Duration = Duration::from_millis(100);

/// The bound admin listener.
#[derive(Debug)]
pub struct HttpListener {
    socket: TcpListener,
    addr: SocketAddr,
}

impl AsFd for HttpListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
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

    /// One that listens already.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn of(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        let socket = TcpListener::from_std(socket)?;
        Ok(HttpListener { socket, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves, for ever.
    pub async fn serve(self: Arc<Self>, guard: Arc<Guard>, sources: Sources) {
        let routes = routes(guard, sources);
        let places = Places::new();
        loop {
            match self.socket.accept().await {
                Ok((socket, peer)) => {
                    let (routes, place) = (routes.clone(), places.take());
                    tokio::spawn(tasks::named(Kind::Http, async move {
                        if let Err(error) = serve(socket, peer, place, routes).await {
                            debug!("an HTTP connection ended: {error}");
                        }
                    }));
                }
                Err(error) => {
                    // Out of descriptors or memory: what is connected has to go first.
                    warn!("cannot accept an HTTP connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

async fn serve(
    socket: TcpStream,
    peer: SocketAddr,
    place: Place,
    routes: axum::Router,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    socket.set_nodelay(true)?;
    let mut stream = tokio_io_timeout::TimeoutStream::new(socket);
    stream.set_write_timeout(Some(IDLE));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let busy = place.begin();
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let mut routes = routes.clone();
        let refused = place.reserved && !is_free(request.uri().path());
        async move {
            let response = match refused {
                true => too_many(),
                false => routes.call(request).await?,
            };
            Ok::<_, Infallible>(response.map(|body| busy.until_sent(body)))
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return Ok(served?),
        () = place.given_up() => {}
    }
    connection.as_mut().graceful_shutdown();
    match tokio::time::timeout(FAREWELL, connection).await {
        Ok(served) => Ok(served?),
        Err(_) => Err("it gave way to a newer one".into()),
    }
}
