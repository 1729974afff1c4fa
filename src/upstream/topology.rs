//! Which servers are behind, as an immutable value that is replaced as a whole.
//!
//! It knows no socket. Who finds out about a change ([`sentinel`](super::sentinel), a reload) makes a new
//! value; [`Backing`](super::Backing) puts it in force.

use std::sync::Arc;
use std::time::SystemTime;

use crate::config::Endpoint;

/// The servers behind.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Grows each time that a master is given up: what was opened for an older one is void.
    pub version: u64,
    /// The server that commands go to; none while it is not known which one that is.
    pub master: Option<Arc<Endpoint>>,
    /// Since when this is the master, or since when there is none.
    pub since: SystemTime,
    /// The replicas that are known.
    pub replicas: Vec<Endpoint>,
    /// The sentinels that are known.
    pub sentinels: Vec<Endpoint>,
}

impl Topology {
    /// A backing of one server.
    #[must_use]
    pub fn single(endpoint: Endpoint) -> Self {
        Topology {
            master: Some(Arc::new(endpoint)),
            ..Self::unknown()
        }
    }

    /// A backing of which nothing is known yet.
    #[must_use]
    pub fn unknown() -> Self {
        Topology {
            version: 0,
            master: None,
            since: SystemTime::now(),
            replicas: Vec::new(),
            sentinels: Vec::new(),
        }
    }

    /// The same servers without a master.
    #[must_use]
    pub fn without_master(&self) -> Self {
        Topology {
            version: self.version + 1,
            master: None,
            since: SystemTime::now(),
            ..self.clone()
        }
    }

    /// The same servers with this master, where there was none.
    #[must_use]
    pub fn with_master(&self, master: Endpoint) -> Self {
        debug_assert!(self.master.is_none(), "the one before has to be given up");
        Topology {
            master: Some(Arc::new(master)),
            since: SystemTime::now(),
            ..self.clone()
        }
    }
}
