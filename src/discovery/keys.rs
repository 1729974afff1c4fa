//! The names of the keys in the backing.

/// The list of groups: a sorted set.
pub(super) const GROUPS: &str = "respite:d::groups";
/// When a Respite was there last, and the latest outages: a hash.
pub(super) const PRESENCE: &str = "respite:d::presence";

/// What a group's keys end in, in the order of the scripts' `KEYS`.
const PARTS: [&str; 9] = [
    "meta", "services", "changed", "nodes", "names", "leases", "kept", "cursors", "events",
];

/// The keys of a group. They share a hash tag, so that they are on one node of a cluster.
pub(super) fn of_group(group: &str) -> [String; PARTS.len()] {
    let tag = tag(group);
    PARTS.map(|part| format!("respite:d:{{{tag}}}:{part}"))
}

/// The key that stands for a group in key rules: `respite:d:{group}`.
pub(super) fn rule_key(group: &str) -> String {
    format!("respite:d:{{{}}}", tag(group))
}

/// The key of a group's event stream.
pub(super) fn events(group: &str) -> String {
    format!("respite:d:{{{}}}:events", tag(group))
}

/// The group's name without what would end the tag early.
fn tag(group: &str) -> String {
    let mut tag = String::with_capacity(group.len());
    for c in group.chars() {
        match c {
            '%' => tag.push_str("%25"),
            '{' => tag.push_str("%7B"),
            '}' => tag.push_str("%7D"),
            c => tag.push(c),
        }
    }
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_the_hash_tag_whatever_its_name() {
        let keys = of_group("web");
        assert_eq!(keys[0], "respite:d:{web}:meta");
        assert_eq!(keys[8], events("web"));
        assert_eq!(of_group("}a{%")[0], "respite:d:{%7Da%7B%25}:meta");
        assert_ne!(of_group("a}")[0], of_group("a%7D")[0]);
    }
}
