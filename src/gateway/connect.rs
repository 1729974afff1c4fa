//! Connections to instances, plain or TLS.

use std::io;
use std::time::Duration;

use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::body::RequestBody;
use crate::config::ServerUrl;
use crate::stream::Stream;
use crate::tasks::{self, Kind};

/// The bytes of a head, and of a body that are read ahead.
pub(super) const BUFFER_BYTES: usize = 64 * 1024;

/// Opens connections.
#[derive(Clone)]
pub struct Connector {
    tls: Option<TlsConnector>,
}

impl Connector {
    /// A connector that checks the certificates of `https://` servers with `tls`; without it they
    /// cannot be reached.
    pub fn new(tls: Option<TlsConnector>) -> Self {
        Connector { tls }
    }

    /// Connects within `limit`.
    pub(super) async fn connect(&self, url: &ServerUrl, limit: Duration) -> io::Result<Stream> {
        let connected = tokio::time::timeout(limit, self.open(url)).await;
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn open(&self, url: &ServerUrl) -> io::Result<Stream> {
        let socket = TcpStream::connect((url.host.as_str(), url.port)).await?;
        socket.set_nodelay(true)?;
        if !url.tls {
            return Ok(Stream::Tcp(socket));
        }
        let Some(tls) = &self.tls else {
            let text = "there are no certificates to check it with";
            return Err(io::Error::new(io::ErrorKind::Unsupported, text));
        };
        let name = ServerName::try_from(url.host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let stream = tls.connect(name, socket).await?;
        Ok(Stream::Tls(Box::new(stream.into())))
    }
}

/// Makes an HTTP connection of a stream; a task of its own serves it until it closes.
pub(super) async fn speak_http(stream: Stream) -> hyper::Result<SendRequest<RequestBody>> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(BUFFER_BYTES);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    tokio::spawn(tasks::named(Kind::Gateway, async move {
        if let Err(error) = connection.with_upgrades().await {
            debug!("gateway: a connection to an instance ended: {error}");
        }
    }));
    Ok(sender)
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("tls", &self.tls.is_some())
            .finish()
    }
}
