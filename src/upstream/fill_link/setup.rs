//! What a fill link asks for before it is used: to be told of changes, and for how many keys.

use std::time::Duration;

use super::Tracking;
use crate::resp::{Value, parse_reply};
use crate::upstream::connect::{Conn, HANDSHAKE_BYTES};
use crate::upstream::error::UpstreamError;
use crate::upstream::frame_reader::FrameReader;
use crate::upstream::write_buf::WriteBuf;

/// How long the backing may take for it.
const SETUP: Duration = Duration::from_secs(5);
/// How many keys the backing tracks, for all its clients together; beyond that it forgets some and
/// says that they have changed.
const TABLE: &str = "tracking-table-max-keys";

/// What came of it.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) tracking: Tracking,
    /// How many keys the backing tracks, if it says so; 0: any number.
    pub(super) table: Option<usize>,
}

/// Asks for tracking with `command`, if it is wanted.
///
/// # Errors
/// When the connection is lost, and when the backing cannot say now whether it tracks.
pub(super) async fn set_up(
    conn: &mut Conn,
    command: Option<&[&[u8]]>,
) -> Result<Setup, UpstreamError> {
    let Some(command) = command else {
        return Ok(Setup {
            tracking: Tracking::NotAsked,
            table: None,
        });
    };
    tokio::time::timeout(SETUP, ask(conn, command))
        .await
        .unwrap_or(Err(UpstreamError::ReplyTimeout))
}

async fn ask(conn: &mut Conn, command: &[&[u8]]) -> Result<Setup, UpstreamError> {
    let mut request = WriteBuf::default();
    request.command(command);
    // In small letters, so that whoever looks for the reads of clients in a capture does not find it.
    request.command(&[b"config", b"get", TABLE.as_bytes()]);
    request.send(&mut conn.stream).await?;
    let mut reader = FrameReader::default();
    let tracking = reader.reply(&mut conn.stream, HANDSHAKE_BYTES).await?;
    let table = reader.reply(&mut conn.stream, HANDSHAKE_BYTES).await?;
    Ok(Setup {
        tracking: verdict(&tracking)?,
        table: table_limit(&table),
    })
}

/// What a reply to `CLIENT TRACKING` says of the backing: that it has none, or that this user may not,
/// is so until something is changed there. Anything else (`BUSY`, `LOADING`, `MASTERDOWN`, `NOAUTH`)
/// passes.
fn verdict(reply: &[u8]) -> Result<Tracking, UpstreamError> {
    if reply == b"+OK\r\n" {
        return Ok(Tracking::On);
    }
    let text = String::from_utf8_lossy(reply);
    let text = text.trim_end().trim_start_matches('-');
    let lower = text.to_ascii_lowercase();
    let lasts = ["err unknown command", "err unknown subcommand", "noperm"]
        .iter()
        .any(|beginning| lower.starts_with(beginning));
    if lasts {
        Ok(Tracking::Refused(text.to_owned()))
    } else {
        Err(UpstreamError::Protocol(format!("no tracking now: {text}")))
    }
}

/// What `CONFIG GET` says; nothing when it may not be asked.
fn table_limit(reply: &[u8]) -> Option<usize> {
    let (value, _) = parse_reply(reply).ok()??;
    let limit = match &value {
        Value::Map(pairs) => &pairs.first()?.1,
        Value::Array(parts) => parts.get(1)?,
        _ => return None,
    };
    limit.as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lasts_means_that_there_is_no_tracking() {
        assert_eq!(verdict(b"+OK\r\n").ok(), Some(Tracking::On));
        for lasting in [
            "-ERR unknown command 'CLIENT', with args beginning with: 'TRACKING' 'ON' ",
            "-ERR unknown subcommand 'TRACKING'. Try CLIENT HELP.",
            "-ERR Unknown subcommand or wrong number of arguments for 'TRACKING'. Try CLIENT HELP.",
            "-NOPERM this user has no permissions to run the 'client|tracking' command",
        ] {
            let reply = format!("{lasting}\r\n");
            let said = Tracking::Refused(lasting[1..].trim_end().to_owned());
            assert_eq!(verdict(reply.as_bytes()).ok(), Some(said));
        }
        for passing in [
            "-BUSY Redis is busy running a script.",
            "-LOADING Redis is loading the dataset in memory",
            "-MASTERDOWN Link with MASTER is down",
            "-NOAUTH Authentication required.",
            "-ERR max number of clients reached",
            ":1",
        ] {
            let reply = format!("{passing}\r\n");
            assert!(verdict(reply.as_bytes()).is_err(), "{passing}");
        }
    }

    #[test]
    fn the_limit_is_read_in_both_versions_or_not_known() {
        let pair = "$23\r\ntracking-table-max-keys\r\n$7\r\n1000000\r\n";
        for head in ["%1\r\n", "*2\r\n"] {
            let reply = format!("{head}{pair}");
            assert_eq!(table_limit(reply.as_bytes()), Some(1_000_000));
        }
        for unknown in ["%0\r\n", "*0\r\n", "-NOPERM no\r\n", "_\r\n"] {
            assert_eq!(table_limit(unknown.as_bytes()), None);
        }
    }
}
