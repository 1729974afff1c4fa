//! A private Redis Cluster of Respite's own: several embedded servers, each master of its share of the slots.
//!
//! Nodes of a cluster speak TCP, so unlike a single embedded server these listen on loopback, with passwords.
//! Without data directory all is gone when Respite ends; with one each node keeps what it has in a folder of
//! its own, and finds the others again wherever they listen then.

use std::net::TcpListener;
use std::path::Path;
use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::Dialer;
use super::connect::decode;
use super::direct::DirectConn;
use super::embedded::{Embedded, EmbeddedError, NodeOptions, lock_data_dir};
use super::error::UpstreamError;
use crate::config::{Address, ClusterSeeds, Endpoint, Secret};
use crate::random;
use crate::slot::SLOTS;

/// How long the nodes may take to find each other.
const WHOLE: Duration = Duration::from_secs(30);
/// How often is looked whether they have.
const LOOK: Duration = Duration::from_millis(20);
/// How long a node may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The least port; that for other nodes is so much above it, as servers before 7.0 want it.
const FIRST_PORT: u16 = 20_000;
const BUS_ABOVE: u16 = 10_000;
/// Ports that are tried for a node.
const TRIED: usize = 200;
const REPLY_BYTES: usize = 1024 * 1024;
/// The user who may arrange the nodes; clients of Respite may not.
const SETUP: &str = "respite-setup";

