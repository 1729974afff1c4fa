//! Asks servers behind on connections of which nobody else makes use.

use std::time::Duration;

use tokio::time::timeout;

use super::Backing;
use crate::config::Endpoint;
use crate::stream::Stream;
use crate::upstream::connect::{Conn, ConnectOptions, connect};
use crate::upstream::error::{Sent, UpstreamError};
use crate::upstream::frame_reader::FrameReader;
use crate::upstream::write_buf::WriteBuf;

/// The reply to `COMMAND` is never longer than this.
const COMMAND_REPLY_BYTES: usize = 16 * 1024 * 1024;

impl Backing {
    /// Asks on a connection that is opened for this one question: shared ones may be stuck behind a script.
    ///
    /// # Errors
    /// When no connection can be opened, or no reply comes within `limit`; with it whether the command was sent.
    pub async fn ask_apart(
        &self,
        options: ConnectOptions<'_>,
        command: &[&[u8]],
        limit: Duration,
    ) -> Result<Vec<u8>, (UpstreamError, Sent)> {
        let opened = self.connect_patiently(options).await;
        let mut conn = opened.map_err(|error| (error, Sent::No))?;
        let said = ask(&mut conn, command, limit).await;
        said.map_err(|error| (error, Sent::Yes))
    }

    /// The same of a replica, which answers reads of what it has.
    ///
    /// # Errors
    /// As those of [`Backing::ask_apart`].
    pub async fn ask_replica(
        &self,
        replica: &Endpoint,
        options: ConnectOptions<'_>,
        command: &[&[u8]],
        limit: Duration,
    ) -> Result<Vec<u8>, (UpstreamError, Sent)> {
        let tls = self.tls.load_full();
        let user = self.credentials(options.key.login);
        let user = user.map_err(|error| (error, Sent::No))?;
        let opened = connect(replica, user.as_deref(), tls.as_deref(), options).await;
        let (mut stream, _) = opened.map_err(|error| (error, Sent::No))?;
        if self.is_cluster {
            let said = exchange(&mut stream, &[b"READONLY"], limit).await;
            said.map_err(|error| (error, Sent::No))?;
        }
        let said = exchange(&mut stream, command, limit).await;
        said.map_err(|error| (error, Sent::Yes))
    }
}

/// Asks on a connection of which nobody else makes use.
pub(in crate::upstream) async fn ask(
    conn: &mut Conn,
    command: &[&[u8]],
    limit: Duration,
) -> Result<Vec<u8>, UpstreamError> {
    exchange(&mut conn.stream, command, limit).await
}

async fn exchange(
    stream: &mut Stream,
    command: &[&[u8]],
    limit: Duration,
) -> Result<Vec<u8>, UpstreamError> {
    let mut request = WriteBuf::default();
    request.command(command);
    let exchange = async {
        request.send(stream).await?;
        let mut reader = FrameReader::default();
        reader.reply(stream, COMMAND_REPLY_BYTES).await
    };
    timeout(limit, exchange)
        .await
        .unwrap_or(Err(UpstreamError::ReplyTimeout))
}
