//! Loopback ports that stay ours while no one listens on them.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A loopback port held by a socket that is bound but does not listen.
///
/// Linux lets a second socket bind and listen there (both have `SO_REUSEADDR`, neither listens yet),
/// while `bind(0)` and outgoing connections of others keep away. So a server can be stopped and
/// started again on its port, and connecting meanwhile is refused.
#[derive(Debug)]
pub(crate) struct ReservedPort {
    _socket: Socket,
    port: u16,
}

impl ReservedPort {
    /// Reserves any free port.
    pub(crate) fn any() -> Self {
        Self::bind(0)
    }

    /// Reserves this port.
    pub(crate) fn bind(port: u16) -> Self {
        let socket = reusable_socket(port);
        let bound = socket.local_addr().expect("a bound socket has an address");
        let port = bound.as_socket().expect("an IPv4 address").port();
        Self {
            _socket: socket,
            port,
        }
    }

    /// The port number.
    pub(crate) fn get(&self) -> u16 {
        self.port
    }
}

/// Binds a loopback socket that shares its port with a reservation.
pub(super) fn reusable_socket(port: u16) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("socket");
    socket.set_reuse_address(true).expect("SO_REUSEADDR");
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    socket.bind(&addr.into()).expect("bind on loopback");
    socket
}