/// Why there is no embedded cluster.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// A node did not start.
    #[error("{0}")]
    Node(#[from] EmbeddedError),
    /// No two free ports were found on loopback.
    #[error("no free ports on 127.0.0.1 for a node of the embedded cluster")]
    NoPort,
    /// The data directory belongs to a cluster of another size.
    #[error("data_dir holds a cluster of {kept} masters, not of {wanted}")]
    OtherSize {
        /// The masters whose data is there.
        kept: usize,
        /// The masters that are wanted.
        wanted: usize,
    },
    /// A node cannot be asked, or refuses.
    #[error("the embedded cluster cannot be arranged: {0}")]
    Refused(#[from] UpstreamError),
    /// The nodes have not found each other.
    #[error("the nodes of the embedded cluster have not found each other within {0:?}")]
    Late(Duration),
}

/// The running nodes. Dropping it stops them.
#[derive(Debug)]
pub struct EmbeddedCluster {
    nodes: Vec<Embedded>,
    ports: Vec<u16>,
    password: Secret,
    setup: Secret,
    _lock: Option<std::fs::File>,
}

impl EmbeddedCluster {
    /// Starts so many masters; with `data_dir` they keep their data there.
    ///
    /// # Errors
    /// When a server cannot be started, or the directory belongs to others.
    pub fn start(masters: usize, data_dir: Option<&Path>) -> Result<Self, ClusterError> {
        let lock = data_dir.map(lock_data_dir).transpose()?;
        let folder = |n: usize| data_dir.map(|dir| dir.join(format!("node-{n}")));
        let kept = (0..).take_while(|n| folder(*n).is_some_and(|dir| dir.is_dir()));
        let kept = kept.count();
        if kept != 0 && kept != masters {
            let wanted = masters;
            return Err(ClusterError::OtherSize { kept, wanted });
        }
        let password = Secret::new(random::password());
        let setup = Secret::new(random::password());
        let (mut nodes, mut ports) = (Vec::new(), Vec::new());
        for n in 0..masters {
            let port = free_port(&ports).ok_or(ClusterError::NoPort)?;
            let options = NodeOptions {
                port,
                password: password.clone(),
                setup: (SETUP, setup.clone()),
            };
            nodes.push(Embedded::start_node(folder(n).as_deref(), options)?);
            ports.push(port);
        }
        Ok(EmbeddedCluster {
            nodes,
            ports,
            password,
            setup,
            _lock: lock,
        })
    }

    /// How to reach it, as any cluster.
    #[must_use]
    pub fn seeds(&self) -> ClusterSeeds {
        ClusterSeeds {
            seeds: self.ports.iter().map(|port| loopback(*port)).collect(),
            tls: false,
            user: None,
            password: Some(self.password.clone()),
        }
    }

    /// Gives the slots to the nodes and waits until all of them know all.
    ///
    /// # Errors
    /// When a node refuses, or it takes too long.
    pub async fn until_whole(&self) -> Result<(), ClusterError> {
        let end = Instant::now() + WHOLE;
        for node in &self.nodes {
            node.until_listening(WHOLE).await;
        }
        let dialer = Dialer::default();
        let mut conns = Vec::new();
        for port in &self.ports {
            conns.push(self.dial(&dialer, *port, end).await?);
        }
        let each = usize::from(SLOTS).div_ceil(conns.len());
        for (n, conn) in conns.iter_mut().enumerate() {
            let nodes = ask(conn, &["CLUSTER", "NODES"]).await?;
            if !has_slots(&nodes) {
                let epoch = (n + 1).to_string();
                let _ = ask(conn, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await; // only a new node takes it
                let own = (n * each)..((n + 1) * each).min(usize::from(SLOTS));
                let slots: Vec<String> = own.map(|slot| slot.to_string()).collect();
                let words = ["CLUSTER", "ADDSLOTS"].into_iter();
                let words: Vec<&str> = words.chain(slots.iter().map(String::as_str)).collect();
                ask(conn, &words).await?;
            }
        }
        // Each meets each: those that knew each other before may have other addresses now.
        for (n, conn) in conns.iter_mut().enumerate() {
            for (_, port) in self.ports.iter().enumerate().filter(|(m, _)| *m != n) {
                let port = port.to_string();
                ask(conn, &["CLUSTER", "MEET", "127.0.0.1", &port]).await?;
            }
        }
        let all = format!("cluster_slots_ok:{SLOTS}\r");
        let known = format!("cluster_known_nodes:{}\r", conns.len());
        for conn in &mut conns {
            loop {
                let info = ask(conn, &["CLUSTER", "INFO"]).await?;
                let has = |text: &str| info.contains(text);
                if has("cluster_state:ok\r") && has(&all) && has(&known) {
                    let nodes = ask(conn, &["CLUSTER", "NODES"]).await?;
                    let is_there = |port: &u16| nodes.contains(&format!("127.0.0.1:{port}@"));
                    if self.ports.iter().all(is_there) {
                        break;
                    }
                }
                if Instant::now() > end {
                    return Err(ClusterError::Late(WHOLE));
                }
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    async fn dial(
        &self,
        dialer: &Dialer,
        port: u16,
        end: Instant,
    ) -> Result<DirectConn, ClusterError> {
        let endpoint = Endpoint {
            address: loopback(port),
            tls: false,
            user: Some(SETUP.to_owned()),
            password: Some(self.setup.clone()),
            db: 0,
            only_at: None,
        };
        loop {
            let ready = async {
                let mut conn = dialer.dial(&endpoint, "respite-setup").await?;
                // One that has data reads it first.
                ask(&mut conn, &["PING"]).await?;
                Ok::<_, UpstreamError>(conn)
            };
            match ready.await {
                Ok(conn) => return Ok(conn),
                Err(error) if Instant::now() > end => return Err(error.into()),
                Err(_) => sleep(LOOK).await,
            }
        }
    }
}

fn loopback(port: u16) -> Address {
    Address::Tcp {
        host: "127.0.0.1".to_owned(),
        port,
    }
}

/// A port that is free, and the one for other nodes as well.
fn free_port(taken: &[u16]) -> Option<u16> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut tries = std::iter::repeat_with(|| {
        let word = random::word();
        let number = u16::from_str_radix(&word[..4], 16).unwrap_or(0);
        FIRST_PORT + number % BUS_ABOVE
    });
    let mut tries = tries.by_ref().take(TRIED);
    tries.find(|port| !taken.contains(port) && is_free(*port) && is_free(port + BUS_ABOVE))
}

/// Whether a node's list of nodes says that it has slots itself.
fn has_slots(nodes: &str) -> bool {
    let own = nodes.lines().find(|line| line.contains("myself"));
    own.is_some_and(|line| {
        line.split(' ')
            .nth(8)
            .is_some_and(|range| !range.is_empty())
    })
}

/// Asks a node; an error reply is an error.
async fn ask(conn: &mut DirectConn, words: &[&str]) -> Result<String, UpstreamError> {
    let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    let reply = timeout(ANSWER, conn.ask(&words, REPLY_BYTES, 0)).await;
    let reply = reply.unwrap_or(Err(UpstreamError::ReplyTimeout))?;
    if let Some(error) = reply.strip_prefix(b"-") {
        let error = String::from_utf8_lossy(error).trim_end().to_owned();
        return Err(UpstreamError::Protocol(error));
    }
    let (value, _) = decode(&reply)?;
    Ok(value.as_str().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_whether_it_has_slots() {
        let other = "a 127.0.0.1:1@2 master - 0 0 1 connected 0-100\n";
        let fresh = "b 127.0.0.1:3@4 myself,master - 0 0 0 connected\n";
        assert!(!has_slots(&[other, fresh].concat()));
        assert!(has_slots("b :3@4 myself,master - 0 0 0 connected 5-6\n"));
    }
}
