//! `GET /keys/{key}?db=`: the value of a key, read as a Redis client reads it.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

use super::access::{Login, Viewer, login};
use super::answers::{error, json_response, unauthorized};
use super::query::query;
use crate::resp::{parse_reply, write_command};

/// Values beyond this are for Redis clients.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// Keys that are read at the same time: as many values may be in memory.
const MOST_READS: usize = 16;
/// How long a read may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A client of this very server.
#[derive(Debug)]
pub struct KeyClient {
    /// Where its requests are written and its replies read. It does not block.
    pub stream: StdUnixStream,
    /// How many of its reads were answered from the cache.
    pub hits: Arc<AtomicU64>,
}

/// Opens a client that shows as one at an address, and to which no user's rules apply if it is trusted;
/// none when there are too many.
pub type OpenKeyClient =
    Arc<dyn Fn(SocketAddr, bool) -> io::Result<Option<KeyClient>> + Send + Sync>;

/// Reads keys.
#[derive(Clone)]
pub(super) struct Keys {
    open: OpenKeyClient,
    permits: Arc<Semaphore>,
}

/// What a read came to, other than a reply.
enum Failure {
    Io(io::Error),
    TooLarge,
    Refused(Vec<u8>),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Io(error)
    }
}

impl Keys {
    pub(super) fn new(open: OpenKeyClient) -> Self {
        Keys {
            open,
            permits: Arc::new(Semaphore::new(MOST_READS)),
        }
    }

    pub(super) async fn get(
        &self,
        uri: &Uri,
        viewer: Viewer,
        headers: &HeaderMap,
        peer: SocketAddr,
    ) -> Response {
        let path = uri.path().strip_prefix("/keys/").unwrap_or_default();
        let key: Vec<u8> = percent_decode_str(path).collect();
        let db = match query(uri, "db").map(|db| db.parse::<u32>()) {
            None => None,
            Some(Ok(db)) => Some(db),
            Some(Err(_)) => return error(StatusCode::BAD_REQUEST, "db must be a number"),
        };
        // The session that reads the key logs in itself: its rights are those of its user.
        let login = match viewer {
            Viewer::User(_) => login(headers),
            Viewer::Anybody | Viewer::Token => None,
        };
        // The semaphore is never closed.
        let _permit = self.permits.acquire().await;
        let reading = self.read(&key, db, viewer, login, peer);
        match tokio::time::timeout(LIMIT, reading).await {
            Ok(Ok((value, source))) => reply(value, source),
            Ok(Err(failure)) => failed(&failure),
            Err(_) => error(
                StatusCode::GATEWAY_TIMEOUT,
                "the backing has not answered in time",
            ),
        }
    }

    async fn read(
        &self,
        key: &[u8],
        db: Option<u32>,
        viewer: Viewer,
        login: Option<Login>,
        peer: SocketAddr,
    ) -> Result<(Option<Vec<u8>>, &'static str), Failure> {
        let Some(client) = (self.open)(peer, viewer == Viewer::Token)? else {
            return Err(Failure::Refused(
                b"ERR max number of clients reached".to_vec(),
            ));
        };
        let mut stream = UnixStream::from_std(client.stream)?;
        if let Some(Login { user, password }) = login {
            call(&mut stream, &[b"AUTH", &user, &password]).await?;
        }
        if let Some(db) = db {
            call(&mut stream, &[b"SELECT", db.to_string().as_bytes()]).await?;
        }
        let value = call(&mut stream, &[b"GET", key]).await?;
        let local = client.hits.load(Ordering::Relaxed) > 0;
        Ok((value, if local { "local" } else { "redis" }))
    }
}

/// Runs a command; gives the text of its reply, none for a null.
async fn call(stream: &mut UnixStream, words: &[&[u8]]) -> Result<Option<Vec<u8>>, Failure> {
    let mut request = Vec::new();
    write_command(&mut request, words);
    stream.write_all(&request).await?;
    let mut buffer = Vec::new();
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(Failure::Io(io::ErrorKind::UnexpectedEof.into()));
        }
        // The header says how much is to come: nothing is parsed twice for a large value.
        match announced(&buffer) {
            Some(bytes) if bytes > MOST_BYTES => return Err(Failure::TooLarge),
            Some(bytes) if buffer.len() < bytes => {
                buffer.reserve(bytes - buffer.len());
                continue;
            }
            _ => {}
        }
        let bad = |_| io::Error::from(io::ErrorKind::InvalidData);
        if let Some((reply, _)) = parse_reply(&buffer).map_err(bad)? {
            if buffer.starts_with(b"-") {
                let text = buffer.trim_ascii_end().get(1..).unwrap_or_default();
                return Err(Failure::Refused(text.to_vec()));
            }
            return Ok(reply.as_bytes().map(<[u8]>::to_vec));
        }
    }
}

/// How long a bulk reply is, header and all.
fn announced(buffer: &[u8]) -> Option<usize> {
    let end = memchr::memchr(b'\n', buffer)?;
    let length = buffer.get(1..end)?.trim_ascii_end();
    let length: usize = std::str::from_utf8(length).ok()?.parse().ok()?;
    (buffer.first() == Some(&b'$')).then(|| length.saturating_add(end + 3))
}

fn reply(value: Option<Vec<u8>>, source: &str) -> Response {
    let status = match value {
        Some(_) => StatusCode::OK,
        None => StatusCode::NOT_FOUND,
    };
    let value = match value.map(String::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => Value::String(text),
        Some(Err(bytes)) => json!({ "base64": BASE64_STANDARD.encode(bytes.as_bytes()) }),
    };
    json_response(status, &json!({ "value": value, "source": source }))
}

fn failed(failure: &Failure) -> Response {
    let text = match failure {
        Failure::Io(io) => {
            let text = format!("cannot read the key: {io}");
            return error(StatusCode::SERVICE_UNAVAILABLE, &text);
        }
        Failure::TooLarge => {
            let text = format!("the value has more than {MOST_BYTES} bytes");
            return error(StatusCode::PAYLOAD_TOO_LARGE, &text);
        }
        Failure::Refused(text) => String::from_utf8_lossy(text),
    };
    let status = match text.split(' ').next().unwrap_or_default() {
        "WRONGPASS" | "NOAUTH" => return unauthorized(&HeaderMap::new()),
        "NOPERM" => StatusCode::FORBIDDEN,
        "WRONGTYPE" => StatusCode::BAD_REQUEST,
        "ERR" if text.contains("DB index") => StatusCode::BAD_REQUEST,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    error(status, &text)
}
