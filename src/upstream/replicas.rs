//! How many replicas have what a master has: what `WAIT` answers, of writes on other connections.
//!
//! `WAIT` counts for the connection that it comes on, from Redis 7.2 on only what was written there. So the master's own
//! account is read (`ROLE`), and a `WAIT` for more replicas than there are has it ask them how far they are.

use std::time::{Duration, Instant};

use super::backing::Backing;
use super::backing::apart::ask;
use super::connect::ConnectOptions;
use super::error::UpstreamError;
use super::link_key::LinkKey;
use super::topology::NodeId;
use crate::resp::{Proto, Value, parse_reply};

/// Between two looks, from the first to the longest.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_millis(50);
/// More replicas than any master has.
const ALL: &str = "1000000";

/// Waits until `wanted` replicas have all that the node has now, or until `end`; gives how many there are. Nothing is
/// waited for that was not `wrote`.
///
/// # Cancel safety
/// Dropping the future closes its connection.
///
/// # Errors
/// When the node cannot be asked, or is a replica.
pub async fn replicated(
    backing: &Backing,
    node: NodeId,
    wrote: bool,
    wanted: usize,
    end: Option<Instant>,
    connect: Duration,
) -> Result<usize, UpstreamError> {
    let options = ConnectOptions {
        key: LinkKey::new(node, backing.first_db(), Proto::Resp2),
        name: "respite-wait",
        timeout: connect,
    };
    let mut conn = backing.connect_patiently(options).await?;
    let mut written = None;
    let mut look = FIRST_LOOK;
    loop {
        let reply = ask(&mut conn, &[b"ROLE"], connect).await?;
        let Some((offset, replicas)) = offsets(&reply) else {
            return Err(UpstreamError::Demoted);
        };
        let written = *written.get_or_insert(if wrote { offset } else { 0 });
        let count = replicas.iter().filter(|at| **at >= written).count();
        let left = end.map(|end| end.saturating_duration_since(Instant::now()));
        if count >= wanted || left.is_some_and(|left| left.is_zero()) {
            return Ok(count);
        }
        let time = left.map_or(look, |left| left.min(look));
        let millis = time.as_millis().max(1).to_string();
        let wait: [&[u8]; 3] = [b"WAIT", ALL.as_bytes(), millis.as_bytes()];
        ask(&mut conn, &wait, connect + time).await?;
        look = (look * 2).min(LAST_LOOK);
    }
}

/// How far a master is and how far its replicas are, in the reply to `ROLE`; none of a replica.
fn offsets(reply: &[u8]) -> Option<(i64, Vec<i64>)> {
    let Ok(Some((Value::Array(parts), _))) = parse_reply(reply) else {
        return None;
    };
    if parts.first()?.as_bytes()? != b"master" {
        return None;
    }
    let offset = parts.get(1)?.as_int()?;
    let Value::Array(replicas) = parts.get(2)? else {
        return None;
    };
    let of = |replica: &Value<'_>| {
        let Value::Array(parts) = replica else {
            return None;
        };
        let text = std::str::from_utf8(parts.get(2)?.as_bytes()?).ok()?;
        text.parse().ok()
    };
    Some((offset, replicas.iter().filter_map(of).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_tells_how_far_its_replicas_are() {
        let reply =
            b"*3\r\n$6\r\nmaster\r\n:120\r\n*2\r\n*3\r\n$1\r\na\r\n$1\r\n1\r\n$3\r\n120\r\n\
            *3\r\n$1\r\nb\r\n$1\r\n2\r\n$2\r\n98\r\n";
        assert_eq!(offsets(reply), Some((120, vec![120, 98])));
        let replica = b"*5\r\n$5\r\nslave\r\n$1\r\na\r\n:1\r\n$9\r\nconnected\r\n:5\r\n";
        assert_eq!(offsets(replica), None);
    }
}
