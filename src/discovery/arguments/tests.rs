//! What is read, and what is refused.

use super::*;
use crate::command::{Caller, Rights};
use crate::resp::{ArgVec, Proto};
use std::sync::Arc;

fn read(line: &str) -> Parsed<Command> {
    let args: ArgVec = line.split(' ').collect();
    let caller = Arc::new(Caller::new(1, "[::ffff:10.0.0.9]:5".parse().ok()));
    let rights = Rights::Everything;
    Command::read(&Call {
        rights: &rights,
        args: args.as_args(),
        proto: Proto::Resp2,
        db: 0,
        caller: &caller,
    })
}

#[test]
fn joining_takes_everything_in_any_order_and_case() {
    let line = "discovery.join web n1 nx tags 2 a b facts 1 os linux ttl 1.5 addr h 80 group g";
    let Ok(Command::Join {
        of,
        node,
        ttl,
        keep,
        only_new,
        details,
    }) = read(line)
    else {
        panic!("{:?}", read(line));
    };
    assert_eq!((of.group.as_str(), of.service.as_str()), ("g", "web"));
    assert_eq!((node.as_str(), only_new), ("n1", true));
    assert_eq!(ttl, Some(Duration::from_millis(1500)));
    assert_eq!(keep, Duration::ZERO);
    assert_eq!(details.tags, ["a", "b"]);
    assert_eq!(details.facts, [("os".to_owned(), b"linux".to_vec())]);
    assert_eq!(details.addr.map(|a| a.to_string()).as_deref(), Some("h:80"));
}

#[test]
fn without_an_address_it_is_that_of_the_client() {
    let Ok(Command::Join { details, of, .. }) = read("DISCOVERY.JOIN web n1") else {
        panic!("not read");
    };
    let addr = details.addr.map(|addr| addr.to_string());
    assert_eq!(addr.as_deref(), Some("10.0.0.9"));
    assert_eq!(of.group, "default");
}

#[test]
fn what_makes_no_sense_is_refused() {
    for (line, error) in [
        ("DISCOVERY.JOIN web n1 TTL 0", "ERR TTL"),
        ("DISCOVERY.JOIN web n1 TTL -1", "ERR TTL"),
        ("DISCOVERY.JOIN web n1 TTL nan", "ERR TTL"),
        ("DISCOVERY.JOIN web n1 TTL 1e3", "ERR TTL"),
        ("DISCOVERY.JOIN web n1 TTL", "ERR syntax error"),
        ("DISCOVERY.JOIN web n1 TAGS 2 a", "ERR syntax error"),
        ("DISCOVERY.JOIN web n1 TAGS 65", "ERR TAGS"),
        ("DISCOVERY.JOIN web n1 TAGS x", "ERR TAGS"),
        ("DISCOVERY.JOIN web n1 ADDR h 0", "ERR ADDR"),
        ("DISCOVERY.JOIN web n1 ADDR h 65536", "ERR ADDR"),
        ("DISCOVERY.JOIN web n1 XX", "ERR syntax error"),
        ("DISCOVERY.JOIN * n1", "ERR invalid service"),
        (
            "DISCOVERY.HEARTBEAT web n1 STATE passing",
            "ERR syntax error",
        ),
        ("DISCOVERY.HEARTBEAT web n1 LEASE l STATE up", "ERR STATE"),
        ("DISCOVERY.WATCH web TIMEOUT 5", "ERR syntax error"),
        ("DISCOVERY.WATCH web INDEX x", "ERR INDEX"),
        ("DISCOVERY.WATCH web INDEX 0 TIMEOUT -1", "ERR timeout"),
        ("DISCOVERY.SERVICES g", "ERR syntax error"),
        ("DISCOVERY.REGISTER web", "ERR syntax error"),
        ("DISCOVERY.REGISTER web u AUTH basic", "ERR syntax error"),
    ] {
        let refused = read(line).expect_err(line);
        assert!(refused.starts_with(error), "{line}: {refused}");
    }
}

#[test]
fn a_watch_is_of_one_service_or_of_all() {
    let watch = |service: Option<&str>, timeout| {
        Ok(Command::Watch(Watch {
            group: "default".to_owned(),
            service: service.map(str::to_owned),
            index: Index::ZERO,
            timeout,
        }))
    };
    assert_eq!(read("DISCOVERY.WATCH * INDEX 0"), watch(None, None));
    assert_eq!(
        read("DISCOVERY.WATCH * INDEX 0 TIMEOUT 0"),
        watch(None, None)
    );
    let second = Some(Duration::from_secs(1));
    assert_eq!(
        read("DISCOVERY.WATCH a INDEX 0 TIMEOUT 1000"),
        watch(Some("a"), second)
    );
}
