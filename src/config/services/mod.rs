//! The gateway's services file, JSON or YAML: services, their servers, how they are polled.
//!
//! Like the configuration it is read into immutable types, and refused with everything that is wrong
//! with it. It resolves no names and polls nobody.

mod node;
mod read;
mod server;

pub use server::ServerUrl;

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Larger than any services file.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// More mistakes than this are not listed.
const MOST_MISTAKES: usize = 100;

/// Everything that a services file says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Services {
    /// `meta-info`.
    pub meta: MetaInfo,
    /// The services by name.
    pub services: BTreeMap<String, ServiceSpec>,
}

/// `meta-info`: names and ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetaInfo {
    /// What the admin listener is called.
    pub discovery_server_name: Option<String>,
    /// What the gateway is called.
    pub request_processor_name: Option<String>,
    /// The port of the admin listener, where the configuration names none.
    pub discovery_server_port: Option<u16>,
    /// The port of the gateway, where the configuration names none.
    pub request_processor_port: Option<u16>,
}

/// One service.
#[derive(Debug, Clone, PartialEq)]
pub struct ServiceSpec {
    /// Where its instances come from.
    pub instances: InstancesSpec,
    /// The paths that it serves, each with a leading and without a trailing slash; `/` is all.
    pub apis: Vec<String>,
}

/// Where the instances of a service come from.
#[derive(Debug, Clone, PartialEq)]
pub enum InstancesSpec {
    /// They are listed, each with its polling.
    Listed(Vec<(ServerUrl, Polling)>),
    /// They are the nodes of a discovered service.
    Discovered {
        /// The name of the service there.
        name: String,
        /// How each is polled.
        polling: Polling,
    },
}

/// How an instance is polled.
#[derive(Debug, Clone, PartialEq)]
pub struct Polling {
    /// What a poll does.
    pub method: PollMethod,
    /// From the end of a round to the next.
    pub frequency: Duration,
    /// Polls after the first that may fail in a round.
    pub retries: u32,
    /// Between the polls of a round.
    pub retry_delay: Duration,
    /// How many polls are remembered.
    pub packet_limit: usize,
    /// Which instances are preferred.
    pub priority: Priority,
    /// How long a poll may take.
    pub timeout: Duration,
}

/// What a poll does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PollMethod {
    /// An HTTP `GET` of this path, to be answered with 2xx.
    Health(String),
    /// A TCP connection.
    Ping,
}

/// Which instances are preferred: the first is the best.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Used while one of them is healthy.
    High,
    /// Used while none of high priority is healthy; the default.
    Med,
    /// Used while no other is healthy.
    Low,
}

impl Priority {
    /// Its name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Priority::High => "high",
            Priority::Med => "med",
            Priority::Low => "low",
        }
    }
}

/// A services file that was refused, with everything that is wrong with it: a line for each mistake,
/// `FILE:LINE:COLUMN: what: why`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicesError {
    file: PathBuf,
    mistakes: Vec<Mistake>,
}

/// One mistake. Without a line it is about the file as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mistake {
    place: Option<(u64, u64)>,
    /// The dotted name of the value; empty for the document.
    what: String,
    why: String,
}

impl Services {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn load(file: &Path) -> Result<Self, ServicesError> {
        let refuse = |mistakes| ServicesError {
            file: file.to_owned(),
            mistakes,
        };
        let text = read_text(file).map_err(|error| {
            refuse(vec![Mistake {
                place: None,
                what: String::new(),
                why: format!("cannot be read: {error}"),
            }])
        })?;
        Self::parse(&text).map_err(refuse)
    }

    fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let node = node::Node::parse(text).map_err(|(why, place)| {
            vec![Mistake {
                place,
                what: String::new(),
                why,
            }]
        })?;
        read::services(&node)
    }
}

fn read_text(file: &Path) -> io::Result<String> {
    if fs::metadata(file)?.len() > MOST_BYTES {
        let text = format!("it is larger than {MOST_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    fs::read_to_string(file)
}

impl fmt::Display for ServicesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mistake) in self.mistakes.iter().take(MOST_MISTAKES).enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", self.file.display())?;
            if let Some((line, column)) = mistake.place {
                write!(f, ":{line}:{column}")?;
            }
            if !mistake.what.is_empty() {
                write!(f, ": {}", mistake.what)?;
            }
            write!(f, ": {}", mistake.why)?;
        }
        let more = self.mistakes.len().saturating_sub(MOST_MISTAKES);
        if more > 0 {
            write!(f, "\n{}: and {more} more", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ServicesError {}

#[cfg(test)]
mod tests;
