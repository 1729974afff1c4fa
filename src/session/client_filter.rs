//! Which clients `CLIENT LIST` and `CLIENT KILL` mean.

use super::hello::number;
use super::registry::ClientEntry;
use crate::resp::Args;

/// The version of Redis that brought `CLIENT KILL MAXAGE`.
const MAXAGE_SINCE: (u32, u32) = (7, 4);
const SYNTAX: &str = "ERR syntax error";

/// Conditions that all have to hold.
#[derive(Debug, Default)]
pub(super) struct ClientFilter {
    ids: Vec<u64>,
    kind: Option<String>,
    addr: Option<Vec<u8>>,
    laddr: Option<Vec<u8>>,
    /// The name of a user, who need not exist.
    pub(super) user: Option<Vec<u8>>,
    max_age: Option<u64>,
    /// Leaves out the client that asks.
    pub(super) skip_me: bool,
}

impl ClientFilter {
    /// Reads the arguments of `CLIENT LIST`, from the third on.
    pub(super) fn for_list(args: Args<'_>) -> Result<Self, String> {
        let mut filter = ClientFilter::default();
        let Some(option) = args.get(2) else {
            return Ok(filter);
        };
        if option.eq_ignore_ascii_case(b"TYPE") && args.len() == 4 {
            filter.kind = Some(kind(&args[3])?);
        } else if option.eq_ignore_ascii_case(b"ID") && args.len() > 3 {
            for id in args.iter().skip(3) {
                filter
                    .ids
                    .push(positive(id).ok_or("ERR Invalid client ID")?);
            }
        } else {
            return Err(SYNTAX.into());
        }
        Ok(filter)
    }

    /// Reads the filters of `CLIENT KILL`, from the third argument on, as a Redis of this version does; an unknown one has all.
    pub(super) fn for_kill(args: Args<'_>, version: Option<(u32, u32)>) -> Result<Self, String> {
        let mut filter = ClientFilter {
            skip_me: true,
            ..ClientFilter::default()
        };
        let mut at = 2;
        while let (Some(option), Some(value)) = (args.get(at), args.get(at + 1)) {
            match option.to_ascii_uppercase().as_slice() {
                b"ID" => {
                    let id = positive(value).ok_or("ERR client-id should be greater than 0")?;
                    filter.ids.push(id);
                }
                b"TYPE" => filter.kind = Some(kind(value)?),
                b"ADDR" => filter.addr = Some(value.to_vec()),
                b"LADDR" => filter.laddr = Some(value.to_vec()),
                b"USER" => filter.user = Some(value.to_vec()),
                b"MAXAGE" if version.is_none_or(|version| version >= MAXAGE_SINCE) => {
                    let age =
                        positive(value).ok_or("ERR maxage is not an integer or out of range")?;
                    filter.max_age = Some(age);
                }
                b"SKIPME" if value.eq_ignore_ascii_case(b"yes") => filter.skip_me = true,
                b"SKIPME" if value.eq_ignore_ascii_case(b"no") => filter.skip_me = false,
                _ => return Err(SYNTAX.into()),
            }
            at += 2;
        }
        if at < args.len() {
            Err(SYNTAX.into())
        } else {
            Ok(filter)
        }
    }

    /// Whether a client is meant.
    pub(super) fn matches(&self, client: &ClientEntry) -> bool {
        (self.ids.is_empty() || self.ids.contains(&client.id))
            && self
                .kind
                .as_deref()
                .is_none_or(|kind| kind == client.kind())
            && self
                .addr
                .as_deref()
                .is_none_or(|addr| addr == client.addr().as_bytes())
            && self
                .laddr
                .as_deref()
                .is_none_or(|laddr| laddr == client.laddr().as_bytes())
            && self
                .user
                .as_deref()
                .is_none_or(|user| user == client.facts().user.as_bytes())
            && self.max_age.is_none_or(|age| client.age_secs() >= age)
    }
}

fn positive(text: &[u8]) -> Option<u64> {
    number(text)
        .and_then(|n| u64::try_from(n).ok())
        .filter(|n| *n > 0)
}

fn kind(name: &[u8]) -> Result<String, String> {
    let name = String::from_utf8_lossy(name);
    match name.to_ascii_lowercase().as_str() {
        kind @ ("normal" | "master" | "replica" | "pubsub") => Ok(kind.to_owned()),
        "slave" => Ok("replica".to_owned()),
        _ => Err(format!("ERR Unknown client type '{name}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::registry::Registry;
    use super::*;
    use crate::resp::ArgVec;

    fn args(words: &str) -> ArgVec {
        let mut args = ArgVec::default();
        words.split(' ').for_each(|word| args.push(word.as_bytes()));
        args
    }

    #[test]
    fn all_conditions_have_to_hold() {
        let registry = Registry::default();
        let one = registry.add(0, "1.1.1.1:1".into(), "l:1".into(), 0);
        let two = registry.add(0, "1.1.1.1:2".into(), "l:1".into(), 0);
        let kill = |words: &str| {
            let filter = ClientFilter::for_kill(args(words).as_args(), None).expect("valid");
            [&one, &two].map(|client| filter.matches(client))
        };
        assert_eq!(kill("CLIENT KILL ADDR 1.1.1.1:2"), [false, true]);
        assert_eq!(kill("CLIENT KILL LADDR l:1 ID 1"), [true, false]);
        assert_eq!(kill("CLIENT KILL TYPE pubsub"), [false, false]);
        assert_eq!(kill("CLIENT KILL USER default SKIPME no"), [true, true]);
    }

    #[test]
    fn errors_are_those_of_redis() {
        let error = |words: &str| {
            let read = ClientFilter::for_kill(args(words).as_args(), Some((7, 0)));
            read.expect_err("wrong")
        };
        assert_eq!(
            error("CLIENT KILL ID 0"),
            "ERR client-id should be greater than 0"
        );
        assert_eq!(error("CLIENT KILL TYPE x"), "ERR Unknown client type 'x'");
        assert_eq!(error("CLIENT KILL ID 1 ADDR"), "ERR syntax error");
        assert_eq!(error("CLIENT KILL MAXAGE 1"), "ERR syntax error");
        let newer = args("CLIENT KILL MAXAGE 1");
        assert!(ClientFilter::for_kill(newer.as_args(), Some((7, 4))).is_ok());
        let list = ClientFilter::for_list(args("CLIENT LIST ID x").as_args()).expect_err("wrong");
        assert_eq!(list, "ERR Invalid client ID");
    }
}
