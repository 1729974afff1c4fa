//! The exact replies of every command in both protocol versions.

use super::{RedisServer, Respite};
use crate::support::escape;

/// Epochs and leases are random: 16 hexadecimal digits each.
fn masked(reply: &[u8]) -> String {
    let text = escape(reply);
    let mut out = String::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_hexdigit).count();
        if digits == 16 {
            out.push_str("<random>");
            rest = &rest[16..];
        } else {
            let step = digits.max(1);
            out.push_str(&rest[..step]);
            rest = &rest[step..];
        }
    }
    out
}

/// A command, its reply in RESP2 and in RESP3; `None` where they are the same.
const EXCHANGES: &[(&str, &str, Option<&str>)] = &[
    ("DISCOVERY.GET web", r"$-1\r\n", Some(r"_\r\n")),
    ("DISCOVERY.RESOLVE web", r"$-1\r\n", Some(r"_\r\n")),
    ("DISCOVERY.SERVICES", r"*0\r\n", None),
    ("DISCOVERY.GROUPS", r"*0\r\n", None),
    (
        "DISCOVERY.NODES web",
        r"*4\r\n$5\r\nindex\r\n$1\r\n0\r\n$5\r\nnodes\r\n*0\r\n",
        Some(r"%2\r\n$5\r\nindex\r\n$1\r\n0\r\n$5\r\nnodes\r\n*0\r\n"),
    ),
    ("DISCOVERY.DEREGISTER web", r":0\r\n", None),
    ("DISCOVERY.DROPGROUP default", r":0\r\n", None),
    ("DISCOVERY.LEAVE web n1", r":0\r\n", None),
    (
        "DISCOVERY.REGISTER web http://w",
        r"*8\r\n$7\r\nservice\r\n$3\r\nweb\r\n$5\r\ngroup\r\n$7\r\ndefault\r\n$5\r\nindex\r\n$18\r\n<random>-1\r\n$7\r\ncreated\r\n:1\r\n",
        Some(
            r"%4\r\n$7\r\nservice\r\n$3\r\nweb\r\n$5\r\ngroup\r\n$7\r\ndefault\r\n$5\r\nindex\r\n$18\r\n<random>-1\r\n$7\r\ncreated\r\n#t\r\n",
        ),
    ),
    (
        "DISCOVERY.GET web",
        r"*18\r\n$7\r\nservice\r\n$3\r\nweb\r\n$5\r\ngroup\r\n$7\r\ndefault\r\n$8\r\nendpoint\r\n$8\r\nhttp://w\r\n$4\r\ntype\r\n$-1\r\n$4\r\nauth\r\n$-1\r\n$7\r\nbackend\r\n$-1\r\n$11\r\ndescription\r\n$-1\r\n$4\r\nmeta\r\n*0\r\n$5\r\nindex\r\n$18\r\n<random>-1\r\n",
        Some(
            r"%9\r\n$7\r\nservice\r\n$3\r\nweb\r\n$5\r\ngroup\r\n$7\r\ndefault\r\n$8\r\nendpoint\r\n$8\r\nhttp://w\r\n$4\r\ntype\r\n_\r\n$4\r\nauth\r\n_\r\n$7\r\nbackend\r\n_\r\n$11\r\ndescription\r\n_\r\n$4\r\nmeta\r\n%0\r\n$5\r\nindex\r\n$18\r\n<random>-1\r\n",
        ),
    ),
    (
        "DISCOVERY.JOIN web n1 TAGS 1 a FACTS 1 os linux",
        r"*8\r\n$5\r\nlease\r\n$16\r\n<random>\r\n$6\r\nttl_ms\r\n$-1\r\n$5\r\nindex\r\n$18\r\n<random>-2\r\n$7\r\ncreated\r\n:1\r\n",
        Some(
            r"%4\r\n$5\r\nlease\r\n$16\r\n<random>\r\n$6\r\nttl_ms\r\n_\r\n$5\r\nindex\r\n$18\r\n<random>-2\r\n$7\r\ncreated\r\n#t\r\n",
        ),
    ),
    (
        "DISCOVERY.JOIN web n2 ADDR h 80 TTL 60.5",
        r"*8\r\n$5\r\nlease\r\n$16\r\n<random>\r\n$6\r\nttl_ms\r\n:60500\r\n$5\r\nindex\r\n$18\r\n<random>-3\r\n$7\r\ncreated\r\n:1\r\n",
        Some(
            r"%4\r\n$5\r\nlease\r\n$16\r\n<random>\r\n$6\r\nttl_ms\r\n:60500\r\n$5\r\nindex\r\n$18\r\n<random>-3\r\n$7\r\ncreated\r\n#t\r\n",
        ),
    ),
    ("DISCOVERY.LEAVE web n2", r":1\r\n", None),
    (
        "DISCOVERY.NODES web",
        r"*4\r\n$5\r\nindex\r\n$18\r\n<random>-4\r\n$5\r\nnodes\r\n*1\r\n*12\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\naddr\r\n$9\r\n127.0.0.1\r\n$5\r\nstate\r\n$7\r\npassing\r\n$6\r\nttl_ms\r\n$-1\r\n$4\r\ntags\r\n*1\r\n$1\r\na\r\n$5\r\nfacts\r\n*2\r\n$2\r\nos\r\n$5\r\nlinux\r\n",
        Some(
            r"%2\r\n$5\r\nindex\r\n$18\r\n<random>-4\r\n$5\r\nnodes\r\n*1\r\n%6\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\naddr\r\n$9\r\n127.0.0.1\r\n$5\r\nstate\r\n$7\r\npassing\r\n$6\r\nttl_ms\r\n_\r\n$4\r\ntags\r\n*1\r\n$1\r\na\r\n$5\r\nfacts\r\n%1\r\n$2\r\nos\r\n$5\r\nlinux\r\n",
        ),
    ),
    (
        "DISCOVERY.RESOLVE web",
        r"*12\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\naddr\r\n$9\r\n127.0.0.1\r\n$5\r\nstate\r\n$7\r\npassing\r\n$6\r\nttl_ms\r\n$-1\r\n$4\r\ntags\r\n*1\r\n$1\r\na\r\n$5\r\nfacts\r\n*2\r\n$2\r\nos\r\n$5\r\nlinux\r\n",
        Some(
            r"%6\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\naddr\r\n$9\r\n127.0.0.1\r\n$5\r\nstate\r\n$7\r\npassing\r\n$6\r\nttl_ms\r\n_\r\n$4\r\ntags\r\n*1\r\n$1\r\na\r\n$5\r\nfacts\r\n%1\r\n$2\r\nos\r\n$5\r\nlinux\r\n",
        ),
    ),
    (
        "DISCOVERY.WATCH none INDEX 0 TIMEOUT 1",
        r"*6\r\n$5\r\nindex\r\n$18\r\n<random>-4\r\n$7\r\nchanged\r\n:0\r\n$5\r\nnodes\r\n*0\r\n",
        Some(
            r"%3\r\n$5\r\nindex\r\n$18\r\n<random>-4\r\n$7\r\nchanged\r\n#f\r\n$5\r\nnodes\r\n*0\r\n",
        ),
    ),
    (
        "DISCOVERY.WATCH * INDEX 0",
        r"*6\r\n$5\r\nindex\r\n$18\r\n<random>-4\r\n$7\r\nchanged\r\n:1\r\n$5\r\nnodes\r\n*1\r\n*14\r\n$7\r\nservice\r\n$3\r\nweb\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\naddr\r\n$9\r\n127.0.0.1\r\n$5\r\nstate\r\n$7\r\npassing\r\n$6\r\nttl_ms\r\n$-1\r\n$4\r\ntags\r\n*1\r\n$1\r\na\r\n$5\r\nfacts\r\n*2\r\n$2\r\nos\r\n$5\r\nlinux\r\n",
        Some(
            r"%3\r\n$5\r\nindex\r\n$18\r\n<random>-4\r\n$7\r\nchanged\r\n#t\r\n$5\r\nnodes\r\n*1\r\n%7\r\n$7\r\nservice\r\n$3\r\nweb\r\n$4\r\nnode\r\n$2\r\nn1\r\n$4\r\naddr\r\n$9\r\n127.0.0.1\r\n$5\r\nstate\r\n$7\r\npassing\r\n$6\r\nttl_ms\r\n_\r\n$4\r\ntags\r\n*1\r\n$1\r\na\r\n$5\r\nfacts\r\n%1\r\n$2\r\nos\r\n$5\r\nlinux\r\n",
        ),
    ),
    ("DISCOVERY.SERVICES", r"*1\r\n$3\r\nweb\r\n", None),
    ("DISCOVERY.GROUPS", r"*1\r\n$7\r\ndefault\r\n", None),
    (
        "DISCOVERY.HEARTBEAT web n1 LEASE 0123",
        r"-LEASEMISMATCH the node has joined again with another lease\r\n",
        None,
    ),
    (
        "DISCOVERY.HEARTBEAT web n9 LEASE 0123",
        r"-NOLEASE the node is not there or its lease has lapsed: join again\r\n",
        None,
    ),
    (
        "DISCOVERY.JOIN web n1 NX",
        r"-EXISTS a live node has this name\r\n",
        None,
    ),
    (
        "DISCOVERY.WATCH web INDEX 0123456789abcdef-9",
        r"-INDEXRESET the index is not of this group's present history: read it again\r\n",
        None,
    ),
    (
        "DISCOVERY.JOIN web",
        r"-ERR wrong number of arguments for 'discovery.join' command\r\n",
        None,
    ),
    ("DISCOVERY.NODES web SOME", r"-ERR syntax error\r\n", None),
    ("DISCOVERY.DEREGISTER web", r":1\r\n", None),
];

