//! Everything that listens, while the server runs: a reload opens and closes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::bound::{self, Bound};
use super::gateway::HttpAddresses;
use super::handover::Inherited;
use super::{Failure, cannot, worker_threads};
use crate::config::{Config, ListenAddr};
use crate::gateway::{Gateway, GatewayListener, Running};
use crate::http::{Guard, Sources};
use crate::session::listener::Listener;
use crate::session::shared::Shared;
use crate::tasks::{self, Kind};

/// What connections are served with.
pub(super) struct Served {
    pub(super) shared: Arc<Shared>,
    /// TLS for clients, as it is now.
    pub(super) tls: Arc<ArcSwapOption<TlsAcceptor>>,
    pub(super) guard: Arc<Guard>,
    pub(super) sources: Sources,
    pub(super) gateway: Arc<Gateway>,
}

/// Where to listen.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// For Redis clients.
    pub(super) clients: Vec<ListenAddr>,
    /// The two of HTTP.
    pub(super) http: HttpAddresses,
    /// Threads of the gateway, and its connections.
    pub(super) gateway: (usize, usize),
}

impl Wanted {
    /// What a configuration wants; the HTTP side also has what the services file names.
    pub(super) fn new(config: &Config, http: HttpAddresses) -> Self {
        Wanted {
            clients: config.listen.clone(),
            http,
            gateway: (config.gateway.threads, config.gateway.connections),
        }
    }
}

/// The open listeners.
pub(super) struct Listening {
    served: Served,
    wanted: Wanted,
    clients: Vec<Open>,
    pages: Option<Open>,
    gateway: Option<Running>,
    /// Gateways whose listener is closed and whose connections have not all ended.
    ending: Vec<Running>,
}

/// One that accepts connections.
struct Open {
    wanted: ListenAddr,
    addr: SocketAddr,
    /// Tells it to close by itself, if it can.
    closing: Option<Arc<Listener>>,
    task: JoinHandle<()>,
    socket: Arc<dyn AsFd + Send + Sync>,
}

/// How long a listener may take to serve those who have connected to it, when it is closed.
const CLOSING: Duration = Duration::from_secs(1);

impl Open {
    /// Closes the listener; its connections go on.
    async fn close(mut self) {
        if let Some(closing) = self.closing.take() {
            closing.close();
            drop(closing);
            // Else it is aborted.
            let _ = timeout(CLOSING, &mut self.task).await;
        }
        if self.task.is_finished() {
            info!("closed:   {}", self.addr);
            return;
        }
        self.task.abort();
        // It was ended on purpose.
        let _ = self.task.await;
        info!("closed:   {}", self.addr);
    }
}

impl Listening {
    /// Listens nowhere yet.
    pub(super) fn new(served: Served, wanted: &Wanted) -> Self {
        Listening {
            served,
            wanted: Wanted {
                clients: Vec::new(),
                http: HttpAddresses::default(),
                gateway: wanted.gateway,
            },
            clients: Vec::new(),
            pages: None,
            gateway: None,
            ending: Vec::new(),
        }
    }

    /// Serves on what is bound. What clients may ask for has to be there.
    pub(super) fn start(&mut self, wanted: Wanted, bound: Bound) -> Result<(), Failure> {
        self.serve(bound, &wanted)?;
        self.wanted = wanted;
        Ok(())
    }

    /// Binds what has to be opened for `wanted`; [`Listening::change`] serves on it. After an error it
    /// listens where it did.
    pub(super) async fn bind(&mut self, wanted: &Wanted) -> Result<Bound, Failure> {
        let missing = self.missing(wanted);
        match bound::bind(&missing.clients, &missing.http, &mut Inherited::default()).await {
            // An address may be taken by one that is to be closed: all of a host's, and one of them.
            Err(error) if error.is_taken() => {}
            bound => return bound,
        }
        let before = self.wanted.clone();
        self.close_all_but(wanted).await;
        let bound = bound::bind(&missing.clients, &missing.http, &mut Inherited::default()).await;
        if bound.is_err() {
            self.restore(&before).await;
        }
        bound
    }

    /// Listens there and nowhere else. Listeners that stay where they are lose nothing; connections of
    /// those that are closed go on.
    pub(super) async fn change(&mut self, wanted: Wanted, bound: Bound) -> Result<(), Failure> {
        self.close_all_but(&wanted).await;
        self.serve(bound, &wanted)?;
        self.wanted = wanted;
        Ok(())
    }

    async fn restore(&mut self, before: &Wanted) {
        let missing = self.missing(before);
        let served =
            match bound::bind(&missing.clients, &missing.http, &mut Inherited::default()).await {
                Ok(bound) => self.serve(bound, before),
                Err(error) => Err(error),
            };
        if let Err(error) = served {
            warn!("{error}: it was closed for another listener and is not open again");
        }
    }

    /// What has to be opened.
    fn missing(&self, wanted: &Wanted) -> Missing {
        let mut open: Vec<&ListenAddr> = self.clients.iter().map(|open| &open.wanted).collect();
        let is_new = |addr: &&ListenAddr| match open.iter().position(|open| open == addr) {
            Some(at) => {
                open.swap_remove(at);
                false
            }
            None => true,
        };
        let pages = self.pages.as_ref().map(|open| &open.wanted);
        let admin = wanted.http.admin.clone();
        let gateway = wanted.http.gateway.clone();
        Missing {
            clients: wanted.clients.iter().filter(is_new).cloned().collect(),
            http: HttpAddresses {
                admin: admin.filter(|addr| pages != Some(addr)),
                gateway: gateway.filter(|_| !self.keeps_gateway(wanted)),
            },
        }
    }

