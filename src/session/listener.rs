//! Accepts connections and deals them to the workers.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tracing::{debug, warn};

use super::mailbox::{NewClient, Socket, ToWorker};
use super::shared::Shared;
use crate::config::{ListenAddr, ServerTls};

/// What a listening socket queues while nobody accepts.
const BACKLOG: i32 = 1024;
/// A client that says nothing for so long is asked by TCP whether it is there.
const KEEPALIVE: Duration = Duration::from_secs(300);
/// So many connections are accepted before others have their turn.
const TURN: usize = 64;
const DENIED: &[u8] = b"-DENIED Respite is running in protected mode because no users are \
    configured and it listens on all interfaces. In this mode connections are only accepted from \
    the loopback interface. To accept others: configure [[access.users]], or listen on one \
    address of this host instead of all, or set access.protected_mode to false.\r\n";
const TOO_MANY: &[u8] = b"-ERR max number of clients reached\r\n";

/// One listening socket.
#[derive(Debug)]
pub struct Listener {
    /// Not tokio's: that would have its reactor know each client that it accepts, although only a worker's is to know it.
    socket: mio::net::TcpListener,
    /// The same descriptor, as what tokio can watch without accepting.
    watched: TcpStream,
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
            match bind_one(addr).and_then(Listener::of) {
                Ok(listener) => return Ok(listener),
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
        // What Linux lets a client's socket inherit need not be asked for each time.
        adjust(&socket)?;
        Ok(Listener {
            addr: socket.local_addr()?,
            watched: TcpStream::from_std(OwnedFd::from(socket.try_clone()?).into())?,
            socket: mio::net::TcpListener::from_std(socket),
            closing: Notify::new(),
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
        let admit = |socket: OwnedFd, peer| {
            let (listener, shared) = (Arc::clone(&self), Arc::clone(&shared));
            let tls = tls.load_full();
            async move { listener.admit(socket, peer, &shared, tls.as_deref()).await }
        };
        'open: loop {
            tokio::select! {
                // What it says is seen when one is accepted.
                _ = self.watched.readable() => {}
                () = self.closing.notified() => break,
            }
            for _ in 0..TURN {
                let accept = || self.socket.accept();
                match self.watched.try_io(Interest::READABLE, accept) {
                    Ok((socket, peer)) => admit(socket.into(), peer).await,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue 'open,
                    Err(error) => {
                        // Out of descriptors or memory: what is connected has to go first.
                        warn!("cannot accept a connection: {error}");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue 'open;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        for (socket, peer) in self.waiting() {
            admit(socket.into(), peer).await;
        }
    }

    /// Has it accept no more connections. The socket is closed when nobody has it any more.
    pub fn close(&self) {
        self.closing.notify_one();
    }

    /// Those who have connected and were not accepted.
    fn waiting(&self) -> impl Iterator<Item = (mio::net::TcpStream, SocketAddr)> {
        // It does not block: an error is the end, or a client that has left.
        std::iter::from_fn(|| self.socket.accept().ok())
    }

    async fn admit(
        &self,
        socket: OwnedFd,
        peer: SocketAddr,
        shared: &Arc<Shared>,
        tls: Option<&TlsAcceptor>,
    ) {
        let socket = std::net::TcpStream::from(socket);
        // `[::ffff:0.0.0.0]` is every address of IPv4.
        let everywhere = self.addr.ip().to_canonical().is_unspecified();
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
        if cfg!(not(target_os = "linux"))
            && let Err(error) = adjust(&socket)
        {
            return debug!("lost a client before it was served: {error}");
        }
        let laddr = match everywhere {
            false => Ok(self.addr),
            true => socket.local_addr(),
        };
        match laddr {
            Ok(laddr) => {
                let (addr, laddr) = (peer.to_string(), laddr.to_string());
                deal(shared, Socket::Tcp(socket), addr, laddr, tls.cloned());
            }
            Err(error) => debug!("lost a client before it was served: {error}"),
        }
    }
}

/// What every client's socket has: replies leave at once, and a client that is gone is noticed.
fn adjust<'a>(socket: impl Into<socket2::SockRef<'a>>) -> io::Result<()> {
    let socket = socket.into();
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&socket2::TcpKeepalive::new().with_time(KEEPALIVE))
}

fn bind_one(addr: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(addr),
        socket2::Type::STREAM,
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
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

async fn turn_away(socket: std::net::TcpStream, why: &[u8], shared: &Shared) {
    shared.clients.reject();
    let Ok(mut socket) = TcpStream::from_std(socket) else {
        return;
    };
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
    use std::io::{Read, Write};
    use std::net::TcpStream;

    async fn listener() -> Listener {
        let any: ListenAddr = "127.0.0.1:0".parse().expect("an address");
        Listener::bind(&any).await.expect("bound")
    }

    #[tokio::test]
    async fn whoever_has_connected_is_not_turned_away_by_closing() {
        let listener = listener().await;
        let addr = listener.addr();
        let connect = || TcpStream::connect(addr);
        let mut clients: Vec<_> = (0..3).map(|_| connect().expect("connected")).collect();
        let waiting: Vec<_> = listener.waiting().collect();
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
        for (mut socket, _) in waiting {
            assert_eq!(socket.write(b"x").expect("sent"), 1);
        }
        for client in &mut clients {
            let mut byte = [0];
            client.read_exact(&mut byte).expect("served");
        }
    }

    #[tokio::test]
    async fn what_is_accepted_is_adjusted() {
        let bound = listener().await;
        let taken_over = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let taken_over = Listener::of(taken_over).expect("it listens");
        for listener in [bound, taken_over] {
            let _client = TcpStream::connect(listener.addr()).expect("connected");
            let (socket, _) = listener.waiting().next().expect("a client");
            let socket = TcpStream::from(OwnedFd::from(socket));
            if cfg!(not(target_os = "linux")) {
                adjust(&socket).expect("adjusted");
            }
            let shown = socket2::SockRef::from(&socket);
            assert!(shown.tcp_nodelay().expect("an option"));
            assert!(shown.keepalive().expect("an option"));
            assert_eq!(shown.tcp_keepalive_time().expect("an option"), KEEPALIVE);
            assert!(shown.nonblocking().expect("an option"));
        }
    }
}
