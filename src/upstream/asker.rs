//! A connection that asks the backing a few things in one go, for whoever needs the words of a server and no certain one.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::backing::Backing;
use super::connect::{Conn, ConnectOptions, HANDSHAKE_BYTES};
use super::error::UpstreamError;
use super::frame_reader::FrameReader;
use super::link_key::LinkKey;
use super::topology::HOME;
use super::write_buf::WriteBuf;
use crate::resp::Proto;

/// How long one node of several is tried.
const ATTEMPT: Duration = Duration::from_secs(1);

/// The connection, which is opened when it is needed.
pub struct Asker {
    backing: Arc<Backing>,
    name: &'static str,
    conn: Option<Conn>,
}

impl Asker {
    /// No connection yet. `name` is what `CLIENT LIST` of the backing shows.
    #[must_use]
    pub fn new(backing: Arc<Backing>, name: &'static str) -> Self {
        Asker {
            backing,
            name,
            conn: None,
        }
    }

    /// Sends these commands and gives their replies, each of at most 64 KiB. They are sent once more when a connection
    /// that was open has been closed meanwhile.
    ///
    /// # Errors
    /// When no node can be reached, or none answers within `limit`.
    pub async fn ask(
        &mut self,
        commands: &[&[&[u8]]],
        limit: Duration,
    ) -> Result<Vec<Vec<u8>>, UpstreamError> {
        if let Some(conn) = self.conn.take()
            && let Ok(replies) = self.exchange(conn, commands, limit).await
        {
            return Ok(replies);
        }
        let conn = self.connect(limit).await?;
        self.exchange(conn, commands, limit).await
    }

    async fn exchange(
        &mut self,
        mut conn: Conn,
        commands: &[&[&[u8]]],
        limit: Duration,
    ) -> Result<Vec<Vec<u8>>, UpstreamError> {
        let mut request = WriteBuf::default();
        commands.iter().for_each(|command| request.command(command));
        let exchange = async {
            request.send(&mut conn.stream).await?;
            let mut reader = FrameReader::default();
            let mut replies = Vec::with_capacity(commands.len());
            for _ in commands {
                replies.push(reader.reply(&mut conn.stream, HANDSHAKE_BYTES).await?);
            }
            Ok(replies)
        };
        let replies = timeout(limit, exchange).await;
        let replies = replies.unwrap_or(Err(UpstreamError::ReplyTimeout))?;
        self.conn = Some(conn);
        Ok(replies)
    }

    /// Opens a connection to the first node of a cluster that can be reached, or to the one server.
    async fn connect(&self, limit: Duration) -> Result<Conn, UpstreamError> {
        let options = |node, timeout| ConnectOptions {
            key: LinkKey::new(node, 0, Proto::Resp2),
            name: self.name,
            timeout,
        };
        if !self.backing.is_cluster() {
            return self.backing.connect_patiently(options(HOME, limit)).await;
        }
        let topology = self.backing.topology();
        let mut failed = UpstreamError::NoMaster;
        for places in 0..topology.nodes().len() {
            let Some(node) = topology.node_after(HOME, places) else {
                break;
            };
            match self
                .backing
                .connect(options(node, ATTEMPT.min(limit)))
                .await
            {
                Ok(conn) => return Ok(conn),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }
}
