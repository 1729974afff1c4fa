//! Accepts connections for the gateway and deals them to its threads.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tracing::warn;

use super::shared::Gateway;
use super::worker::{self, Connection, Mailbox, Stage};
use crate::config::ListenAddr;
use crate::tasks::{self, Kind};

/// The bound listener of the gateway.
#[derive(Debug)]
pub struct GatewayListener {
    socket: Arc<TcpListener>,
    addr: SocketAddr,
}

/// The gateway's threads.
#[derive(Debug)]
pub struct Running {
    stage: watch::Sender<Stage>,
    accepting: JoinHandle<()>,
    /// None once it is closed.
    socket: Option<Arc<TcpListener>>,
    connections: Arc<Semaphore>,
    most: usize,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl GatewayListener {
    /// Binds an address.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub async fn bind(addr: &ListenAddr) -> io::Result<Self> {
        let socket = Arc::new(TcpListener::bind(addr.as_str()).await?);
        let addr = socket.local_addr()?;
        Ok(GatewayListener { socket, addr })
    }

    /// One that listens already.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn of(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        let socket = Arc::new(TcpListener::from_std(socket)?);
        Ok(GatewayListener { socket, addr })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves on so many threads of its own.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(self, gateway: &Arc<Gateway>, threads: usize) -> io::Result<Running> {
        let (stage, stages) = watch::channel(Stage::Serving);
        let mut mailboxes = Vec::<Mailbox>::new();
        let mut handles = Vec::new();
        for index in 0..threads.max(1) {
            let (mailbox, thread) = worker::spawn(index, Arc::clone(gateway), stages.clone())?;
            mailboxes.push(mailbox);
            handles.push(thread);
        }
        let most = gateway.settings().connections;
        let connections = Arc::new(Semaphore::new(most));
        let permits = Arc::clone(&connections);
        let listens = Arc::clone(&self.socket);
        let accepting = move || {
            let socket = Arc::clone(&listens);
            accept(socket, mailboxes.clone(), Arc::clone(&permits))
        };
        Ok(Running {
            stage,
            accepting: tokio::spawn(tasks::keep(Kind::Gateway, accepting)),
            socket: Some(self.socket),
            connections,
            most,
            threads: handles,
        })
    }
}

impl Running {
    /// Closes the listener, and returns when that is done.
    pub async fn close(&mut self) {
        self.socket = None;
        self.accepting.abort();
        // It was ended on purpose.
        let _ = (&mut self.accepting).await;
    }

    /// Its listening socket, for another process; none once it is closed.
    ///
    /// # Errors
    /// When the system gives no descriptor.
    pub fn descriptor(&self) -> io::Result<Option<OwnedFd>> {
        let socket = self.socket.as_ref();
        socket
            .map(|socket| socket.as_fd().try_clone_to_owned())
            .transpose()
    }

    /// Accepts no more connections, and ends each after the request that it has.
    pub fn drain(&mut self) {
        self.socket = None;
        self.accepting.abort();
        self.stage.send_replace(Stage::Draining);
    }

    /// Client connections now.
    pub fn connections(&self) -> usize {
        self.most - self.connections.available_permits().min(self.most)
    }

    /// Ends every connection and the threads. Blocks until they are gone.
    pub fn end(self) {
        self.stage.send_replace(Stage::Ended);
        for thread in self.threads {
            let _ = thread.join(); // a panic was logged
        }
    }
}

async fn accept(socket: Arc<TcpListener>, mailboxes: Vec<Mailbox>, connections: Arc<Semaphore>) {
    loop {
        // The semaphore is never closed.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match socket.accept().await {
            Ok((socket, peer)) => {
                let least = mailboxes
                    .iter()
                    .min_by_key(|mailbox| mailbox.connections.load(Ordering::Relaxed));
                let Ok(socket) = socket.into_std() else {
                    continue;
                };
                if let Some(mailbox) = least {
                    mailbox.deal(Connection {
                        socket,
                        peer,
                        permit,
                    });
                }
            }
            Err(error) => {
                // Out of descriptors or memory: what is connected has to go first.
                warn!("gateway: cannot accept a connection: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
