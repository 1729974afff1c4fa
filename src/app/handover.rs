//! Listening sockets that a process is started with, and handing its own to its successor: an upgrade without a
//! moment in which nobody listens.
//!
//! Sockets are passed as systemd does it (`LISTEN_FDS`). The last one that a predecessor passes is no listener: over it
//! the successor says that it serves.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::process::{Child, Command};
use tracing::{debug, warn};

use crate::config::ListenAddr;

/// How long a successor may take to serve.
const SUCCESSOR: Duration = Duration::from_secs(60);
/// The first descriptor that is passed.
const FIRST: i32 = 3;

/// The sockets that this process was started with, until somebody takes them.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    listeners: Vec<TcpListener>,
    predecessor: Option<UnixDatagram>,
}

impl Inherited {
    /// Takes what the environment says was passed.
    pub(super) fn take() -> Self {
        let mut passed = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for at in 0..passed.len() {
            if let Ok(Some(listener)) = passed.take_tcp_listener(at) {
                inherited.listeners.push(listener);
            } else if let Ok(Some(socket)) = passed.take_unix_datagram(at) {
                inherited.predecessor = Some(socket);
            } else {
                warn!("passed socket {at} does not listen on TCP: it is not used");
            }
        }
        inherited
    }

    /// The socket that listens where it is wanted.
    pub(super) fn listener(&mut self, wanted: &ListenAddr) -> Option<TcpListener> {
        if self.listeners.is_empty() {
            return None;
        }
        let wanted: Vec<SocketAddr> = wanted.as_str().to_socket_addrs().ok()?.collect();
        let is_it = |listener: &TcpListener| {
            let addr = listener.local_addr();
            addr.is_ok_and(|addr| wanted.iter().any(|wanted| is_same(addr, *wanted)))
        };
        let at = self.listeners.iter().position(is_it)?;
        Some(self.listeners.swap_remove(at))
    }

    /// Closes what nobody wants.
    pub(super) fn close_others(&mut self) {
        for listener in self.listeners.drain(..) {
            if let Ok(addr) = listener.local_addr() {
                warn!(
                    "the passed socket on {addr} is not used: nothing is configured to listen there"
                );
            }
        }
    }

    /// Says to whoever waits for it that this process serves.
    pub(super) fn tell_ready(&mut self) {
        let Some(predecessor) = self.predecessor.take() else {
            return notify(&[NotifyState::Ready]);
        };
        // First, so that the manager knows whose end is no failure.
        notify(&[NotifyState::MainPid(std::process::id()), NotifyState::Ready]);
        if let Err(error) = predecessor.send(b"ready") {
            debug!("the predecessor does not wait any more: {error}");
        }
    }
}

/// Every address of a host is one, whichever protocol says so.
fn is_same(addr: SocketAddr, wanted: SocketAddr) -> bool {
    let everywhere = addr.ip().is_unspecified() && wanted.ip().is_unspecified();
    addr.port() == wanted.port() && (everywhere || addr.ip() == wanted.ip())
}

/// Tells the service manager, if there is one.
pub(super) fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        debug!("the service manager was not told: {error}");
    }
}

/// The file that this process was started from, where the next version will be. To be asked at the start: once it
/// is replaced, the system says that it was deleted.
pub(super) fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Starts a successor with these sockets; returns when it serves.
///
/// # Errors
/// Why it does not. Nothing has changed then.
pub(super) async fn start_successor(program: PathBuf, sockets: Vec<OwnedFd>) -> io::Result<u32> {
    let (tells, told) = UnixDatagram::pair()?;
    told.set_nonblocking(true)?;
    let told = tokio::net::UnixDatagram::from_std(told)?;
    let passed: Vec<OwnedFd> = sockets.into_iter().chain([tells.into()]).collect();
    let mut command = std::process::Command::new(program);
    command
        .args(std::env::args_os().skip(1))
        .env("LISTEN_FDS", passed.len().to_string())
        .env_remove("LISTEN_PID")
        .env_remove("LISTEN_FDNAMES")
        .stdin(Stdio::null());
    let mappings = passed.into_iter().zip(FIRST..);
    let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command
        .fd_mappings(mappings.collect())
        .map_err(io::Error::other)?;
    let mut command = Command::from(command);
    let mut child = command.spawn()?;
    // The descriptors that were passed are the child's alone now.
    drop(command);
    let served = tokio::time::timeout(SUCCESSOR, until_served(&mut child, &told)).await;
    match served {
        Ok(Ok(())) => Ok(child.id().unwrap_or_default()),
        Ok(Err(error)) => {
            // It has the sockets, and may have ended by itself.
            let _ = child.kill().await;
            Err(error)
        }
        Err(_) => {
            child.kill().await?;
            Err(io::Error::other(format!(
                "it does not serve after {SUCCESSOR:?}"
            )))
        }
    }
}

async fn until_served(child: &mut Child, told: &tokio::net::UnixDatagram) -> io::Result<()> {
    let mut word = [0; 8];
    tokio::select! {
        read = told.recv(&mut word) => match read? {
            0 => Err(io::Error::other("it said nothing")),
            _ => Ok(()),
        },
        ended = child.wait() => Err(io::Error::other(format!("it ended with {}", ended?))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_found_by_where_it_listens() {
        let one = TcpListener::bind("127.0.0.1:0").expect("bound");
        let other = TcpListener::bind("127.0.0.1:0").expect("bound");
        let addr: ListenAddr = other
            .local_addr()
            .expect("bound")
            .to_string()
            .parse()
            .expect("an address");
        let mut inherited = Inherited {
            listeners: vec![one, other],
            predecessor: None,
        };
        let found = inherited.listener(&addr).expect("it is there");
        assert_eq!(
            found.local_addr().expect("bound").to_string(),
            addr.to_string()
        );
        assert!(inherited.listener(&addr).is_none());
        assert_eq!(inherited.listeners.len(), 1);
        let parse = |text: &str| text.parse::<SocketAddr>().expect("an address");
        assert!(is_same(parse("[::]:1"), parse("0.0.0.0:1")));
        assert!(!is_same(parse("[::]:1"), parse("0.0.0.0:2")));
        assert!(!is_same(parse("0.0.0.0:1"), parse("127.0.0.1:1")));
    }
}
