//! Finds servers in `/proc`.
//!
//! The sockets of a process are seen by its own user and by root only. For the others there is the
//! title that every Redis gives itself, which is believed if somebody of its user listens there.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use procfs::ProcError;
use procfs::net::{TcpNetEntry, TcpState, tcp, tcp6};
use procfs::process::{FDTarget, Process, all_processes};

use super::choice::{client_address, title_port};
use super::{LocalServer, LocalServers};

/// The most bytes that the system keeps of a process' name.
const COMM_BYTES: usize = 15;

/// A process of one of the names.
struct Candidate {
    process: Process,
    parent: i32,
    name: String,
}

/// Finds the servers whose processes have one of these names.
pub(super) fn find(names: &[String]) -> Result<LocalServers, String> {
    let cannot = |error: ProcError| format!("the processes cannot be listed: {error}");
    let candidates = candidates(names).map_err(cannot)?;
    if candidates.is_empty() {
        return Ok(LocalServers::default());
    }
    let listening = listening().map_err(|error| format!("the ports cannot be listed: {error}"))?;
    let mut found = LocalServers::default();
    let mut taken = HashSet::new();
    for candidate in candidates {
        match candidate.address(&listening) {
            Ok(None) => {}
            Ok(Some(address)) => {
                // A child that has just been forked, to save, has the sockets of its parent.
                if taken.insert(address) {
                    found.servers.push(LocalServer {
                        pid: candidate.process.pid,
                        name: candidate.name,
                        address,
                    });
                }
            }
            Err(reason) => {
                let pid = candidate.process.pid;
                let problem = format!("{} (pid {pid}): {reason}", candidate.name);
                found.problem.get_or_insert(problem);
            }
        }
    }
    Ok(found)
}

/// The processes in question on this network, parents before their children.
fn candidates(names: &[String]) -> Result<Vec<Candidate>, ProcError> {
    let network = network("self");
    let mut candidates = Vec::new();
    for process in all_processes()? {
        // One that ends meanwhile is none.
        let Ok((process, stat)) = process.and_then(|process| {
            let stat = process.stat()?;
            Ok((process, stat))
        }) else {
            continue;
        };
        let Some(name) = names.iter().find(|name| is_called(&stat.comm, name)) else {
            continue;
        };
        let theirs = self::network(&process.pid.to_string());
        // In a container with a network of its own it is not reached here.
        if theirs.is_some() && theirs != network {
            continue;
        }
        candidates.push(Candidate {
            process,
            parent: stat.ppid,
            name: name.clone(),
        });
    }
    let pids: HashSet<i32> = candidates.iter().map(|c| c.process.pid).collect();
    candidates.sort_by_key(|c| (pids.contains(&c.parent), c.process.pid));
    Ok(candidates)
}

fn is_called(comm: &str, name: &str) -> bool {
    let seen = name.as_bytes();
    comm.as_bytes() == &seen[..seen.len().min(COMM_BYTES)]
}

/// The network that a process is in, if that may be known.
fn network(pid: &str) -> Option<PathBuf> {
    fs::read_link(Path::new("/proc").join(pid).join("ns/net")).ok()
}

/// The sockets that listen on this network, by their number.
fn listening() -> Result<HashMap<u64, TcpNetEntry>, ProcError> {
    // Without IPv6 in the kernel there is no list of its sockets.
    let entries = tcp()?.into_iter().chain(tcp6().unwrap_or_default());
    let listening = entries.filter(|entry| entry.state == TcpState::Listen);
    Ok(listening.map(|entry| (entry.inode, entry)).collect())
}

impl Candidate {
    /// Where it serves clients, if it does on a port.
    fn address(&self, listening: &HashMap<u64, TcpNetEntry>) -> Result<Option<SocketAddr>, String> {
        let title = self.process.cmdline().unwrap_or_default();
        let title = title.first().and_then(|title| title_port(title));
        let addresses: Vec<SocketAddr> = match self.process.fd() {
            Ok(descriptors) => descriptors
                .flatten()
                .filter_map(|descriptor| match descriptor.target {
                    FDTarget::Socket(inode) => listening.get(&inode),
                    _ => None,
                })
                .map(|entry| entry.local_address)
                .collect(),
            Err(ProcError::PermissionDenied(_)) => {
                let Some(port) = title else {
                    return Err("only its own user and root may see its port".to_owned());
                };
                let user = self.process.uid().ok();
                listening
                    .values()
                    .filter(|entry| entry.local_address.port() == port && Some(entry.uid) == user)
                    .map(|entry| entry.local_address)
                    .collect()
            }
            // It has ended meanwhile.
            Err(ProcError::NotFound(_)) => Vec::new(),
            Err(error) => return Err(error.to_string()),
        };
        Ok(client_address(&addresses, title))
    }
}