    fn keeps_gateway(&self, wanted: &Wanted) -> bool {
        self.gateway.is_some()
            && self.wanted.http.gateway == wanted.http.gateway
            && self.wanted.gateway == wanted.gateway
    }

    async fn close_all_but(&mut self, wanted: &Wanted) {
        let stays = |open: &Open| wanted.clients.contains(&open.wanted);
        let (stay, leave): (Vec<_>, Vec<_>) = self.clients.drain(..).partition(stays);
        self.clients = stay;
        for open in leave {
            open.close().await;
        }
        let leaves = |open: &mut Open| wanted.http.admin.as_ref() != Some(&open.wanted);
        if let Some(pages) = self.pages.take_if(leaves) {
            pages.close().await;
        }
        let keeps = self.keeps_gateway(wanted);
        if let Some(mut gateway) = self.gateway.take_if(|_| !keeps) {
            gateway.close().await;
            gateway.drain();
            self.ending.push(gateway);
        }
        for gateway in self
            .ending
            .extract_if(.., |gateway| gateway.connections() == 0)
        {
            // Its threads take a moment to end.
            tokio::task::spawn_blocking(|| gateway.end());
        }
    }

    /// Serves on what was bound for `wanted`.
    fn serve(&mut self, bound: Bound, wanted: &Wanted) -> Result<(), Failure> {
        let Bound {
            listeners,
            http,
            requests,
        } = bound;
        for (wanted, listener) in listeners {
            self.serve_clients(wanted, listener);
        }
        if let (Some(http), Some(wanted)) = (http, &wanted.http.admin) {
            let addr = http.addr();
            let http = Arc::new(http);
            let (guard, sources) = (Arc::clone(&self.served.guard), self.served.sources.clone());
            self.pages = Some(Open {
                wanted: wanted.clone(),
                addr,
                closing: None,
                socket: Arc::clone(&http) as _,
                task: tokio::spawn(tasks::keep(Kind::Http, move || {
                    let (guard, sources) = (Arc::clone(&guard), sources.clone());
                    Arc::clone(&http).serve(guard, sources)
                })),
            });
            info!("http:     http://{addr}");
        }
        if let Some(requests) = requests {
            self.gateway = Some(self.serve_requests(requests, wanted.gateway)?);
        }
        Ok(())
    }

    fn serve_clients(&mut self, wanted: ListenAddr, listener: Listener) {
        let addr = listener.addr();
        let shared = Arc::clone(&self.served.shared);
        let tls = Arc::clone(&self.served.tls);
        let scheme = if tls.load().is_some() {
            "rediss"
        } else {
            "redis"
        };
        info!("clients:  {scheme}://{addr}");
        let listener = Arc::new(listener);
        let closing = Some(Arc::clone(&listener));
        let socket = Arc::clone(&listener) as _;
        let task = tokio::spawn(tasks::keep(Kind::Listener, move || {
            let (shared, tls) = (Arc::clone(&shared), Arc::clone(&tls));
            Arc::clone(&listener).accept(shared, tls)
        }));
        self.clients.push(Open {
            wanted,
            addr,
            closing,
            task,
            socket,
        });
    }

    fn serve_requests(
        &self,
        listener: GatewayListener,
        (threads, _): (usize, usize),
    ) -> Result<Running, Failure> {
        info!("gateway:  http://{}", listener.addr());
        let running = listener.start(&self.served.gateway, worker_threads(threads));
        running.map_err(cannot("start the gateway"))
    }

    /// Accepts no more connections but those of the admin pages, and lets the gateway's end.
    pub(super) async fn drain(&mut self) {
        for open in self.clients.drain(..) {
            open.task.abort();
            let _ = open.task.await; // ended on purpose
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.drain();
        }
    }

    /// The listening sockets, for another process.
    pub(super) fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let open = self.clients.iter().chain(&self.pages);
        let open = open.map(|open| open.socket.as_fd().try_clone_to_owned());
        let gateway = self.gateway.as_ref().map(Running::descriptor);
        let gateway = gateway.and_then(Result::transpose);
        open.chain(gateway).collect()
    }

    /// Accepts nothing any more: another process does.
    pub(super) async fn hand_over(&mut self) {
        for open in self.clients.drain(..).chain(self.pages.take()) {
            open.close().await;
        }
        if let Some(mut gateway) = self.gateway.take() {
            gateway.close().await;
            gateway.drain();
            self.ending.push(gateway);
        }
    }

    /// Connections of the gateway now.
    pub(super) fn connections(&self) -> usize {
        let running = self.gateway.iter().chain(&self.ending);
        running.map(Running::connections).sum()
    }

    /// The gateway's threads, to be ended.
    pub(super) fn take_gateways(&mut self) -> Vec<Running> {
        self.gateway
            .take()
            .into_iter()
            .chain(self.ending.drain(..))
            .collect()
    }
}

/// What has to be bound.
struct Missing {
    clients: Vec<ListenAddr>,
    http: HttpAddresses,
}
