//! The backing of a simulated fleet: `heartbeat.lua` once more, with time handed in, and counts of what it costs. A test
//! compares it with the script.

use std::collections::{BTreeMap, HashMap};

use super::super::heartbeat::{Beat, MOST_BYTES, MOST_RECORDS, Told};
use super::super::identity::ShardKey;
use super::super::view::SetDigest;

/// What a reply has besides rows and records, and a request besides its arguments, in bytes.
const AROUND: usize = 150;

/// As in the script.
const RETURN: u64 = 3_000_000;

#[derive(Debug, Default)]
pub(super) struct Model {
    view: u64,
    rev: u64,
    born: u64,
    last: u64,
    leases: BTreeMap<String, u64>,
    rows: HashMap<String, String>,
    sets: HashMap<String, Vec<u8>>,
    info: HashMap<ShardKey, (u64, Vec<u8>)>,
    when: BTreeMap<u64, ShardKey>,
    pub(super) cost: Cost,
}

/// What the backing has had to do.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Cost {
    pub(super) scripts: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
}

impl Model {
    /// Executes a beat then. A record's size is what `size` says: the records of a simulation are short.
    pub(super) fn beat(&mut self, beat: &Beat, now: u64, size: impl Fn(&[u8]) -> usize) -> Told {
        self.cost.scripts += 1;
        self.cost.bytes_in += AROUND as u64;
        let lease = u64::try_from(beat.lease.as_micros()).expect("short");
        let mut changed = false;
        let mut acks = false;
        let ended = self.leases.iter().filter(|(_, end)| **end <= now);
        let ended: Vec<String> = ended.map(|(name, _)| name.clone()).take(100).collect();
        for name in ended {
            self.leases.remove(&name);
            self.rows.remove(&name);
            changed = true;
        }
        for end in self.leases.values_mut() {
            if *end > now + 2 * lease {
                *end = now + lease;
            }
        }
        let joined = !self.leases.contains_key(&beat.member);
        let mut wants_set = false;
        if beat.leaves {
            if !joined {
                self.leases.remove(&beat.member);
                self.rows.remove(&beat.member);
                changed = true;
            }
        } else {
            if joined {
                if self.leases.is_empty() {
                    let returns = if beat.acked == 0 { 0 } else { RETURN };
                    self.born = now + returns;
                }
                changed = true;
            }
            self.leases.insert(beat.member.clone(), now + lease);
            let what = format!("{}|{}", beat.digest, beat.declined);
            let row = format!("{}|{what}", beat.acked);
            let old = self.rows.insert(beat.member.clone(), row.clone());
            let old = old.unwrap_or_default();
            let (acked, before) = old.split_once('|').unwrap_or_default();
            changed |= before != what;
            acks = acked != beat.acked.to_string();
            match &beat.set {
                Some(set) => {
                    self.cost.bytes_in += set.len() as u64;
                    self.sets.insert(beat.digest.clone(), set.clone());
                }
                None => wants_set = !self.sets.contains_key(&beat.digest),
            }
        }
        if changed {
            self.view = now.max(self.view + 1);
            let rows = &self.rows;
            let named = |set: &String| rows.values().any(|row| row.split('|').nth(1) == Some(set));
            if self.sets.len() > 1 {
                self.sets.retain(|set, _| named(set));
            }
        }
        if changed || acks {
            self.rev = now.max(self.rev + 1);
        }
        let rows = (!beat.leaves && beat.rev != self.rev).then(|| {
            let rows = self.leases.keys().map(|name| {
                let row = self.rows.get(name).cloned().unwrap_or_default();
                (name.clone().into_bytes(), row.into_bytes())
            });
            rows.collect::<Vec<_>>()
        });
        let (records, upto, more) = self.exchange(beat, now, size);
        let out: usize = rows
            .iter()
            .flatten()
            .map(|(name, row)| name.len() + row.len() + 12)
            .sum();
        self.cost.bytes_out += (AROUND + out) as u64;
        Told {
            now,
            view: self.view,
            rev: self.rev,
            born: self.born,
            joined,
            wants_set,
            upto,
            more,
            rows,
            records,
        }
    }

    fn exchange(
        &mut self,
        beat: &Beat,
        now: u64,
        size: impl Fn(&[u8]) -> usize,
    ) -> (Vec<(ShardKey, Vec<u8>)>, u64, bool) {
        let (mut records, mut bytes, mut more, mut upto) = (Vec::new(), 0, false, self.last);
        if !beat.leaves {
            for (number, key) in self.when.range(beat.since + 1..) {
                let record = &self.info[key].1;
                let full = bytes + size(record) > MOST_BYTES && bytes > 0;
                if records.len() == MOST_RECORDS || full {
                    more = true;
                    break;
                }
                upto = *number;
                bytes += size(record);
                records.push((*key, record.clone()));
            }
        }
        if !more {
            upto = upto.max(self.last);
        }
        self.cost.bytes_out += (bytes + records.len() * 30) as u64;
        for entry in &beat.entries {
            let told = (self.last + 1).max(now);
            self.last = told;
            if let Some((old, _)) = self.info.insert(entry.key, (told, entry.record.clone())) {
                self.when.remove(&old);
            }
            self.when.insert(told, entry.key);
            self.cost.bytes_in += (size(&entry.record) + 40) as u64;
        }
        if !beat.entries.is_empty() && !more {
            upto = self.last;
        }
        (records, upto, more)
    }

    /// The sets that are asked for.
    pub(super) fn sets(&mut self, digests: &[SetDigest]) -> Vec<(SetDigest, Vec<u8>)> {
        self.cost.scripts += 1;
        let set = |digest: &SetDigest| self.sets.get(&digest.to_string()).cloned();
        let sets: Vec<_> = digests
            .iter()
            .map(|digest| (*digest, set(digest).unwrap_or_default()))
            .collect();
        let bytes: usize = sets.iter().map(|(_, set)| set.len()).sum();
        self.cost.bytes_out += (bytes + AROUND) as u64;
        sets
    }

    /// Loses all that it has.
    pub(super) fn flush(&mut self) {
        *self = Model {
            cost: self.cost,
            ..Model::default()
        };
    }
}
