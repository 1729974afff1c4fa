//! What nodes say of requests that are for another node.

use crate::config::Address;

/// Where a request goes that a node did not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whither {
    /// A slot belongs to this server.
    Moved(u16, Address),
    /// A key of a slot that is moving is at this server, or comes into being there.
    Ask(u16, Address),
    /// To whoever has the slot, a little later.
    Again,
}

impl Whither {
    /// Reads `MOVED 3999 10.0.0.1:6381` and `ASK …`; none when it is neither, or not as a node says it.
    #[must_use]
    pub fn named(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let make = match words.next()? {
            "MOVED" => Self::Moved,
            "ASK" => Self::Ask,
            _ => return None,
        };
        let slot = words.next()?.parse().ok()?;
        let (host, port) = words.next()?.rsplit_once(':')?;
        if host.is_empty() || host == "?" {
            return Some(Self::Again);
        }
        let address = Address::Tcp {
            host: host.to_owned(),
            port: port.parse().ok()?,
        };
        Some(make(slot, address))
    }

    /// Whether a node may say so of a request for this slot.
    #[must_use]
    pub fn is_of(&self, slot: Option<u16>) -> bool {
        match self {
            Self::Moved(of, _) | Self::Ask(of, _) => slot.is_none_or(|slot| slot == *of),
            Self::Again => true,
        }
    }
}
