//! One poll: connects if need be, asks for INFO, judges the answer.

use std::sync::Arc;
use std::time::Instant;

use super::super::shard::Trouble;
use super::super::snapshot::Snapshot;
use super::super::watcher::Found;
use crate::config::Endpoint;
use crate::resp::{Value, parse_reply};
use crate::upstream::{Dialer, DirectConn, UpstreamError};

/// What most servers answer fits.
const LIKELY_BYTES: usize = 8 * 1024;
/// What the servers' `CLIENT LIST` shows.
const NAME: &str = "respite-poller";

/// How INFO is asked for, the most first: servers that do not know a word answer nothing to it.
const FORMS: [&[&[u8]]; 3] = [&[b"INFO", b"everything"], &[b"INFO", b"all"], &[b"INFO"]];

/// A connection to a shard, kept from poll to poll.
#[derive(Debug)]
pub(super) struct PollConn {
    conn: DirectConn,
    endpoint: Endpoint,
    /// The first of [`FORMS`] that the server answers.
    form: usize,
    /// How long its INFO was.
    likely: usize,
}

/// What a poll brought.
#[derive(Debug)]
pub(super) enum Outcome {
    /// An answer, and the connection for the next poll.
    Answered {
        snapshot: Snapshot,
        asked: Instant,
        conn: Box<PollConn>,
    },
    /// None.
    Failed(Trouble, String),
}

/// Polls. Sets no limit of time.
pub(super) async fn poll(
    dialer: Arc<Dialer>,
    found: &Found,
    known: Option<Box<PollConn>>,
) -> Outcome {
    let endpoint = found.target.endpoint.clone();
    let most = found.most_info();
    let known = known.filter(|known| known.endpoint == endpoint);
    if let Some(mut known) = known {
        match known.info(most).await {
            Ok((snapshot, asked)) => {
                return Outcome::Answered {
                    snapshot,
                    asked,
                    conn: known,
                };
            }
            // The server may have closed it, or been replaced, since the last poll.
            Err(Failure::Upstream(UpstreamError::Lost(_))) => {}
            Err(failure) => return failure.outcome(),
        }
    }
    let opened = Box::pin(dialer.dial(&endpoint, NAME)).await;
    let mut conn = match opened {
        Ok(conn) => Box::new(PollConn {
            conn,
            endpoint,
            form: 0,
            likely: LIKELY_BYTES,
        }),
        Err(error) => return Failure::Upstream(error).outcome(),
    };
    match conn.info(most).await {
        Ok((snapshot, asked)) => Outcome::Answered {
            snapshot,
            asked,
            conn,
        },
        Err(failure) => failure.outcome(),
    }
}

#[derive(Debug)]
enum Failure {
    Upstream(UpstreamError),
    /// The server's own error reply.
    Refused(String),
    /// It answered something else.
    NotInfo,
}

impl PollConn {
    async fn info(&mut self, most: usize) -> Result<(Snapshot, Instant), Failure> {
        loop {
            let asked = Instant::now();
            let command = FORMS[self.form];
            let reply = self.conn.ask(command, most, self.likely).await;
            let reply = reply.map_err(Failure::Upstream)?;
            let last = self.form + 1 == FORMS.len();
            match text(reply) {
                Ok(text) if text.is_empty() && !last => self.form += 1,
                Ok(text) => {
                    self.likely = text.len() + 64;
                    let snapshot = Snapshot::new(text).ok_or(Failure::NotInfo)?;
                    return Ok((snapshot, asked));
                }
                Err(Failure::Refused(error)) if !last && is_syntax(&error) => self.form += 1,
                Err(failure) => return Err(failure),
            }
        }
    }
}

/// Takes the text out of a reply.
fn text(mut reply: Vec<u8>) -> Result<Vec<u8>, Failure> {
    let (from, len) = match parse_reply(&reply) {
        Ok(Some((Value::Bulk(text) | Value::Verbatim(text), used))) => {
            let tag = if reply.first() == Some(&b'=') { 4 } else { 0 };
            (used - 2 - text.len() + tag, text.len() - tag)
        }
        Ok(Some((Value::Error(text) | Value::BulkError(text), _))) => {
            let text: String = String::from_utf8_lossy(text).chars().take(200).collect();
            return Err(Failure::Refused(text));
        }
        _ => return Err(Failure::NotInfo),
    };
    reply.truncate(from + len);
    reply.drain(..from);
    Ok(reply)
}

/// Whether an error means that the server does not know the section.
fn is_syntax(error: &str) -> bool {
    let error = error.to_ascii_lowercase();
    error.contains("syntax") || error.contains("wrong number of arguments")
}

impl Failure {
    fn outcome(self) -> Outcome {
        match self {
            Failure::Refused(text) => Outcome::Failed(trouble(&text), text),
            Failure::NotInfo => Outcome::Failed(
                Trouble::Other,
                "INFO was answered with something else".into(),
            ),
            Failure::Upstream(error) => {
                let refused = |reply: &str| match trouble(reply) {
                    // Whatever AUTH is refused for.
                    Trouble::Other => Trouble::Auth,
                    trouble => trouble,
                };
                let (trouble, text) = match error {
                    UpstreamError::Refused { reply, .. } => (refused(&reply), reply),
                    UpstreamError::Connect { reason, .. } => {
                        (Trouble::Other, format!("cannot connect: {reason}"))
                    }
                    UpstreamError::Lost(reason) => {
                        (Trouble::Other, format!("connection lost: {reason}"))
                    }
                    UpstreamError::Protocol(reason) => {
                        (Trouble::Other, format!("not the Redis protocol: {reason}"))
                    }
                    other => (Trouble::Other, other.to_string()),
                };
                Outcome::Failed(trouble, text.chars().take(200).collect())
            }
        }
    }
}

/// What an error reply says about the server.
fn trouble(error: &str) -> Trouble {
    match error.split(' ').next() {
        Some("NOAUTH" | "WRONGPASS" | "NOPERM") => Trouble::Auth,
        Some("LOADING") => Trouble::Loading,
        // Redis before version 6.
        _ if error.contains("invalid password") => Trouble::Auth,
        _ => Trouble::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_is_taken_out_of_its_reply() {
        for reply in [&b"$5\r\na:1\r\n\r\n"[..], b"=9\r\ntxt:a:1\r\n\r\n"] {
            assert_eq!(text(reply.to_vec()).expect("text"), b"a:1\r\n");
        }
        assert_eq!(text(b"$0\r\n\r\n".to_vec()).expect("text"), b"");
        for reply in [&b"+OK\r\n"[..], b":1\r\n", b"$-1\r\n", b"*0\r\n"] {
            assert!(matches!(text(reply.to_vec()), Err(Failure::NotInfo)));
        }
        let refused = text(b"-NOAUTH Authentication required.\r\n".to_vec());
        assert!(matches!(refused, Err(Failure::Refused(text)) if trouble(&text) == Trouble::Auth));
    }

    #[test]
    fn errors_tell_what_is_the_matter() {
        for (error, expected) in [
            ("WRONGPASS invalid username-password pair", Trouble::Auth),
            ("ERR invalid password", Trouble::Auth),
            ("NOPERM this user has no permissions", Trouble::Auth),
            (
                "LOADING Redis is loading the dataset in memory",
                Trouble::Loading,
            ),
            ("ERR unknown command", Trouble::Other),
            ("", Trouble::Other),
        ] {
            assert_eq!(trouble(error), expected, "{error}");
        }
    }
}
