//! The commands as they were meant: arguments checked, defaults filled in.

use std::time::Duration;

use super::index::Index;
use super::model::{NodeAddr, NodeDetails, NodeState, Registration};
use super::names::{self, DEFAULT_GROUP, ENTRIES};
use crate::command::Call;
use crate::resp::Args;

/// The longest TTL and the longest that a lapsed node is kept: ten years.
const LONGEST: f64 = 315_360_000.0;

/// A command that can be carried out.
#[derive(Debug, PartialEq)]
pub(super) enum Command {
    Register {
        of: Name,
        registration: Registration,
    },
    Join {
        of: Name,
        node: String,
        ttl: Option<Duration>,
        keep: Duration,
        only_new: bool,
        details: NodeDetails,
    },
    Heartbeat {
        of: Name,
        node: String,
        lease: Vec<u8>,
        state: Option<NodeState>,
    },
    Leave {
        of: Name,
        node: String,
        lease: Option<Vec<u8>>,
    },
    Get {
        of: Name,
        with_secrets: bool,
    },
    Nodes {
        of: Name,
        filter: NodeFilter,
    },
    Resolve {
        of: Name,
    },
    Services {
        group: String,
    },
    Groups,
    Watch(Watch),
    Deregister {
        of: Name,
    },
    DropGroup {
        group: String,
    },
}

/// A service in its group.
#[derive(Debug, PartialEq)]
pub(super) struct Name {
    pub(super) group: String,
    pub(super) service: String,
}

/// What is waited for.
#[derive(Debug, PartialEq)]
pub(super) struct Watch {
    pub(super) group: String,
    /// None: all services of the group.
    pub(super) service: Option<String>,
    pub(super) index: Index,
    /// None: for ever.
    pub(super) timeout: Option<Duration>,
}

/// Which nodes are wanted.
#[derive(Debug, PartialEq, Default)]
pub(super) struct NodeFilter {
    pub(super) state: Option<NodeState>,
    pub(super) tag: Option<String>,
    /// Those too that have lapsed and are kept.
    pub(super) all: bool,
}

/// The arguments that are left.
struct Arguments<'a> {
    args: Args<'a>,
    at: usize,
}

type Parsed<T> = Result<T, String>;

fn syntax_error() -> String {
    "ERR syntax error".to_owned()
}

impl Command {
    /// Reads a command; its arity is right.
    pub(super) fn read(call: &Call<'_>) -> Parsed<Self> {
        let mut args = Arguments {
            args: call.args,
            at: 1,
        };
        let name = call.args[0].to_ascii_uppercase();
        match name.strip_prefix(b"DISCOVERY.").unwrap_or_default() {
            b"REGISTER" => args.register(),
            b"JOIN" => args.join(call),
            b"HEARTBEAT" => args.heartbeat(),
            b"LEAVE" => args.leave(),
            b"GET" => args.get(),
            b"NODES" => args.nodes(),
            b"RESOLVE" => args.of_service(|of| Self::Resolve { of }),
            b"SERVICES" => args.services(),
            b"GROUPS" => Ok(Self::Groups),
            b"WATCH" => args.watch(),
            b"DEREGISTER" => args.of_service(|of| Self::Deregister { of }),
            b"DROPGROUP" => Ok(Self::DropGroup {
                group: args.name("group")?,
            }),
            _ => Err(syntax_error()),
        }
    }
}

impl Command {
    /// The group that it works on; none for [`Command::Groups`].
    pub(super) fn group(&self) -> Option<&str> {
        match self {
            Self::Register { of, .. }
            | Self::Join { of, .. }
            | Self::Heartbeat { of, .. }
            | Self::Leave { of, .. }
            | Self::Get { of, .. }
            | Self::Nodes { of, .. }
            | Self::Resolve { of }
            | Self::Deregister { of } => Some(&of.group),
            Self::Watch(Watch { group, .. })
            | Self::Services { group }
            | Self::DropGroup { group } => Some(group),
            Self::Groups => None,
        }
    }
}

