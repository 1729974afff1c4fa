//! What the table of direct calls says: of a look at a call, of its end, of an offer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::bus::method::Method;

/// Ends when the backing has been told of a call, or could not be.
pub(in crate::bus) type Keeping = watch::Receiver<()>;

/// A call that waited and does not any more.
#[derive(Debug)]
pub(in crate::bus) struct Drained {
    pub(in crate::bus) number: String,
    pub(in crate::bus) method: Arc<Method>,
    /// The Respite of its caller, if that is another one.
    pub(in crate::bus) origin: Option<Arc<str>>,
}

/// What a caller that waits finds.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::bus) enum Look {
    /// No worker has it yet.
    Queued,
    /// No worker has it, and none will.
    Withdrawn,
    /// A worker has it, since then.
    Handed(Instant),
    /// It has ended, or the backing has it.
    Gone,
}

/// What came of ending a call.
#[derive(Debug)]
pub(in crate::bus) enum Ended {
    /// It is over. A worker had it so long; the backing may have heard of it.
    Here {
        worked: Duration,
        unsure: bool,
        /// The Respite of the caller, if it is another one.
        origin: Option<Arc<str>>,
    },
    /// That was over before.
    TooLate,
    /// It may be in the backing in a moment.
    Keeping(Keeping),
    /// It may be in the backing already, which has to be asked.
    Unsure,
    /// It is not here.
    Unknown,
}

/// What became of an offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) enum Offer {
    Accepted,
    /// There are too many.
    Full,
    /// The lease has ended.
    Lapsed,
    /// It was here before, or may have been.
    Known,
}

/// What came of a call that a worker did not see.
#[derive(Debug)]
pub(in crate::bus) enum PutBack {
    /// It waits again.
    Queued(Arc<Method>),
    /// Its caller had gone.
    Over,
    Keeping,
    Unknown,
}

/// How a call is that a worker asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) enum Standing {
    /// It is the worker's.
    Held,
    Cancelled,
}
