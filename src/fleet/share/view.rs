//! The Respites of a fleet at one moment, and who of them polls a shard: rendezvous hashing over those who can.
//! Pure: every member that sees the same view comes to the same answer.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::identity::{ShardKey, hash};
use crate::fleet::MAX_TARGETS;

/// The most members that are looked at.
pub(super) const MOST_MEMBERS: usize = 1000;
/// The longest name of a member, in bytes.
pub(super) const LONGEST_NAME: usize = 128;
/// What a row has of one shard that is declined, in bytes.
const DECLINED_BYTES: usize = 17;
/// The longest row of a member: its numbers, its digest, what it declines, which may be all that it tracks.
pub(super) const LONGEST_ROW: usize = 64 + 32 + DECLINED_BYTES * MAX_TARGETS;
/// What the rows of all members may have together: in the script, and half of it as members divide it.
pub(super) const MOST_ROWS: usize = 32 * 1024 * 1024;

/// Names a set of shards by its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct SetDigest([u8; 16]);

/// The shards that a member can poll, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct KeySet(Vec<ShardKey>);

/// One Respite, as it says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    pub(super) name: Arc<str>,
    /// The newest view that it has taken over: it polls nothing that is another's in it.
    pub(super) acked: u64,
    pub(super) set: SetDigest,
    /// Shards that refuse its login, sorted.
    pub(super) declined: Vec<ShardKey>,
    seed: u64,
}

/// All members, in the order of their names.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    pub(super) number: u64,
    members: Vec<Member>,
    /// The members by what they can poll: most can poll the same.
    groups: Vec<(Arc<KeySet>, Vec<usize>)>,
}

// === impl KeySet ===

impl KeySet {
    pub(super) fn new(mut keys: Vec<ShardKey>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        KeySet(keys)
    }

    pub(super) fn contains(&self, key: ShardKey) -> bool {
        self.0.binary_search(&key).is_ok()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        self.0.iter().flat_map(|key| key.0.to_be_bytes()).collect()
    }

    /// Reads a set back; none when it is not what this digest names.
    pub(super) fn decode(bytes: &[u8], digest: SetDigest) -> Option<Self> {
        let (keys, rest) = bytes.as_chunks::<8>();
        if !rest.is_empty() || keys.len() > MAX_TARGETS || SetDigest::of(bytes) != digest {
            return None;
        }
        let key = |bytes: &[u8; 8]| ShardKey(u64::from_be_bytes(*bytes));
        Some(KeySet::new(keys.iter().map(key).collect()))
    }
}

// === impl SetDigest ===

impl SetDigest {
    /// The digest of an encoded set.
    pub(super) fn of(encoded: &[u8]) -> Self {
        let mut first = [0; 16];
        first.copy_from_slice(&Sha256::digest(encoded)[..16]);
        SetDigest(first)
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let (high, low) = (text.get(..16)?, text.get(16..)?);
        let (high, low) = (ShardKey::parse(high)?, ShardKey::parse(low)?);
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&high.0.to_be_bytes());
        bytes[8..].copy_from_slice(&low.0.to_be_bytes());
        Some(SetDigest(bytes))
    }
}

impl std::fmt::Display for SetDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

// === impl Member ===

impl Member {
    /// Reads a row, `acked|digest|key,key,…`. None when no Respite can have written it.
    pub(super) fn parse(name: &[u8], row: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        if !is_name(name) || row.len() > LONGEST_ROW {
            return None;
        }
        let mut parts = row.splitn(3, |byte| *byte == b'|');
        let acked = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let set = SetDigest::parse(parts.next()?)?;
        let declined = parts.next()?.split(|byte| *byte == b',');
        let declined = declined.filter(|key| !key.is_empty()).map(ShardKey::parse);
        let mut declined = declined.collect::<Option<Vec<_>>>()?;
        declined.sort_unstable();
        Some(Member {
            seed: hash(&[name.as_bytes()]),
            name: name.into(),
            acked,
            set,
            declined,
        })
    }

    /// What it declines, as a row has it.
    pub(super) fn declined_text(declined: &[ShardKey]) -> String {
        let mut text = String::new();
        for key in declined {
            let gap = if text.is_empty() { "" } else { "," };
            let _ = write!(text, "{gap}{key}"); // a string takes everything
        }
        text
    }

    /// How much it is the one to poll this shard.
    fn score(&self, key: ShardKey) -> u64 {
        mix(self.seed ^ key.0)
    }

    fn declines(&self, key: ShardKey) -> bool {
        !self.declined.is_empty() && self.declined.binary_search(&key).is_ok()
    }
}

/// The most shards that each of so many members declines at a time.
pub(super) fn most_declined(members: usize) -> usize {
    (MOST_ROWS / 2 / DECLINED_BYTES / members.max(1)).min(MAX_TARGETS)
}

/// What a member may be called.
pub(super) fn is_name(name: &str) -> bool {
    (1..=LONGEST_NAME).contains(&name.len()) && name.chars().all(|c| c.is_ascii_graphic())
}

/// Spreads 64 bits (splitmix64's finaliser, which maps no two values to one).
pub(super) fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

// === impl View ===