impl<'a> Arguments<'a> {
    fn next(&mut self) -> Parsed<&'a [u8]> {
        let arg = self.args.get(self.at).ok_or_else(syntax_error)?;
        self.at += 1;
        Ok(arg)
    }

    /// The next word in capitals, if there is one.
    fn option(&mut self) -> Option<Vec<u8>> {
        let word = self.next().ok()?;
        Some(word.to_ascii_uppercase())
    }

    fn name(&mut self, what: &str) -> Parsed<String> {
        names::name(what, self.next()?)
    }

    fn service(&mut self) -> Parsed<String> {
        let service = self.name("service")?;
        if service == "*" {
            return Err("ERR invalid service: * stands for all of them".to_owned());
        }
        Ok(service)
    }

    fn value(&mut self, what: &str) -> Parsed<Vec<u8>> {
        names::value(what, self.next()?)
    }

    fn count(&mut self, what: &str) -> Parsed<usize> {
        let count = std::str::from_utf8(self.next()?).ok();
        let count = count.and_then(|text| text.parse().ok());
        count
            .filter(|count| *count <= ENTRIES)
            .ok_or_else(|| format!("ERR {what} must be followed by a number from 0 to {ENTRIES}"))
    }

    fn names(&mut self, what: &str) -> Parsed<Vec<String>> {
        (0..self.count(what)?).map(|_| self.name(what)).collect()
    }

    /// Names with values; of a name that comes twice the last one counts.
    fn pairs(&mut self, what: &str) -> Parsed<Vec<(String, Vec<u8>)>> {
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for _ in 0..self.count(what)? {
            let (name, value) = (self.name(what)?, self.value(what)?);
            match pairs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, known)) => *known = value,
                None => pairs.push((name, value)),
            }
        }
        Ok(pairs)
    }

    fn seconds(&mut self, what: &str, least: f64) -> Parsed<Duration> {
        let text = std::str::from_utf8(self.next()?).unwrap_or_default();
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let seconds = text.parse().ok().filter(|_| plain);
        let seconds = seconds.filter(|seconds| (least..=LONGEST).contains(seconds));
        let millis =
            seconds.map(|seconds| Duration::from_millis((seconds * 1000.0).round() as u64));
        millis.ok_or_else(|| {
            format!("ERR {what} must be seconds from {least} to {LONGEST}, decimals allowed")
        })
    }

    fn state(&mut self) -> Parsed<NodeState> {
        let state = std::str::from_utf8(self.next()?).ok();
        state
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| "ERR STATE must be passing, warning, critical or draining".to_owned())
    }

    fn of_service(&mut self, command: impl FnOnce(Name) -> Command) -> Parsed<Command> {
        let service = self.service()?;
        let group = self.only_group()?;
        Ok(command(Name { group, service }))
    }

    /// What is left is the group, or nothing.
    fn only_group(&mut self) -> Parsed<String> {
        let mut group = DEFAULT_GROUP.to_owned();
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                _ => return Err(syntax_error()),
            }
        }
        Ok(group)
    }

    fn services(&mut self) -> Parsed<Command> {
        let group = self.only_group()?;
        Ok(Command::Services { group })
    }

    fn register(&mut self) -> Parsed<Command> {
        let service = self.service()?;
        let mut group = DEFAULT_GROUP.to_owned();
        let mut registration = Registration {
            endpoint: self.value("endpoint")?,
            ..Registration::default()
        };
        let known = &mut registration;
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                b"TYPE" => known.kind = Some(self.value("TYPE")?),
                b"AUTH" => known.auth = Some((self.value("AUTH")?, self.value("AUTH")?)),
                b"BACKEND" => known.backend = Some(self.value("BACKEND")?),
                b"DESCRIPTION" => known.description = Some(self.value("DESCRIPTION")?),
                b"META" => known.meta = self.pairs("META")?,
                _ => return Err(syntax_error()),
            }
        }
        let of = Name { group, service };
        Ok(Command::Register { of, registration })
    }

    fn join(&mut self, call: &Call<'_>) -> Parsed<Command> {
        let service = self.service()?;
        let node = self.name("node")?;
        let mut group = DEFAULT_GROUP.to_owned();
        let (mut ttl, mut keep, mut only_new) = (None, Duration::ZERO, false);
        let mut details = NodeDetails::default();
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                b"ADDR" => details.addr = Some(self.addr()?),
                b"TTL" => ttl = Some(self.seconds("TTL", 0.001)?),
                b"DEREGISTERAFTER" => keep = self.seconds("DEREGISTERAFTER", 0.0)?,
                b"TAGS" => details.tags = self.names("TAGS")?,
                b"FACTS" => details.facts = self.pairs("FACTS")?,
                b"NX" => only_new = true,
                _ => return Err(syntax_error()),
            }
        }
        details.addr = details.addr.or_else(|| {
            let peer = call.caller.peer?.ip().to_canonical();
            Some(NodeAddr {
                host: peer.to_string(),
                port: None,
            })
        });
        Ok(Command::Join {
            of: Name { group, service },
            node,
            ttl,
            keep,
            only_new,
            details,
        })
    }

    fn addr(&mut self) -> Parsed<NodeAddr> {
        let host = self.name("host")?;
        let port = std::str::from_utf8(self.next()?).ok();
        let port: Option<u16> = port.and_then(|text| text.parse().ok());
        let port = port.filter(|port| *port != 0);
        match port {
            Some(_) => Ok(NodeAddr { host, port }),
            None => Err("ERR ADDR must be a host and a port from 1 to 65535".to_owned()),
        }
    }

    fn heartbeat(&mut self) -> Parsed<Command> {
        let service = self.service()?;
        let node = self.name("node")?;
        let mut group = DEFAULT_GROUP.to_owned();
        let (mut lease, mut state) = (None, None);
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                b"LEASE" => lease = Some(self.value("LEASE")?),
                b"STATE" => state = Some(self.state()?),
                _ => return Err(syntax_error()),
            }
        }
        Ok(Command::Heartbeat {
            of: Name { group, service },
            node,
            lease: lease.ok_or_else(syntax_error)?,
            state,
        })
    }

    fn leave(&mut self) -> Parsed<Command> {
        let service = self.service()?;
        let node = self.name("node")?;
        let mut group = DEFAULT_GROUP.to_owned();
        let mut lease = None;
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                b"LEASE" => lease = Some(self.value("LEASE")?),
                _ => return Err(syntax_error()),
            }
        }
        let of = Name { group, service };
        Ok(Command::Leave { of, node, lease })
    }

    fn get(&mut self) -> Parsed<Command> {
        let service = self.service()?;
        let mut group = DEFAULT_GROUP.to_owned();
        let mut with_secrets = false;
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                b"WITHSECRETS" => with_secrets = true,
                _ => return Err(syntax_error()),
            }
        }
        let of = Name { group, service };
        Ok(Command::Get { of, with_secrets })
    }

    fn nodes(&mut self) -> Parsed<Command> {
        let service = self.service()?;
        let mut group = DEFAULT_GROUP.to_owned();
        let mut filter = NodeFilter::default();
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                b"STATE" => filter.state = Some(self.state()?),
                b"TAG" => filter.tag = Some(self.name("TAG")?),
                b"ALL" => filter.all = true,
                _ => return Err(syntax_error()),
            }
        }
        let of = Name { group, service };
        Ok(Command::Nodes { of, filter })
    }

    fn watch(&mut self) -> Parsed<Command> {
        let service = Some(self.name("service")?).filter(|service| service != "*");
        let mut group = DEFAULT_GROUP.to_owned();
        let (mut index, mut timeout) = (None, None);
        while let Some(option) = self.option() {
            match option.as_slice() {
                b"GROUP" => group = self.name("group")?,
                b"INDEX" => index = Some(self.index()?),
                b"TIMEOUT" => timeout = self.timeout()?,
                _ => return Err(syntax_error()),
            }
        }
        Ok(Command::Watch(Watch {
            group,
            service,
            index: index.ok_or_else(syntax_error)?,
            timeout,
        }))
    }

    fn index(&mut self) -> Parsed<Index> {
        let text = std::str::from_utf8(self.next()?).ok();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| "ERR INDEX must be 0 or an index from an earlier reply".to_owned())
    }

    /// Milliseconds; 0 is for ever, as with Redis' blocking commands.
    fn timeout(&mut self) -> Parsed<Option<Duration>> {
        let text = std::str::from_utf8(self.next()?).ok();
        let millis: Option<u32> = text.and_then(|text| text.parse().ok());
        let millis =
            millis.ok_or_else(|| "ERR timeout is not an integer or out of range".to_owned())?;
        Ok((millis > 0).then(|| Duration::from_millis(u64::from(millis))))
    }
}

#[cfg(test)]
mod tests;
