//! What the masters of a cluster say themselves of their slots, all of them together.
//!
//! The topology is what one node told some time ago. Where a node must not be missed, each is asked for what it
//! has: together they have every slot, once, or somebody was missed. How they are asked is in `joined`.

use sha2::{Digest, Sha256};

use crate::config::Address;
use crate::upstream::{LAST_SLOT, NodeId};

/// One answer of each master.
#[derive(Debug)]
pub(super) struct Census {
    /// The topology by which they were asked.
    pub(super) version: u64,
    /// The masters, in the order of their ids.
    pub(super) masters: Vec<Master>,
}

/// What one of them says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Master {
    /// Its place.
    pub(super) node: NodeId,
    pub(super) own: Own,
}

/// A node's own line in its reply to `CLUSTER NODES`, and who the others are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) id: String,
    /// Grows with every slot that it takes from another one.
    pub(super) epoch: u64,
    /// First and last of each range.
    pub(super) slots: Vec<(u16, u16)>,
    /// Slots whose keys it gives to the node with this id.
    pub(super) gives: Vec<(u16, String)>,
    /// It takes keys of slots that are not its own yet.
    pub(super) takes: bool,
    /// Where the nodes are to whom it gives keys.
    pub(super) takers: Vec<(String, Address)>,
}

// === impl Own ===

impl Own {
    /// Reads the reply; none when the node is no master, or there is no sense in it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let line = text.lines().find(|line| {
            let flags = line.split(' ').nth(2).unwrap_or_default();
            flags.split(',').any(|flag| flag == "myself")
        })?;
        let mut words = line.split(' ');
        let id = words.next()?.to_owned();
        let flags = words.nth(1)?;
        if !flags.split(',').any(|flag| flag == "master") {
            return None;
        }
        let epoch = words.nth(3)?.parse().ok()?;
        let mut own = Own {
            id,
            epoch,
            slots: Vec::new(),
            gives: Vec::new(),
            takes: false,
            takers: Vec::new(),
        };
        for word in words.skip(1) {
            if let Some(open) = word.strip_prefix('[') {
                let open = open.trim_end_matches(']');
                match open.split_once("->-") {
                    Some((slot, to)) => own.gives.push((slot.parse().ok()?, to.to_owned())),
                    None => own.takes = true,
                }
                continue;
            }
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            let (first, last) = (first.parse().ok()?, last.parse().ok()?);
            if first > last || last > LAST_SLOT {
                return None;
            }
            own.slots.push((first, last));
        }
        let given = |id: &str| own.gives.iter().any(|(_, to)| to == id);
        own.takers = text
            .lines()
            .filter_map(|line| address(line, given))
            .collect();
        Some(own)
    }
}

/// The id and the address in a line, if the id is one of those.
fn address(line: &str, wanted: impl Fn(&str) -> bool) -> Option<(String, Address)> {
    let mut words = line.split(' ');
    let id = words.next().filter(|id| wanted(id))?;
    let at = words.next()?.split(['@', ',']).next()?;
    let (host, port) = at.rsplit_once(':')?;
    if host.is_empty() {
        return None;
    }
    let address = Address::Tcp {
        host: host.to_owned(),
        port: port.parse().ok()?,
    };
    Some((id.to_owned(), address))
}

// === impl Census ===

impl Census {
    /// Of what the masters say.
    pub(super) fn new(version: u64, mut masters: Vec<Master>) -> Self {
        masters.sort_by(|a, b| a.own.id.cmp(&b.own.id));
        Census { version, masters }
    }

    /// Whether every slot is some master's, and no slot that of two.
    pub(super) fn is_whole(&self) -> bool {
        let ranges = self.masters.iter().flat_map(|master| &master.own.slots);
        let mut ranges: Vec<_> = ranges.copied().collect();
        ranges.sort_unstable();
        let mut next = 0;
        for (first, last) in ranges {
            if first != next {
                return false;
            }
            next = last + 1;
        }
        next == LAST_SLOT + 1
    }

    /// Whether keys are on their way from one master to another.
    pub(super) fn is_moving(&self) -> bool {
        let moves = |master: &Master| master.own.takes || !master.own.gives.is_empty();
        self.masters.iter().any(moves)
    }

    /// The masters that keys are on their way to.
    pub(super) fn takers(&self) -> Vec<NodeId> {
        let given = |id: &str| {
            let mut gives = self.masters.iter().flat_map(|master| &master.own.gives);
            gives.any(|(_, to)| to == id)
        };
        let takers = self.masters.iter();
        let takers = takers.filter(|master| master.own.takes || given(&master.own.id));
        takers.map(|master| master.node).collect()
    }

    /// Whether a master with this id was asked.
    pub(super) fn has(&self, id: &str) -> bool {
        self.masters.iter().any(|master| master.own.id == id)
    }

    /// Names the masters, their slots and their epochs. It is never the same again once a slot has gone to another
    /// master, not even when it comes back: whoever takes a slot has a greater epoch than all others then.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hash = Sha256::new();
        for master in &self.masters {
            let own = &master.own;
            hash.update(format!("{} {} {:?}\n", own.id, own.epoch, own.slots));
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        u64::from_be_bytes(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
        aaa 10.0.0.1:7001@17001 myself,master - 0 0 5 connected 0-100 102 [93->-bbb] [101-<-bbb]\n\
        bbb 10.0.0.2:7002@17002,host master - 0 1 6 connected 101 103-16383\n\
        ccc 10.0.0.3:7003@17003 slave aaa 0 1 5 connected\n";

    #[test]
    fn a_node_says_what_it_has_and_gives() {
        let own = Own::read(TEXT).expect("a master");
        let to = Address::Tcp {
            host: "10.0.0.2".to_owned(),
            port: 7002,
        };
        assert_eq!(
            own,
            Own {
                id: "aaa".to_owned(),
                epoch: 5,
                slots: vec![(0, 100), (102, 102)],
                gives: vec![(93, "bbb".to_owned())],
                takes: true,
                takers: vec![("bbb".to_owned(), to)],
            }
        );
        assert!(Own::read(&TEXT.replace("myself,master", "myself,slave")).is_none());
        assert!(Own::read("").is_none());
    }

    /// An id, an epoch and slots.
    type Known<'a> = (&'a str, u64, &'a [(u16, u16)]);

    fn census(masters: &[Known<'_>]) -> Census {
        let master = |(n, (id, epoch, slots)): (u32, &Known<'_>)| Master {
            node: NodeId(n),
            own: Own {
                id: (*id).to_owned(),
                epoch: *epoch,
                slots: slots.to_vec(),
                gives: Vec::new(),
                takes: false,
                takers: Vec::new(),
            },
        };
        Census::new(1, (0..).zip(masters).map(master).collect())
    }

    #[test]
    fn every_slot_has_one_master() {
        let whole = census(&[("b", 1, &[(0, 9), (20, 16_383)]), ("a", 2, &[(10, 19)])]);
        assert!(whole.is_whole());
        assert_eq!(whole.masters[0].own.id, "a");
        assert!(!census(&[("a", 1, &[(0, 16_382)])]).is_whole());
        assert!(!census(&[("a", 1, &[(1, 16_383)])]).is_whole());
        assert!(!census(&[("a", 1, &[(0, 16_383)]), ("b", 1, &[(5, 5)])]).is_whole());
        let back = census(&[("b", 3, &[(0, 9), (20, 16_383)]), ("a", 2, &[(10, 19)])]);
        assert_ne!(whole.fingerprint(), back.fingerprint());
    }
}
