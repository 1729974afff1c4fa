//! What a node of a cluster says of the whole.

use std::time::Duration;

use tokio::time::timeout;

use crate::config::{Address, ClusterSeeds};
use crate::resp::Value;
use crate::upstream::connect::decode;
use crate::upstream::topology::{LAST_SLOT, Shard};
use crate::upstream::{Dialer, UpstreamError};

/// How long a node may take to answer.
const LIMIT: Duration = Duration::from_secs(1);
/// The map of a thousand nodes is far shorter.
const REPLY_BYTES: usize = 4 * 1024 * 1024;
/// Masters that are taken over.
const MOST_SHARDS: usize = 1000;

/// What a node says.
pub(super) struct Told {
    /// The masters and their slots.
    pub(super) shards: Vec<Shard>,
    /// The highest epoch that it has heard of; 0 when it does not say.
    pub(super) epoch: u64,
}

/// Asks a node for all masters and their slots.
///
/// # Errors
/// When it cannot be asked, is in no cluster, or says nothing of use.
pub(super) async fn shards(
    dialer: &Dialer,
    cluster: &ClusterSeeds,
    address: &Address,
) -> Result<Told, UpstreamError> {
    timeout(LIMIT, ask(dialer, cluster, address))
        .await
        .unwrap_or(Err(UpstreamError::ReplyTimeout))
}

async fn ask(
    dialer: &Dialer,
    cluster: &ClusterSeeds,
    address: &Address,
) -> Result<Told, UpstreamError> {
    let endpoint = cluster.node(address.clone());
    let mut conn = dialer.dial(&endpoint, "respite-cluster").await?;
    // Before the map: it may be newer than its epoch, never older.
    let info = conn.ask(&[b"CLUSTER", b"INFO"], REPLY_BYTES, 0).await?;
    let epoch = epoch(&info);
    let reply = conn.ask(&[b"CLUSTER", b"SHARDS"], REPLY_BYTES, 0).await?;
    if let (Value::Array(shards), _) = decode(&reply)? {
        let shards = read_shards(&shards, cluster, address);
        return Ok(Told { shards, epoch });
    }
    // Before version 7.0. `CLUSTER SLOTS` leaves out masters without slots, and slots may be on their way to one.
    let reply = conn.ask(&[b"CLUSTER", b"NODES"], REPLY_BYTES, 0).await?;
    match decode(&reply)?.0 {
        Value::Bulk(lines) => Ok(Told {
            shards: read_nodes(&String::from_utf8_lossy(lines), cluster, address),
            epoch,
        }),
        Value::Error(text) => Err(UpstreamError::Refused {
            address: address.to_string(),
            reply: String::from_utf8_lossy(text).into_owned(),
        }),
        _ => Err(UpstreamError::Protocol("no map of slots".to_owned())),
    }
}

/// The epoch in a reply to `CLUSTER INFO`.
fn epoch(info: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(info);
    let mut lines = text.lines();
    let found = lines.find_map(|line| line.strip_prefix("cluster_current_epoch:"));
    found.and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
}