impl View {
    /// A view of these members; one whose set is not among `sets` can poll nothing.
    pub(super) fn new(
        number: u64,
        mut members: Vec<Member>,
        sets: &HashMap<SetDigest, Arc<KeySet>>,
    ) -> Self {
        members.sort_by(|a, b| a.name.cmp(&b.name));
        let mut groups: Vec<(SetDigest, Vec<usize>)> = Vec::new();
        for (index, member) in members.iter().enumerate() {
            match groups.iter_mut().find(|(set, _)| *set == member.set) {
                Some((_, group)) => group.push(index),
                None => groups.push((member.set, vec![index])),
            }
        }
        let known = |(set, group)| Some((Arc::clone(sets.get(&set)?), group));
        View {
            number,
            members,
            groups: groups.into_iter().filter_map(known).collect(),
        }
    }

    pub(super) fn members(&self) -> &[Member] {
        &self.members
    }

    pub(super) fn member(&self, name: &str) -> Option<&Member> {
        let found = self
            .members
            .binary_search_by(|member| (*member.name).cmp(name));
        Some(&self.members[found.ok()?])
    }

    /// Who polls this shard: of those who can the one with the highest score, who decline only if nobody else can.
    pub(super) fn owner(&self, key: ShardKey) -> Option<&Member> {
        let mut best: Option<(bool, u64, &Member)> = None;
        for (set, group) in &self.groups {
            if !set.contains(key) {
                continue;
            }
            for index in group {
                let member = &self.members[*index];
                let rank = (!member.declines(key), member.score(key));
                if best.is_none_or(|(willing, score, _)| rank > (willing, score)) {
                    best = Some((rank.0, rank.1, member));
                }
            }
        }
        best.map(|(_, _, member)| member)
    }

    /// Whether somebody else than `me` could poll this shard and does not decline it.
    pub(super) fn others_can(&self, key: ShardKey, me: &str) -> bool {
        self.groups.iter().any(|(set, group)| {
            let other = |index: &usize| {
                let member = &self.members[*index];
                &*member.name != me && !member.declines(key)
            };
            set.contains(key) && group.iter().any(other)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(n: u64) -> Vec<ShardKey> {
        (0..n).map(|n| ShardKey(mix(n + 1))).collect()
    }

    fn view(names: &[&str], set: &KeySet, declined: &[(&str, ShardKey)]) -> View {
        let encoded = set.encode();
        let digest = SetDigest::of(&encoded);
        let member = |name: &&str| {
            let mine: Vec<_> = declined.iter().filter(|(who, _)| who == name).collect();
            let text = Member::declined_text(&mine.iter().map(|(_, key)| *key).collect::<Vec<_>>());
            Member::parse(name.as_bytes(), format!("1|{digest}|{text}").as_bytes())
        };
        let members = names.iter().filter_map(member).collect();
        View::new(1, members, &[(digest, Arc::new(set.clone()))].into())
    }

    #[test]
    fn each_has_its_part_and_who_comes_or_goes_moves_no_others() {
        let keys = keys(10_000);
        let set = KeySet::new(keys.clone());
        let names: Vec<String> = (0..10).map(|n| format!("m{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let ten = view(&names, &set, &[]);
        let nine = view(&names[1..], &set, &[]);
        let mut parts = HashMap::<&str, usize>::new();
        for key in &keys {
            let owner = &ten.owner(*key).expect("somebody").name;
            *parts.entry(owner).or_default() += 1;
            if **owner != *names[0] {
                assert_eq!(owner, &nine.owner(*key).expect("somebody").name);
            }
        }
        // A tenth each; the standard deviation is 30.
        assert!(parts.values().all(|n| (850..1150).contains(n)), "{parts:?}");
    }

    #[test]
    fn who_cannot_poll_a_shard_or_declines_it_is_passed_by() {
        let keys = keys(100);
        let set = KeySet::new(keys.clone());
        let plain = view(&["a", "b"], &set, &[]);
        for key in &keys {
            let first = Arc::clone(&plain.owner(*key).expect("somebody").name);
            let declined = view(&["a", "b"], &set, &[(&first, *key)]);
            assert_ne!(declined.owner(*key).expect("the other").name, first);
            assert!(!declined.others_can(*key, if &*first == "a" { "b" } else { "a" }));
            let both = view(&["a", "b"], &set, &[("a", *key), ("b", *key)]);
            assert_eq!(both.owner(*key).expect("the same").name, first);
        }
        assert_eq!(plain.owner(ShardKey(1)), None, "nobody's");
        let unknown = View::new(1, plain.members().to_vec(), &HashMap::new());
        assert_eq!(unknown.owner(keys[0]), None, "no sets are known");
    }

    #[test]
    fn what_no_respite_wrote_is_not_read() {
        let set = KeySet::new(keys(3));
        let digest = SetDigest::of(&set.encode());
        let row = format!("5|{digest}|");
        assert!(Member::parse(b"a", row.as_bytes()).is_some());
        for name in ["", "a b", "\u{fc}", &"x".repeat(129)] {
            assert!(Member::parse(name.as_bytes(), row.as_bytes()).is_none());
        }
        for row in [
            String::new(),
            "5".to_owned(),
            "5|x|".to_owned(),
            format!("-1|{digest}|"),
            format!("5|{digest}"),
            format!("5|{digest}|x"),
            format!("5|{digest}|{}", "0".repeat(LONGEST_ROW)),
        ] {
            assert!(Member::parse(b"a", row.as_bytes()).is_none(), "{row}");
        }
        assert_eq!(KeySet::decode(&set.encode(), digest), Some(set));
        for bytes in [&b"x"[..], &[0; 24]] {
            assert_eq!(KeySet::decode(bytes, digest), None);
        }
    }
}
