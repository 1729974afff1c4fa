//! Opening one connection to the backing: socket, TLS, `HELLO`, `SELECT`.

use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use super::accounts::Credentials;
use super::error::UpstreamError;
use super::frame_reader::FrameReader;
use super::link_key::LinkKey;
use super::open_conns::MasterStream;
use super::server_hello::ServerHello;
use super::write_buf::WriteBuf;
use crate::config::{Address, Endpoint};
use crate::resp::{Value, parse_reply};
use crate::stream::Stream;

/// A reply of the handshake is never longer than this.
pub(super) const HANDSHAKE_BYTES: usize = 64 * 1024;

/// A peer that acknowledges nothing for so long has vanished.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// A connection to the backing that is ready for commands.
#[derive(Debug)]
pub struct Conn {
    /// The socket; nothing is left unread on it.
    pub stream: MasterStream,
    /// What it is good for.
    pub key: LinkKey,
    /// What the backing said in its `HELLO`.
    pub hello: ServerHello,
    /// Whether the master may become another server: then `READONLY` says that it has.
    pub follows: bool,
}

/// What a connection is opened for.
#[derive(Debug, Clone, Copy)]
pub struct ConnectOptions<'a> {
    /// What it is to be good for.
    pub key: LinkKey,
    /// Name that `CLIENT LIST` of the backing shows.
    pub name: &'a str,
    /// Limit for all of it.
    pub timeout: Duration,
}

/// Opens a connection to `endpoint`, with its own login unless there is another.
///
/// # Cancel safety
/// Dropping the future closes the socket.
///
/// # Errors
/// When the socket, TLS or the handshake fails, or `options.timeout` passes first.
pub(super) async fn connect(
    endpoint: &Endpoint,
    login: Option<&Credentials>,
    tls: Option<&TlsConnector>,
    options: ConnectOptions<'_>,
) -> Result<(Stream, ServerHello), UpstreamError> {
    timeout(options.timeout, open(endpoint, login, tls, options))
        .await
        .unwrap_or_else(|_| {
            Err(UpstreamError::ConnectTimeout {
                address: endpoint.address.to_string(),
                millis: options.timeout.as_millis(),
            })
        })
}

async fn open(
    endpoint: &Endpoint,
    login: Option<&Credentials>,
    tls: Option<&TlsConnector>,
    options: ConnectOptions<'_>,
) -> Result<(Stream, ServerHello), UpstreamError> {
    let mut stream = open_socket(endpoint, tls)
        .await
        .map_err(|error| UpstreamError::Connect {
            address: endpoint.address.to_string(),
            reason: error.to_string(),
        })?;
    let refused = |reply: String| UpstreamError::Refused {
        address: endpoint.address.to_string(),
        reply,
    };

    let mut request = WriteBuf::default();
    let version = options.key.proto.number().to_string();
    let mut hello: Vec<&[u8]> = vec![b"HELLO", version.as_bytes()];
    let own = || {
        let password = endpoint.password.as_ref()?;
        let user = endpoint.user.as_deref().unwrap_or("default");
        Some((user.as_bytes(), password.expose().as_bytes()))
    };
    let login = match login {
        Some(login) => login.password.as_ref().map(|it| (&*login.user, &**it)),
        None => own(),
    };
    if let Some((user, password)) = login {
        hello.extend([b"AUTH".as_slice(), user, password]);
    }
    hello.extend([b"SETNAME".as_slice(), options.name.as_bytes()]);
    request.command(&hello);
    let db = options.key.db.to_string();
    if options.key.db != 0 {
        request.command(&[b"SELECT", db.as_bytes()]);
    }
    request.send(&mut stream).await?;

    let mut reader = FrameReader::default();
    let reply = reader.reply(&mut stream, HANDSHAKE_BYTES).await?;
    let (value, used) = decode(&reply)?;
    if let Value::Error(text) = value {
        return Err(refused(String::from_utf8_lossy(text).into_owned()));
    }
    let hello = ServerHello::from_reply(&value)
        .ok_or_else(|| UpstreamError::Protocol("HELLO was not answered with a map".into()))?;
    debug_assert_eq!(used, reply.len());
    if options.key.db != 0 {
        let reply = reader.reply(&mut stream, HANDSHAKE_BYTES).await?;
        if let (Value::Error(text), _) = decode(&reply)? {
            return Err(refused(String::from_utf8_lossy(text).into_owned()));
        }
    }
    Ok((stream, hello))
}

/// Opens the socket, and TLS over it where the endpoint wants it.
pub(super) async fn open_socket(
    endpoint: &Endpoint,
    tls: Option<&TlsConnector>,
) -> std::io::Result<Stream> {
    match &endpoint.address {
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
        Address::Tcp { host, port } => {
            let socket = TcpStream::connect((host.as_str(), *port)).await?;
            if let Some(only_at) = &endpoint.only_at
                && endpoint.password.is_some()
                && !only_at.allows(socket.peer_addr()?)
            {
                return Err(std::io::Error::other(format!(
                    "the credential is not meant for {}",
                    socket.peer_addr()?
                )));
            }
            socket.set_nodelay(true)?;
            keep_alive(&socket)?;
            if !endpoint.tls {
                return Ok(Stream::Tcp(socket));
            }
            let connector = tls.ok_or_else(|| std::io::Error::other("TLS is not set up"))?;
            let name = ServerName::try_from(host.clone()).map_err(std::io::Error::other)?;
            let stream = connector.connect(name, socket).await?;
            Ok(Stream::Tls(Box::new(stream.into())))
        }
    }
}

/// Lets the system notice a peer that vanished without a word.
fn keep_alive(socket: &TcpStream) -> std::io::Result<()> {
    let probes = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(15))
        .with_interval(Duration::from_secs(5));
    let socket = socket2::SockRef::from(socket);
    // Probes are not sent while something is unacknowledged: then this counts.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.set_tcp_keepalive(&probes)
}

/// Decodes one whole reply; with it comes its length.
pub(super) fn decode(reply: &[u8]) -> Result<(Value<'_>, usize), UpstreamError> {
    match parse_reply(reply) {
        Ok(Some(parsed)) => Ok(parsed),
        Ok(None) => Err(UpstreamError::Protocol("a reply ended early".into())),
        Err(error) => Err(UpstreamError::Protocol(error.to_string())),
    }
}
