//! The Redis side: connections to the backing and what is known about it.
//!
//! A [`Link`] is shared by all sessions of a worker, a [`Pinned`](pool::PinnedPool) connection
//! belongs to one session for a while. Neither knows what a client is: replies go to a
//! [`ReplySink`].

mod accounts;
mod asker;
mod backing;
mod bounded;
pub mod cluster;
mod connect;
mod control_link;
mod direct;
pub mod embedded;
pub mod embedded_cluster;
mod error;
mod fill_link;
mod frame_reader;
mod intake;
mod link;
mod link_key;
mod link_task;
mod monitor;
mod open_conns;
mod oversized;
mod pool;
mod pulse;
mod reached;
mod replicas;
pub mod sentinel;
mod served;
mod server_hello;
mod slot_keys;
mod swap_watch;
mod tls;
mod topology;
mod write_buf;

pub use asker::Asker;
pub use backing::{Backing, BackingState};
pub use cluster::Whither;
pub use connect::{Conn, ConnectOptions};
pub use control_link::{ControlError, ControlLink, ControlScript};
pub use direct::{Dialer, DirectConn};
pub use error::{Sent, UpstreamError};
pub use fill_link::{
    Fence, Fetch, FetchFields, FetchRead, FetchTimes, FillEvents, FillLink, Tracking,
    spawn_fill_link,
};
pub(crate) use frame_reader::{FrameReader, Frames, Turn};
pub use link::{
    Failure, Link, LinkLimits, Redirect, Redirected, ReplySink, Retryable, Share, SlowReply,
    Ticket, is_redirect,
};
pub use link_key::{LinkKey, LoginId};
pub use link_task::{Scratch, spawn_link};
pub use pool::{PinnedCount, PinnedPool, Place, PooledConn};
pub use replicas::replicated;
pub use server_hello::ServerHello;
pub use slot_keys::SlotKeys;
pub use swap_watch::{Logins, SwapWatch};
pub use tls::client_connector;
pub use topology::{HOME, LAST_SLOT, NodeId, Topology};
pub(crate) use write_buf::WriteBuf;