#[test]
fn replies_are_the_same_bytes_every_time() {
    for resp3 in [false, true] {
        let redis = RedisServer::start();
        let respite = Respite::in_front_of(&redis);
        let mut client = respite.connect();
        if resp3 {
            client.hello3();
        }
        for (line, resp2, in_resp3) in EXCHANGES {
            let words: Vec<&str> = line.split(' ').collect();
            let expected = if resp3 {
                in_resp3.unwrap_or(resp2)
            } else {
                resp2
            };
            let reply = masked(&client.call_raw(&words));
            assert_eq!(reply.replace(r"\'", "'"), *expected, "{line}");
        }
    }
}

#[test]
fn help_and_docs_know_every_command() {
    if RedisServer::lacks((7, 0), "COMMAND DOCS") {
        return;
    }
    let (_redis, _respite, mut client) = super::single();
    let help = client.call(&["DISCOVERY.HELP"]);
    let lines = help.strings();
    let docs = client.call(&["COMMAND", "DOCS"]);
    for name in [
        "REGISTER",
        "JOIN",
        "HEARTBEAT",
        "LEAVE",
        "GET",
        "NODES",
        "RESOLVE",
        "SERVICES",
        "GROUPS",
        "WATCH",
        "DEREGISTER",
        "DROPGROUP",
        "HELP",
    ] {
        let full = format!("DISCOVERY.{name}");
        assert!(lines.iter().any(|line| line.starts_with(&full)), "{full}");
        let doc = docs.field(&full.to_ascii_lowercase());
        assert_eq!(doc.field("group").as_str(), "discovery");
        let takes = !matches!(name, "GROUPS" | "HELP");
        let has = doc
            .pairs()
            .iter()
            .any(|(key, _)| key.as_str() == "arguments");
        assert_eq!(has, takes, "{full}");
    }
}
