//! What a fill link asks the backing for one read: the read itself, and before it how long its reply is good.
//!
//! Each of these commands has the backing track the key, so whatever changes a life after it was asked for is pushed.

use std::time::Instant;

use super::{Asked, Inner};
use crate::resp::{Value, parse_reply};
use crate::upstream::server_hello::ServerHello;

/// A read to be made for the cache.
#[derive(Debug)]
pub struct Fetch {
    /// The key.
    pub key: Box<[u8]>,
    /// What the cache knows the fetch by.
    pub token: u64,
    /// The read; none for `GET`.
    pub read: Option<Box<FetchRead>>,
}

/// A read other than `GET`.
#[derive(Debug)]
pub struct FetchRead {
    /// The whole request.
    pub request: Box<[u8]>,
    /// The fields of a hash that its reply depends on.
    pub fields: FetchFields,
}

/// Fields of a hash, which may have lives of their own.
#[derive(Debug)]
pub enum FetchFields {
    /// None.
    None,
    /// These.
    Named(Vec<Box<[u8]>>),
    /// All that there are.
    All,
}

/// No `PTTL` says that: how long a reply is good is not known.
pub(super) const UNKNOWN: i64 = i64::MIN;

/// What has been learnt of the life of what is about to be read.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// In milliseconds, as `PTTL` says it.
    pttl: i64,
    /// It is a hash of which it is not known whether fields of it have lives.
    suspect: bool,
}

impl Inner {
    /// Asks for a read, and for what is to be known of it when its reply comes.
    pub(super) fn ask(&mut self, fetch: Fetch, now: Instant) {
        self.out.command(&[b"PTTL", &fetch.key]);
        self.asked.push_back((Asked::Pttl, now));
        let Some(read) = &fetch.read else {
            self.out.command(&[b"GET", &fetch.key]);
            self.asked.push_back((Asked::Get(fetch, self.epoch), now));
            return;
        };
        match &read.fields {
            FetchFields::None => {}
            _ if !self.has_field_lives => {}
            FetchFields::Named(fields) => {
                let count = fields.len().to_string();
                let mut command: Vec<&[u8]> = vec![b"HPTTL", &fetch.key, b"FIELDS"];
                command.push(count.as_bytes());
                command.extend(fields.iter().map(|field| &**field));
                self.out.command(&command);
                self.asked.push_back((Asked::FieldLives, now));
            }
            FetchFields::All => {
                self.out.command(&[b"OBJECT", b"ENCODING", &fetch.key]);
                self.asked.push_back((Asked::Encoding, now));
                self.out.command(&[b"INFO", b"keyspace"]);
                self.asked.push_back((Asked::Keyspace, now));
            }
        }
        self.out.push(&read.request);
        self.asked.push_back((Asked::Get(fetch, self.epoch), now));
    }
}

impl Life {
    /// How long what was read is good, in milliseconds as `PTTL` says it.
    pub(super) fn pttl(&self) -> i64 {
        self.pttl
    }

    /// Begins with what `PTTL` says.
    pub(super) fn of_key(&mut self, reply: &[u8]) {
        *self = Life {
            pttl: integer(reply).unwrap_or(UNKNOWN),
            suspect: false,
        };
    }

    /// Takes in what `HPTTL` says.
    pub(super) fn of_fields(&mut self, reply: &[u8]) {
        match parse_reply(reply) {
            Ok(Some((Value::Array(lives), _))) => {
                for life in lives.iter().filter_map(Value::as_int).filter(|n| *n >= 0) {
                    self.pttl = match self.pttl {
                        -1 => life,
                        pttl => pttl.min(life),
                    };
                }
            }
            // No hash: what is read has no fields.
            Ok(Some((Value::Null, _))) => {}
            _ if reply.starts_with(b"-WRONGTYPE") => {}
            _ => self.pttl = UNKNOWN,
        }
    }

    /// Takes in what `OBJECT ENCODING` says: some encodings tell that no field has a life, one that some may have.
    pub(super) fn of_encoding(&mut self, reply: &[u8]) {
        match parse_reply(reply) {
            Ok(Some((Value::Bulk(b"hashtable"), _))) => self.suspect = true,
            Ok(Some((Value::Bulk(b"listpackex"), _))) => self.pttl = UNKNOWN,
            Ok(Some((Value::Bulk(_) | Value::Null, _))) => {}
            _ => self.pttl = UNKNOWN,
        }
    }

