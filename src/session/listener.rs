//! Accepts connections and deals them to the workers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tracing::{debug, warn};

use super::mailbox::{NewClient, Socket, ToWorker};
use super::shared::Shared;
use crate::config::{ListenAddr, ServerTls};

/// What a listening socket queues while nobody accepts.
const BACKLOG: u32 = 1024;
const DENIED: &[u8] = b"-DENIED Respite is running in protected mode because no users are \
    configured and it listens on all interfaces. In this mode connections are only accepted from \
    the loopback interface. To accept others: configure [[access.users]], or listen on one \
    address of this host instead of all, or set access.protected_mode to false.\r\n";
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    addr: SocketAddr,
    closing: Notify,
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Listener {
    /// Binds an address.
    ///
    /// # Errors
    /// When the name does not resolve or the address cannot be bound.
    pub async fn bind(addr: &ListenAddr) -> io::Result<Self> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for addr in tokio::net::lookup_host(addr.as_str()).await? {
            match bind_one(addr) {
                Ok(socket) => {
                    let addr = socket.local_addr()?;
                    let closing = Notify::new();
                    return Ok(Listener {
                        socket,
                        addr,
                        closing,
                    });
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// One that listens already.
    ///
    /// # Errors
    /// When the system does not know it.
    pub fn of(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        let addr = socket.local_addr()?;
        let socket = TcpListener::from_std(socket)?;
        let closing = Notify::new();
        Ok(Listener {
            socket,
            addr,
            closing,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Accepts clients, with TLS when there is an acceptor at that moment, until it is told to close. Those who have
    /// connected by then are served as well.
    pub async fn accept(
        self: Arc<Self>,
        shared: Arc<Shared>,
        tls: Arc<ArcSwapOption<TlsAcceptor>>,
    ) {
        // `[::ffff:0.0.0.0]` is every address of IPv4.
        let everywhere = self.addr.ip().to_canonical().is_unspecified();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = self.closing.notified() => break,
            };
            match accepted {
                Ok((socket, peer)) => {
                    let tls = tls.load_full();
                    admit(socket, peer, everywhere, &shared, tls.as_deref()).await;
                }
                Err(error) => {
                    // Out of descriptors or memory: what is connected has to go first.
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        for (socket, peer) in self.waiting() {
            let tls = tls.load_full();
            admit(socket, peer, everywhere, &shared, tls.as_deref()).await;
        }
    }

    /// Has it accept no more connections. The socket is closed when nobody has it any more.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Those who have connected and were not accepted.
    fn waiting(&self) -> Vec<(TcpStream, SocketAddr)> {
        let mut waiting = Vec::new();
        let Ok(socket) = self.socket.as_fd().try_clone_to_owned() else {
            return waiting;
        };
        let socket = std::net::TcpListener::from(socket);
        // It does not block: an error is the end, or a client that has left.
        while let Ok((client, peer)) = socket.accept() {
            let client = client
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(client));
            waiting.extend(client.ok().map(|client| (client, peer)));
        }
        waiting
    }
}

fn bind_one(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4()?,
        SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(BACKLOG)
}

async fn admit(
    socket: TcpStream,
    peer: SocketAddr,
    everywhere: bool,
    shared: &Arc<Shared>,
    tls: Option<&TlsAcceptor>,
) {
    let settings = shared.settings();
    // Where the backing lets everybody in, there are no users either.
    let open = match shared.users() {
        Some(users) => users.may_be_open(),
        None => settings.access.is_open(),
    };
    let protected = settings.protected_mode && open && everywhere;
    if protected && !peer.ip().to_canonical().is_loopback() {
        return turn_away(socket, DENIED, shared).await;
    }
    if shared.clients.len() >= settings.limits.clients {
        return turn_away(socket, TOO_MANY, shared).await;
    }
    let prepared = prepare(socket);
    let (socket, laddr) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => return debug!("lost a client before it was served: {error}"),
    };
    let socket = Socket::Tcp(socket);
    deal(shared, socket, peer.to_string(), laddr, tls.cloned());
}

/// Gives a client to a worker.
pub(super) fn deal(
    shared: &Shared,
    socket: Socket,
    addr: String,
    laddr: String,
    tls: Option<TlsAcceptor>,
) {
    let worker = least_loaded(shared);
    shared.stats[worker].clients.fetch_add(1, Ordering::Relaxed);
    let db = shared.backing.first_db();
    let entry = shared.clients.add(worker, addr, laddr, db);
    let client = NewClient { socket, entry, tls };
    shared.tell(worker, ToWorker::Serve(client));
}

fn prepare(socket: TcpStream) -> io::Result<(std::net::TcpStream, String)> {
    socket.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(300));
    socket2::SockRef::from(&socket).set_tcp_keepalive(&keepalive)?;
    let laddr = socket.local_addr()?.to_string();
    Ok((socket.into_std()?, laddr))
}

async fn turn_away(mut socket: TcpStream, why: &[u8], shared: &Shared) {
    shared.clients.reject();
    // The text fits any socket buffer; a client that is gone needs none.
    let _ = tokio::time::timeout(Duration::from_millis(100), socket.write_all(why)).await;
}

/// The worker with the fewest clients.
fn least_loaded(shared: &Shared) -> usize {
    let clients = |worker: &usize| shared.stats[*worker].clients.load(Ordering::Relaxed);
    (0..shared.stats.len()).min_by_key(clients).unwrap_or(0)
}

/// TLS for clients, from PEM files.
///
/// # Errors
/// When a file cannot be read or does not hold what it should.
pub fn acceptor(tls: &ServerTls) -> io::Result<TlsAcceptor> {
    let bad = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{}: {error}", path.display()),
        )
    };
    let read = |path: &Path| -> io::Result<Vec<CertificateDer<'static>>> {
        CertificateDer::pem_file_iter(path)
            .and_then(Iterator::collect)
            .map_err(|error| bad(path, &error))
    };
    let chain = read(&tls.cert)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| bad(&tls.key, &error))?;
    let config = match &tls.client_ca {
        None => ServerConfig::builder().with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for cert in read(path)? {
                roots.add(cert).map_err(|error| bad(path, &error))?;
            }
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots))
                .build()
                .map_err(|error| bad(path, &error))?;
            ServerConfig::builder().with_client_cert_verifier(verifier)
        }
    };
    let config = config
        .with_single_cert(chain, key)
        .map_err(|error| bad(&tls.cert, &error))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[tokio::test]
    async fn whoever_has_connected_is_not_turned_away_by_closing() {
        let any: ListenAddr = "127.0.0.1:0".parse().expect("an address");
        let listener = Listener::bind(&any).await.expect("bound");
        let addr = listener.addr();
        let connect = || std::net::TcpStream::connect(addr);
        let mut clients: Vec<_> = (0..3).map(|_| connect().expect("connected")).collect();
        let waiting = listener.waiting();
        drop(listener);
        assert!(connect().is_err(), "it is closed");
        let mut peers: Vec<_> = waiting.iter().map(|(_, peer)| *peer).collect();
        peers.sort();
        let own = clients
            .iter()
            .map(|client| client.local_addr().expect("one"));
        let mut own: Vec<_> = own.collect();
        own.sort();
        assert_eq!(peers, own);
        for (socket, _) in waiting {
            socket.writable().await.expect("open");
            assert_eq!(socket.try_write(b"x").expect("sent"), 1);
        }
        for client in &mut clients {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("served");
        }
    }
}