/// The reply to `CLUSTER SHARDS`.
fn read_shards(shards: &[Value<'_>], cluster: &ClusterSeeds, asked: &Address) -> Vec<Shard> {
    let read = |shard: &Value<'_>| read_shard(shard, cluster, asked);
    shards.iter().take(MOST_SHARDS).filter_map(read).collect()
}

/// The topology that a reply to `CLUSTER SHARDS` or to `CLUSTER NODES` makes.
#[cfg(any(test, fuzzing))]
pub fn read_map(reply: &[u8]) -> Option<crate::upstream::Topology> {
    let address = Address::Tcp {
        host: "h".to_owned(),
        port: 1,
    };
    let cluster = ClusterSeeds {
        seeds: vec![address.clone()],
        tls: false,
        user: None,
        password: None,
    };
    epoch(reply);
    let shards = match decode(reply) {
        Ok((Value::Array(shards), _)) => read_shards(&shards, &cluster, &address),
        Ok((Value::Bulk(lines), _)) => {
            read_nodes(&String::from_utf8_lossy(lines), &cluster, &address)
        }
        _ => return None,
    };
    let unknown = crate::upstream::Topology::unknown();
    unknown.clustered(&shards)
}

/// An element of the reply to `CLUSTER SHARDS`; none without a master.
fn read_shard(shard: &Value<'_>, cluster: &ClusterSeeds, asked: &Address) -> Option<Shard> {
    let slots = field(shard, b"slots")?.as_array()?;
    let slots = slots.as_chunks::<2>().0.iter();
    let slots = slots.filter_map(|[first, last]| Some((slot(first)?, slot(last)?)));
    let mut found = Shard {
        master: cluster.node(asked.clone()),
        slots: slots.collect(),
        replicas: Vec::new(),
    };
    let mut masters = Vec::new();
    for node in field(shard, b"nodes")?.as_array()? {
        let port = match cluster.tls {
            true => field(node, b"tls-port").or_else(|| field(node, b"port")),
            false => field(node, b"port"),
        };
        let host = field(node, b"endpoint").filter(|host| is_host(host));
        let host = host.or_else(|| field(node, b"ip"));
        let Some(address) = address_of(host, port, asked) else {
            continue;
        };
        let word = |name| field(node, name).and_then(Value::as_str);
        let node = cluster.node(address);
        match word(b"role") {
            Some("master") => masters.push((word(b"health") == Some("fail"), node)),
            _ => found.replicas.push(node),
        }
    }
    // One that has failed and one that took its place may both be called master for a while.
    let (fails, master) = masters.into_iter().min_by_key(|(fails, _)| *fails)?;
    found.master = master;
    // One that has failed and has lost its slots leaves its place to whoever has them.
    (!fails || !found.slots.is_empty()).then_some(found)
}

/// The reply to `CLUSTER NODES`: a line for each, `ID HOST:PORT@BUS FLAGS MASTER-ID PING PONG EPOCH LINK SLOTS…`.
fn read_nodes(lines: &str, cluster: &ClusterSeeds, asked: &Address) -> Vec<Shard> {
    let mut masters: Vec<(&str, Shard)> = Vec::new();
    let mut replicas = Vec::new();
    for line in lines.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let [id, at, flags, of, _, _, _, _, slots @ ..] = &words[..] else {
            continue;
        };
        let is = |flag| flags.split(',').any(|word| word == flag);
        let address = at.split('@').next().and_then(|at| at.rsplit_once(':'));
        let address = address.and_then(|(host, port)| named(host, port.parse().ok()?, asked));
        let Some(address) = address.filter(|_| !is("handshake") && !is("noaddr")) else {
            continue;
        };
        let node = cluster.node(address);
        if !is("master") {
            replicas.push((*of, node));
            continue;
        }
        let slots: Vec<_> = slots.iter().filter_map(|range| slots_of(range)).collect();
        // One that has failed and has lost its slots leaves its place to whoever has them.
        if masters.len() < MOST_SHARDS && !(is("fail") && slots.is_empty()) {
            let shard = Shard {
                master: node,
                slots,
                replicas: Vec::new(),
            };
            masters.push((id, shard));
        }
    }
    for (of, node) in replicas {
        if let Some((_, shard)) = masters.iter_mut().find(|(id, _)| *id == of) {
            shard.replicas.push(node);
        }
    }
    masters.into_iter().map(|(_, shard)| shard).collect()
}

/// `5` or `5-7`; none for `[5->-ID]`, a slot that is on its way.
fn slots_of(range: &str) -> Option<(u16, u16)> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let slot = |text: &str| text.parse().ok().filter(|slot| *slot <= LAST_SLOT);
    Some((slot(first)?, slot(last)?))
}

/// The value of a field in a flat array of pairs.
fn field<'a, 'b>(pairs: &'a Value<'b>, name: &[u8]) -> Option<&'a Value<'b>> {
    let (pairs, _) = pairs.as_array()?.as_chunks::<2>();
    let mut found = pairs.iter().filter(|[key, _]| key.as_bytes() == Some(name));
    found.next().map(|[_, value]| value)
}

fn slot(value: &Value<'_>) -> Option<u16> {
    let slot = u16::try_from(value.as_int()?).ok()?;
    (slot <= LAST_SLOT).then_some(slot)
}

/// Whether it says where: a node that does not know its own name says `?`, or nothing.
fn is_host(value: &Value<'_>) -> bool {
    value
        .as_str()
        .is_some_and(|host| !host.is_empty() && host != "?")
}

