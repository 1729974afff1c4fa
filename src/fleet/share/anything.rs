//! Reads whatever others may have left in the backing, for the fuzzer: nothing of it panics or grows beyond its bounds.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use super::heartbeat::Told;
use super::identity::ShardKey;
use super::membership::{Membership, Terms};
use super::news::News;
use super::record::Record;
use super::view::{KeySet, Member, SetDigest, View};

/// The longest text of a record here.
const MOST: usize = 64 * 1024;
/// A shard.
const KEY: ShardKey = ShardKey(7);

/// Reads bytes as each of the things that Respites leave there.
pub fn read_shared(bytes: &[u8]) {
    let mut news = News::default();
    for half in bytes.chunks(1 + bytes.len() / 2) {
        let _ = news.read(KEY, half, MOST); // a base for what follows, perhaps
    }
    if let Ok(record) = news.read(KEY, bytes, MOST) {
        let len = record.text.as_ref().map_or(0, Vec::len);
        assert!(len <= MOST, "{len}");
        let again = Record::decode(&record.encode(None), MOST, |_| None);
        assert_eq!(again.map(|again| again.text), Ok(record.text));
    }
    let digest = SetDigest::of(bytes);
    let mut sets = HashMap::new();
    if let Some(set) = KeySet::decode(bytes, digest) {
        sets.insert(digest, Arc::new(set));
    }
    let lines = bytes.split(|byte| *byte == b'\n');
    let rows = lines.map(|line| Member::parse(b"member", line));
    let view = View::new(1, rows.flatten().collect(), &sets);
    let _ = view.owner(KEY); // whoever it is
    let told = redis::parse_redis_value(bytes).ok();
    if let Some(told) = told.and_then(|reply| Told::parse(reply, 0)) {
        let mut member = Membership::new("me".into());
        member.track(vec![KEY]);
        let now = Instant::now();
        let beat = member.beat(Vec::new(), Terms::default(), now);
        member.hear(&beat, &told, (now, now));
        let _ = member.settle(); // whatever follows
        if let Some(clock) = member.clock() {
            let _ = clock.instant(told.upto, now); // or none
        }
    }
}
