//! What one sentinel, or one server, says when it is asked.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::{Address, SentinelSet};
use crate::resp::Value;
use crate::upstream::connect::decode;
use crate::upstream::{Dialer, DirectConn, UpstreamError};

/// How long a sentinel or a server may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// A reply about one master is never longer than this.
const REPLY_BYTES: usize = 1024 * 1024;
/// Replicas and other sentinels that one answer may name.
const MOST_NAMED: usize = 256;

/// What a sentinel says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    /// The sentinel's own id, or its address where it has none.
    pub(super) id: String,
    pub(super) says: Says,
    /// The replicas of the master.
    pub(super) replicas: Vec<Address>,
    /// The other sentinels of the master.
    pub(super) sentinels: Vec<Address>,
}

/// What a sentinel says of the master.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    /// Where it is.
    Master(Address),
    /// It does not know that name, but these.
    Unknown(Vec<String>),
}

/// Asks a sentinel.
pub(super) async fn sentinel(
    dialer: &Dialer,
    set: &SentinelSet,
    address: &Address,
) -> Result<Answer, UpstreamError> {
    timeout(LIMIT, ask_sentinel(dialer, set, address))
        .await
        .unwrap_or(Err(UpstreamError::ReplyTimeout))
}

async fn ask_sentinel(
    dialer: &Dialer,
    set: &SentinelSet,
    address: &Address,
) -> Result<Answer, UpstreamError> {
    let mut conn = dialer
        .dial(&set.sentinel(address.clone()), "respite-sentinel")
        .await?;
    let name = set.master.as_bytes();
    // Before version 6.2 a sentinel does not tell its id.
    let question: [&[u8]; 2] = [b"SENTINEL", b"MYID"];
    let id = ask(&mut conn, &question, |value| {
        value.as_str().map(str::to_owned)
    });
    let id = id.await?.unwrap_or_else(|| address.to_string());
    let question: [&[u8]; 3] = [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", name];
    let reply = conn.ask(&question, REPLY_BYTES, 0).await?;
    let master = match decode(&reply)?.0 {
        Value::Error(text) => return Err(refused(address, text)),
        value => named(&value),
    };
    let Some(master) = master else {
        let question: [&[u8]; 2] = [b"SENTINEL", b"MASTERS"];
        let names = ask(&mut conn, &question, |value| {
            Some(fields(value, &[b"name"]))
        });
        let names = names.await?.unwrap_or_default();
        let names = names.into_iter().map(|[name]| name).collect();
        return Ok(Answer {
            id,
            says: Says::Unknown(names),
            replicas: Vec::new(),
            sentinels: Vec::new(),
        });
    };
    let mut others = [Vec::new(), Vec::new()];
    for (found, what) in others.iter_mut().zip([&b"REPLICAS"[..], b"SENTINELS"]) {
        let question: [&[u8]; 3] = [b"SENTINEL", what, name];
        let addresses = ask(&mut conn, &question, |value| {
            let pairs = fields(value, &[b"ip", b"port"]).into_iter();
            Some(
                pairs
                    .filter_map(|[ip, port]| address_of(&ip, &port))
                    .collect(),
            )
        });
        *found = addresses.await?.unwrap_or_default();
        found.truncate(MOST_NAMED);
        found.sort_by_key(Address::to_string);
    }
    let [replicas, sentinels] = others;
    Ok(Answer {
        id,
        says: Says::Master(master),
        replicas,
        sentinels,
    })
}

/// Whether a server says that it is a master.
pub(super) async fn is_master(
    dialer: &Dialer,
    set: &SentinelSet,
    address: &Address,
) -> Result<bool, UpstreamError> {
    let exchange = async {
        let endpoint = set.server(address.clone());
        let mut conn = dialer.dial(&endpoint, "respite-role").await?;
        let reply = conn.ask(&[b"ROLE"], REPLY_BYTES, 0).await?;
        match decode(&reply)?.0 {
            Value::Error(text) => Err(refused(address, text)),
            Value::Array(parts) => Ok(parts.first().and_then(Value::as_str) == Some("master")),
            _ => Err(UpstreamError::Protocol(
                "a ROLE that is no array".to_owned(),
            )),
        }
    };
    timeout(LIMIT, exchange)
        .await
        .unwrap_or(Err(UpstreamError::ReplyTimeout))
}

/// Asks something whose refusal does not matter: none then.
async fn ask<T>(
    conn: &mut DirectConn,
    question: &[&[u8]],
    read: impl FnOnce(&Value<'_>) -> Option<T>,
) -> Result<Option<T>, UpstreamError> {
    let reply = conn.ask(question, REPLY_BYTES, 0).await?;
    Ok(match decode(&reply)?.0 {
        Value::Error(_) => None,
        value => read(&value),
    })
}

fn refused(address: &Address, text: &[u8]) -> UpstreamError {
    UpstreamError::Refused {
        address: address.to_string(),
        reply: String::from_utf8_lossy(text).into_owned(),
    }
}

/// The address in a reply of two strings.
fn named(value: &Value<'_>) -> Option<Address> {
    let Value::Array(parts) = value else {
        return None;
    };
    match parts.as_slice() {
        [host, port] => address_of(host.as_str()?, port.as_str()?),
        _ => None,
    }
}

fn address_of(host: &str, port: &str) -> Option<Address> {
    let port = port.parse().ok().filter(|port| *port != 0)?;
    let host = Some(host).filter(|host| !host.is_empty())?.to_owned();
    Some(Address::Tcp { host, port })
}

/// The fields of these names, of each of the flat arrays that stand for maps.
fn fields<const N: usize>(value: &Value<'_>, names: &[&[u8]; N]) -> Vec<[String; N]> {
    let Value::Array(entries) = value else {
        return Vec::new();
    };
    let field = |entry: &[Value<'_>], name: &[u8]| {
        let mut pairs = entry.chunks_exact(2);
        let found = pairs.find(|pair| pair[0].as_bytes() == Some(name))?;
        found[1].as_str().map(str::to_owned)
    };
    let read = |entry: &Value<'_>| {
        let Value::Array(entry) = entry else {
            return None;
        };
        let mut found = [const { String::new() }; N];
        for (slot, name) in found.iter_mut().zip(names) {
            *slot = field(entry, name)?;
        }
        Some(found)
    };
    entries.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Address {
        let host = host.to_owned();
        Address::Tcp { host, port }
    }

    #[test]
    fn an_address_is_two_strings() {
        for (reply, address) in [
            (
                &b"*2\r\n$1\r\nh\r\n$4\r\n6379\r\n"[..],
                Some(tcp("h", 6379)),
            ),
            (b"*-1\r\n", None),
            (b"*2\r\n$1\r\nh\r\n$1\r\n0\r\n", None),
            (b"*2\r\n$0\r\n\r\n$1\r\n1\r\n", None),
            (b"*1\r\n$1\r\nh\r\n", None),
            (b"$1\r\nh\r\n", None),
        ] {
            assert_eq!(named(&decode(reply).expect("a reply").0), address);
        }
    }

    #[test]
    fn fields_are_read_in_any_order_and_entries_without_them_left_out() {
        let reply = b"*3\r\n*4\r\n$4\r\nport\r\n$1\r\n7\r\n$2\r\nip\r\n$1\r\na\r\n\
            *2\r\n$2\r\nip\r\n$1\r\nb\r\n$1\r\nx\r\n";
        let found = fields(&decode(reply).expect("a reply").0, &[b"ip", b"port"]);
        assert_eq!(found, [["a".to_owned(), "7".to_owned()]]);
        assert!(fields(&decode(b"+OK\r\n").expect("a reply").0, &[b"ip"]).is_empty());
    }
}