/// An address; without a host that of the node that was asked.
fn address_of(
    host: Option<&Value<'_>>,
    port: Option<&Value<'_>>,
    asked: &Address,
) -> Option<Address> {
    let port = u16::try_from(port?.as_int()?).ok()?;
    let host = host.filter(|host| is_host(host)).and_then(Value::as_str);
    named(host.unwrap_or_default(), port, asked)
}

/// The same of words.
fn named(host: &str, port: u16, asked: &Address) -> Option<Address> {
    let host = match (host, asked) {
        _ if port == 0 => return None,
        ("", Address::Tcp { host, .. }) => host.clone(),
        ("", Address::Unix(_)) => return None,
        (host, _) => host.to_owned(),
    };
    Some(Address::Tcp { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::parse_reply;

    fn cluster() -> ClusterSeeds {
        "cluster://seed:1".parse().expect("a URL")
    }

    type Named = (String, Vec<(u16, u16)>, usize);

    fn names(shards: &[Shard]) -> Vec<Named> {
        let name = |shard: &Shard| shard.master.address.to_string();
        shards
            .iter()
            .map(|s| (name(s), s.slots.clone(), s.replicas.len()))
            .collect()
    }

    #[test]
    fn shards_are_read_with_whoever_has_failed() {
        let node = |host: &str, port: u16, role: &str, health: &str| {
            format!(
                "*10\r\n$4\r\nport\r\n:{port}\r\n$2\r\nip\r\n$9\r\n127.0.0.1\r\n$8\r\nendpoint\r\n${}\r\n{host}\r\n\
                 $4\r\nrole\r\n${}\r\n{role}\r\n$6\r\nhealth\r\n${}\r\n{health}\r\n",
                host.len(),
                role.len(),
                health.len()
            )
        };
        let nodes = [
            node("10.0.0.1", 7, "master", "fail"),
            node("10.0.0.2", 8, "master", "online"),
            node("?", 9, "replica", "online"),
        ];
        let text = format!(
            "*4\r\n$5\r\nslots\r\n*4\r\n:0\r\n:5\r\n:7\r\n:16383\r\n$5\r\nnodes\r\n*3\r\n{}",
            nodes.concat()
        );
        let (value, _) = parse_reply(text.as_bytes())
            .expect("a reply")
            .expect("whole");
        let cluster = cluster();
        let shard = read_shard(&value, &cluster, &cluster.seeds[0]).expect("a shard");
        let expected = ("10.0.0.2:8".to_owned(), vec![(0, 5), (7, 16_383)], 1);
        assert_eq!(names(&[shard]), [expected]);
        let alone = node("10.0.0.1", 7, "master", "fail");
        let text = format!("*4\r\n$5\r\nslots\r\n*0\r\n$5\r\nnodes\r\n*1\r\n{alone}");
        let (value, _) = parse_reply(text.as_bytes())
            .expect("a reply")
            .expect("whole");
        assert!(read_shard(&value, &cluster, &cluster.seeds[0]).is_none());
        let none = b"*4\r\n$5\r\nslots\r\n*0\r\n$5\r\nnodes\r\n*0\r\n";
        let (value, _) = parse_reply(none).expect("a reply").expect("whole");
        assert!(read_shard(&value, &cluster, &cluster.seeds[0]).is_none());
    }

    #[test]
    fn nodes_are_read_with_masters_that_have_no_slots() {
        let lines = "a 10.0.0.1:7@17 myself,master - 0 0 1 connected 0-5 7 [8->-b] 16384\n\
                     b 10.0.0.2:7@17 master - 0 0 2 connected\n\
                     c :8@18 slave a 0 0 1 connected\n\
                     d 10.0.0.4:7@17 master,fail - 0 0 4 disconnected\n\
                     e 10.0.0.5:7@17 master,fail - 0 0 5 disconnected 6-6\n\
                     f 10.0.0.6:0@17 master,noaddr - 0 0 6 disconnected 9\n\
                     g 10.0.0.7:7@17 handshake - 0 0 0 connected\n\
                     nonsense\n";
        let cluster = cluster();
        let shards = read_nodes(lines, &cluster, &cluster.seeds[0]);
        let expected = [
            ("10.0.0.1:7".to_owned(), vec![(0, 5), (7, 7)], 1),
            ("10.0.0.2:7".to_owned(), vec![], 0),
            ("10.0.0.5:7".to_owned(), vec![(6, 6)], 0),
        ];
        assert_eq!(names(&shards), expected);
        assert_eq!(shards[0].replicas[0].address.to_string(), "seed:8");
    }
}
