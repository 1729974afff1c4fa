//! The keys of one slot, for clients that count or list them.
//!
//! A node of a cluster knows them. A server that is in none is asked for all its keys, which takes its time.

use std::collections::HashSet;
use std::time::Duration;

use super::backing::Backing;
use super::connect::{ConnectOptions, decode};
use super::error::UpstreamError;
use super::frame_reader::FrameReader;
use super::link_key::LinkKey;
use super::open_conns::MasterStream;
use super::topology::HOME;
use super::write_buf::WriteBuf;
use crate::resp::{Proto, Value};
use crate::slot::slot_of;

/// Keys that are looked at between two answers of a server.
const AT_ONCE: &[u8] = b"1000";
/// Keys are 512 MiB at most; of a slot with such ones nobody wants to know.
const REPLY_BYTES: usize = 64 * 1024 * 1024;
/// Keys of one slot that are told apart.
const MOST_KEYS: usize = 1_000_000;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct SlotKeys {
    /// The slot.
    pub slot: u16,
    /// The database; a cluster has one.
    pub db: u32,
    /// So many keys are enough.
    pub most: usize,
    /// How long connecting may take.
    pub connect: Duration,
}

impl SlotKeys {
    /// How many keys there are.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub async fn count(self, backing: &Backing) -> Result<usize, UpstreamError> {
        if !backing.is_cluster() {
            return Ok(self.search(backing, MOST_KEYS).await?.len());
        }
        let mut conn = self.connect(backing).await?;
        let slot = self.slot.to_string();
        let words: [&[u8]; 3] = [b"CLUSTER", b"COUNTKEYSINSLOT", slot.as_bytes()];
        let reply = conn.ask(&words).await?;
        let count = decode(&reply)?.0.as_int();
        let count = count.and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| refused(backing, &reply))
    }

    /// The names of some keys.
    ///
    /// # Errors
    /// When the server cannot be asked, or refuses.
    pub async fn names(self, backing: &Backing) -> Result<Vec<Vec<u8>>, UpstreamError> {
        if !backing.is_cluster() {
            let found = self.search(backing, self.most.min(MOST_KEYS)).await?;
            return Ok(found.into_iter().collect());
        }
        let mut conn = self.connect(backing).await?;
        let (slot, most) = (self.slot.to_string(), self.most.to_string());
        let words: [&[u8]; 4] = [
            b"CLUSTER",
            b"GETKEYSINSLOT",
            slot.as_bytes(),
            most.as_bytes(),
        ];
        let reply = conn.ask(&words).await?;
        match decode(&reply)?.0 {
            Value::Array(keys) => Ok(names(&keys).map(<[u8]>::to_vec).collect()),
            _ => Err(refused(backing, &reply)),
        }
    }

    async fn search(
        self,
        backing: &Backing,
        most: usize,
    ) -> Result<HashSet<Vec<u8>>, UpstreamError> {
        let mut found = HashSet::new();
        if most == 0 {
            return Ok(found);
        }
        let mut conn = self.connect(backing).await?;
        let mut cursor = b"0".to_vec();
        loop {
            let reply = conn.ask(&[b"SCAN", &cursor, b"COUNT", AT_ONCE]).await?;
            let (value, _) = decode(&reply)?;
            let Some([next, keys]) = value.as_array() else {
                return Err(refused(backing, &reply));
            };
            let keys = keys.as_array().unwrap_or_default();
            for key in names(keys).filter(|key| slot_of(key) == self.slot) {
                found.insert(key.to_vec());
                if found.len() == most {
                    return Ok(found);
                }
            }
            cursor = next.as_bytes().unwrap_or_default().to_vec();
            if cursor == b"0" || cursor.is_empty() {
                return Ok(found);
            }
        }
    }

    async fn connect(self, backing: &Backing) -> Result<Asking, UpstreamError> {
        let node = backing.topology().owner(self.slot).unwrap_or(HOME);
        let options = ConnectOptions {
            key: LinkKey::new(node, self.db, Proto::Resp2),
            name: "respite-slot",
            timeout: self.connect,
        };
        let conn = backing.connect(options).await?;
        Ok(Asking {
            stream: conn.stream,
            reader: FrameReader::default(),
        })
    }
}

/// A connection that is asked one thing after the other.
struct Asking {
    stream: MasterStream,
    reader: FrameReader,
}

impl Asking {
    async fn ask(&mut self, words: &[&[u8]]) -> Result<Vec<u8>, UpstreamError> {
        let mut request = WriteBuf::default();
        request.command(words);
        request.send(&mut self.stream).await?;
        self.reader.reply(&mut self.stream, REPLY_BYTES).await
    }
}

fn names<'a>(keys: &'a [Value<'_>]) -> impl Iterator<Item = &'a [u8]> {
    keys.iter().filter_map(Value::as_bytes)
}

fn refused(backing: &Backing, reply: &[u8]) -> UpstreamError {
    UpstreamError::Refused {
        address: backing.address(),
        reply: String::from_utf8_lossy(reply).trim_end().to_owned(),
    }
}
