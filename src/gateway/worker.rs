//! One thread of the gateway: its client connections, and its connections to instances.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tracing::debug;

use super::connect::BUFFER_BYTES;
use super::forward::Forwarder;
use super::place::{Left, Place};
use super::shared::Gateway;
use crate::tasks::{self, Kind};

/// How often idle connections to instances are looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// When the system begins to ask whether a silent client is still there.
const KEEPALIVE: Duration = Duration::from_secs(300);

/// How far the gateway is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    /// Each connection ends after the request that it has.
    Draining,
    /// Everything ends now.
    Ended,
}

/// A client's connection, with its place among all.
pub(super) struct Connection {
    pub(super) socket: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) permit: OwnedSemaphorePermit,
}

/// Where a thread is dealt connections. How many wait there is bounded by their permits.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    sender: UnboundedSender<Connection>,
    /// Connections that were dealt and have not ended.
    pub(super) connections: Arc<AtomicUsize>,
}

impl Mailbox {
    pub(super) fn deal(&self, connection: Connection) {
        self.connections.fetch_add(1, Ordering::Relaxed);
        // A thread that has ended needs none.
        let _ = self.sender.send(connection);
    }
}

/// Starts a thread.
pub(super) fn spawn(
    index: usize,
    gateway: Arc<Gateway>,
    stages: watch::Receiver<Stage>,
) -> io::Result<(Mailbox, JoinHandle<()>)> {
    let (sender, mailbox) = unbounded_channel();
    let connections = Arc::new(AtomicUsize::new(0));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let worker = Worker {
        forwarder: Arc::new(Forwarder::new(gateway)),
        connections: Arc::clone(&connections),
        stages,
    };
    let thread = thread::Builder::new()
        .name(format!("gateway-{index}"))
        .spawn(move || runtime.block_on(worker.run(mailbox)))?;
    Ok((
        Mailbox {
            sender,
            connections,
        },
        thread,
    ))
}

struct Worker {
    forwarder: Arc<Forwarder>,
    connections: Arc<AtomicUsize>,
    stages: watch::Receiver<Stage>,
}

impl Worker {
    async fn run(self, mut mailbox: UnboundedReceiver<Connection>) {
        let mut stages = self.stages.clone();
        let mut serving = JoinSet::new();
        let mut sweep = tokio::time::interval(SWEEP);
        let ended = async move {
            // An error means that the gateway is gone.
            let _ = stages.wait_for(|stage| *stage == Stage::Ended).await;
        };
        tokio::pin!(ended);
        loop {
            tokio::select! {
                Some(connection) = mailbox.recv() => {
                    tasks::run(Kind::Gateway, || self.serve(connection, &mut serving));
                }
                // A connection that panicked is closed, and that was logged.
                Some(_) = serving.join_next() => {}
                _ = sweep.tick() => {
                    tasks::run(Kind::Gateway, || self.forwarder.sweep());
                }
                () = &mut ended => break,
            }
        }
        self.forwarder.close();
    }

    fn serve(&self, connection: Connection, serving: &mut JoinSet<()>) {
        let Connection {
            socket,
            peer,
            permit,
        } = connection;
        let place = Place::new((Left(Arc::clone(&self.connections)), permit));
        let forwarder = Arc::clone(&self.forwarder);
        let stages = self.stages.clone();
        serving.spawn(tasks::named(Kind::Gateway, async move {
            if let Err(error) = serve(socket, (peer, place), forwarder, stages).await {
                debug!("gateway: a client's connection ended: {error}");
            }
        }));
    }
}

async fn serve(
    socket: std::net::TcpStream,
    (peer, place): (SocketAddr, Place),
    forwarder: Arc<Forwarder>,
    mut stages: watch::Receiver<Stage>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let socket = TcpStream::from_std(socket)?;
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(KEEPALIVE);
    socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    let limit = forwarder.timeout();
    let mut stream = TimeoutStream::new(socket);
    stream.set_write_timeout(Some(limit));
    let service = service_fn(move |request| {
        let forwarder = Arc::clone(&forwarder);
        let who = (peer.ip(), Arc::clone(&place));
        async move { Ok::<_, Infallible>(forwarder.serve(request, who).await) }
    });
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .max_buf_size(BUFFER_BYTES);
    let connection = builder
        .serve_connection(TokioIo::new(Box::pin(stream)), service)
        .with_upgrades();
    tokio::pin!(connection);
    tokio::select! {
        served = connection.as_mut() => return Ok(served?),
        _ = stages.wait_for(|stage| *stage != Stage::Serving) => {}
    }
    connection.as_mut().graceful_shutdown();
    Ok(connection.await?)
}
