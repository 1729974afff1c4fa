//! Hearing of failovers from one sentinel.

use std::sync::Arc;

use futures_util::StreamExt;
use redis::aio::PubSub;
use redis::{ProtocolVersion, RedisConnectionInfo};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::LIMIT;
use crate::backoff::Backoff;
use crate::config::{Address, SentinelSet};
use crate::upstream::bounded::{Bounded, MESSAGE_BYTES};
use crate::upstream::{Dialer, UpstreamError};

/// The channel on which a sentinel tells that a master has become another server.
const CHANNEL: &str = "+switch-master";

/// Tells `news` whenever a sentinel says that the master has changed, and whenever something of
/// that kind may have been missed.
pub(super) async fn hear(
    dialer: Arc<Dialer>,
    set: Arc<SentinelSet>,
    address: Address,
    news: Arc<Notify>,
) {
    let mut backoff = Backoff::default();
    loop {
        match timeout(LIMIT, subscribe(&dialer, &set, &address)).await {
            Ok(Ok(mut events)) => {
                backoff.reset();
                news.notify_one();
                let mut messages = events.on_message();
                while let Some(message) = messages.next().await {
                    let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
                    if text.split(' ').next() == Some(set.master.as_str()) {
                        debug!(%address, "switch-master: {text}");
                        news.notify_one();
                    }
                }
            }
            Ok(Err(error)) => debug!(%address, "not subscribed to the sentinel: {error}"),
            Err(_) => debug!(%address, "not subscribed to the sentinel in time"),
        }
        sleep(backoff.next()).await;
    }
}

async fn subscribe(
    dialer: &Dialer,
    set: &SentinelSet,
    address: &Address,
) -> Result<PubSub, UpstreamError> {
    let endpoint = set.sentinel(address.clone());
    let conn = dialer.dial(&endpoint, "respite-sentinel").await?;
    let info = RedisConnectionInfo::default()
        .set_protocol(ProtocolVersion::RESP2)
        .set_skip_set_lib_name();
    let lost = |error: redis::RedisError| UpstreamError::Lost(error.to_string());
    let mut events = PubSub::new(&info, Bounded::new(conn.into_stream(), MESSAGE_BYTES))
        .await
        .map_err(lost)?;
    events.subscribe(CHANNEL).await.map_err(lost)?;
    Ok(events)
}