    /// Takes in what `INFO keyspace` says: how many hashes of a database have fields with lives.
    pub(super) fn of_keyspace(&mut self, reply: &[u8], db: u32) {
        if !self.suspect {
            return;
        }
        let parsed = parse_reply(reply).ok().flatten();
        let text = parsed.as_ref().and_then(|(value, _)| value.as_str());
        if text.and_then(|text| hashes_with_lives(text, db)) != Some(0) {
            self.pttl = UNKNOWN;
        }
    }
}

/// How many hashes of a database have fields with lives of their own, if that is told.
fn hashes_with_lives(info: &str, db: u32) -> Option<u64> {
    let name = format!("db{db}:");
    let Some(line) = info.lines().find_map(|line| line.strip_prefix(&name)) else {
        // Without keys a database has no line.
        return info.contains("# Keyspace").then_some(0);
    };
    let mut fields = line.split(',');
    fields.find_map(|field| {
        let (name, count) = field.split_once('=')?;
        matches!(name, "subexpiry" | "keys_with_volatile_items").then(|| count.parse().ok())?
    })
}

/// Whether fields of hashes may have lives of their own.
pub(super) fn has_field_lives(hello: &ServerHello) -> bool {
    let mut numbers = hello.version.split('.').map(|n| n.parse::<u32>().ok());
    let mut number = || numbers.next().flatten();
    let Some(major) = number() else {
        return true;
    };
    match hello.server.as_str() {
        "redis" => (major, number().unwrap_or(u32::MAX)) >= (7, 4),
        "valkey" => major >= 9,
        _ => true,
    }
}

fn integer(frame: &[u8]) -> Option<i64> {
    let digits = frame.strip_prefix(b":")?.strip_suffix(b"\r\n")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn life(pttl: &str) -> Life {
        let mut life = Life::default();
        life.of_key(pttl.as_bytes());
        life
    }

    #[test]
    fn a_reply_lives_as_long_as_its_key_and_its_fields() {
        for (key, fields, both) in [
            (":-1\r\n", "*2\r\n:-1\r\n:-2\r\n", -1),
            (":-1\r\n", "*2\r\n:50\r\n:-1\r\n", 50),
            (":40\r\n", "*1\r\n:50\r\n", 40),
            (":60\r\n", "*2\r\n:50\r\n:55\r\n", 50),
            (":-2\r\n", "*1\r\n:-2\r\n", -2),
            (":-1\r\n", "-WRONGTYPE no hash\r\n", -1),
            (":-1\r\n", "-NOPERM no\r\n", UNKNOWN),
        ] {
            let mut life = life(key);
            life.of_fields(fields.as_bytes());
            assert_eq!(life.pttl(), both, "{key:?} {fields:?}");
        }
        assert_eq!(life("-NOPERM no\r\n").pttl(), UNKNOWN);
    }

    #[test]
    fn a_whole_hash_is_kept_only_where_no_field_can_have_a_life() {
        let info =
            |n: u32| format!("# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0,subexpiry={n}\r\n");
        let old = "# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n".to_owned();
        for (encoding, info, pttl) in [
            ("listpack", info(3), -1),
            ("quicklist", info(3), -1),
            ("listpackex", info(0), UNKNOWN),
            ("hashtable", info(0), -1),
            ("hashtable", info(1), UNKNOWN),
            ("hashtable", old, UNKNOWN),
            ("hashtable", "# Keyspace\r\n".into(), -1),
            ("hashtable", String::new(), UNKNOWN),
        ] {
            let mut life = life(":-1\r\n");
            life.of_encoding(format!("${}\r\n{encoding}\r\n", encoding.len()).as_bytes());
            life.of_keyspace(format!("${}\r\n{info}\r\n", info.len()).as_bytes(), 0);
            assert_eq!(life.pttl(), pttl, "{encoding} {info:?}");
        }
        let mut refused = life(":-1\r\n");
        refused.of_encoding(b"-NOPERM no\r\n");
        assert_eq!(refused.pttl(), UNKNOWN);
    }
}
