//! A plain connection to any Redis server, which asks one thing after the other.
//!
//! For servers of which nothing is known: Sentinels, replicas, servers too old for `HELLO`. It speaks
//! RESP2 and logs in with `AUTH`, which all of them understand.

use std::io;
use std::path::PathBuf;
use std::sync::OnceLock;

use tokio_rustls::TlsConnector;

use super::connect::open_socket;
use super::error::UpstreamError;
use super::frame_reader::FrameReader;
use super::tls::client_connector;
use super::write_buf::WriteBuf;
use crate::config::Endpoint;
use crate::stream::Stream;

/// The reply to `AUTH` or `CLIENT SETNAME` is never longer than this.
const HANDSHAKE_BYTES: usize = 4 * 1024;

/// Opens connections to servers of the user's choice.
#[derive(Default)]
pub struct Dialer {
    ca: Option<PathBuf>,
    /// Made when the first server with TLS is met: the system's certificates take a while to read.
    tls: OnceLock<Result<TlsConnector, String>>,
}

/// A connection that is logged in.
#[derive(Debug)]
pub struct DirectConn {
    stream: Stream,
}

impl Dialer {
    /// Trusts the authorities in `ca` when it is given, else the system's.
    #[must_use]
    pub fn new(ca: Option<PathBuf>) -> Self {
        Dialer {
            ca,
            tls: OnceLock::new(),
        }
    }

    /// Connects and logs in. `name` is what the server's `CLIENT LIST` shows. It sets no limit of
    /// time.
    ///
    /// # Cancel safety
    /// Dropping the future closes the socket.
    ///
    /// # Errors
    /// When the socket, TLS or the login fails; [`UpstreamError::Refused`] is the server's word.
    pub async fn dial(&self, endpoint: &Endpoint, name: &str) -> Result<DirectConn, UpstreamError> {
        let failed = |error: io::Error| UpstreamError::Connect {
            address: endpoint.address.to_string(),
            reason: error.to_string(),
        };
        let tls = match endpoint.tls {
            true => Some(self.connector().map_err(failed)?),
            false => None,
        };
        let stream = open_socket(endpoint, tls).await.map_err(failed)?;
        let mut conn = DirectConn { stream };
        if let Some(password) = &endpoint.password {
            let password = password.expose().as_bytes();
            // Before version 6 there are no users, and AUTH takes the password alone.
            let user = endpoint.user.as_deref().filter(|user| *user != "default");
            let reply = match user {
                Some(user) => {
                    conn.handshake(&[b"AUTH", user.as_bytes(), password])
                        .await?
                }
                None => conn.handshake(&[b"AUTH", password]).await?,
            };
            if let Some(error) = reply.strip_prefix(b"-") {
                return Err(UpstreamError::Refused {
                    address: endpoint.address.to_string(),
                    reply: String::from_utf8_lossy(error).trim_end().to_owned(),
                });
            }
        }
        // A server that does not let itself be told a name is asked without one.
        conn.handshake(&[b"CLIENT", b"SETNAME", name.as_bytes()])
            .await?;
        Ok(conn)
    }

    fn connector(&self) -> io::Result<&TlsConnector> {
        let make = || client_connector(self.ca.as_deref()).map_err(|error| error.to_string());
        let made = self.tls.get_or_init(make).as_ref();
        made.map_err(|reason| io::Error::other(reason.clone()))
    }
}

impl std::fmt::Debug for Dialer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dialer").finish_non_exhaustive()
    }
}

impl DirectConn {
    /// Hands over the socket.
    #[must_use]
    pub(super) fn into_stream(self) -> Stream {
        self.stream
    }

    async fn handshake(&mut self, command: &[&[u8]]) -> Result<Vec<u8>, UpstreamError> {
        self.ask(command, HANDSHAKE_BYTES, 0).await
    }

    /// Sends a command and returns its whole reply, an error reply too. `most` bounds the reply,
    /// `likely` is how long it probably is. After a failure the connection is of no more use.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is not one reply of at most `most` bytes.
    pub async fn ask(
        &mut self,
        command: &[&[u8]],
        most: usize,
        likely: usize,
    ) -> Result<Vec<u8>, UpstreamError> {
        let mut request = WriteBuf::default();
        request.command(command);
        request.send(&mut self.stream).await?;
        let mut reader = FrameReader::with_capacity(likely.min(most));
        let reply = reader.reply(&mut self.stream, most).await?;
        if !reader.is_empty() {
            let text = "there is more behind the reply".to_owned();
            return Err(UpstreamError::Protocol(text));
        }
        Ok(reply)
    }
}
