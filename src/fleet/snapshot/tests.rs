use super::*;

fn captured(text: &str) -> Snapshot {
    Snapshot::new(text.replace('\n', "\r\n").into_bytes()).expect("INFO")
}

fn redis() -> Snapshot {
    captured(include_str!("../testdata/redis-7.0.txt"))
}

fn sentinel() -> Snapshot {
    captured(include_str!("../testdata/sentinel-7.0.txt"))
}

fn write(snapshot: &Snapshot, sections: &str) -> String {
    let names: Vec<Vec<u8>> = sections
        .split_whitespace()
        .map(|name| name.as_bytes().to_vec())
        .collect();
    let text = snapshot.pieces(Wanted::new(&names)).concat();
    String::from_utf8(text).expect("text")
}

fn headers(snapshot: &Snapshot, sections: &str) -> String {
    let text = write(snapshot, sections);
    let headers = text.lines().filter_map(|line| line.strip_prefix("# "));
    headers.collect::<Vec<_>>().join(" ")
}

#[test]
fn sections_are_those_that_redis_shows() {
    let redis = redis();
    let default = "Server Clients Memory Persistence Stats Replication CPU Modules Errorstats \
                   Cluster Keyspace";
    let all = "Server Clients Memory Persistence Stats Replication CPU Modules Commandstats \
               Errorstats Latencystats Cluster Keyspace";
    let with_latency = default.replace("Cluster", "Latencystats Cluster");
    for (asked, shown) in [
        ("", default),
        ("default", default),
        ("all", all),
        ("everything", all),
        ("keyspace", "Keyspace"),
        ("keyspace server", "Server Keyspace"),
        ("server clients", "Server Clients"),
        ("server server nosuch", "Server"),
        ("nosuch", ""),
        ("debug", ""),
        ("modules", "Modules"),
        ("module_list", "Modules"),
        ("latencystats default", &with_latency),
        ("nosuch all", all),
    ] {
        assert_eq!(headers(&redis, asked), shown, "INFO {asked}");
    }
    let own = "Server Clients Stats CPU Sentinel";
    for (asked, shown) in [
        ("", own),
        ("all", own),
        ("sentinel", "Sentinel"),
        ("keyspace", ""),
    ] {
        assert_eq!(
            headers(&sentinel(), asked),
            shown,
            "INFO {asked} of a Sentinel"
        );
    }
}

#[test]
fn the_text_is_byte_for_byte_the_servers() {
    for snapshot in [redis(), sentinel()] {
        let whole = std::str::from_utf8(&snapshot.text)
            .expect("text")
            .to_owned();
        assert_eq!(write(&snapshot, "everything"), whole);
        assert_eq!(write(&snapshot, "all"), whole, "without modules the same");
        assert!(whole.starts_with("# Server\r\n") && whole.ends_with("\r\n"));
    }
    assert_eq!(
        write(&redis(), "keyspace errorstats cluster"),
        "# Errorstats\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n# Keyspace\r\n\
         db0:keys=1,expires=0,avg_ttl=0\r\n"
    );
    assert_eq!(
        write(&redis(), "modules keyspace"),
        "# Modules\r\n\r\n# Keyspace\r\ndb0:keys=1,expires=0,avg_ttl=0\r\n"
    );
}

#[test]
fn sections_of_modules_are_shown_when_asked_for() {
    let snapshot = captured(
        "# Server\nredis_version:7.2.0\n\n# Modules\nmodule:name=search,ver=20811,api=1\n\
         module:name=ReJSON,ver=1,api=1\n\n# Keyspace\n\n# search_version\nsearch_version:2.8\n\n\
         # search_index\nsearch_number_of_indexes:0\n\n# ReJSON_trie\nrejson_x:1\n",
    );
    for (asked, shown) in [
        ("", "Server Modules Keyspace"),
        ("all", "Server Modules Keyspace"),
        (
            "everything",
            "Server Modules Keyspace search_version search_index ReJSON_trie",
        ),
        ("modules", "Modules search_version search_index ReJSON_trie"),
        ("search", "search_version search_index"),
        ("search_index rejson", "search_index ReJSON_trie"),
        ("sear", ""),
    ] {
        assert_eq!(headers(&snapshot, asked), shown, "INFO {asked}");
    }
}

#[test]
fn sections_of_valkey_are_shown_when_asked_for() {
    let snapshot = captured(
        "# Server\nserver_name:valkey\n\n# TLS\ntls_ca_cert_serial:none\n\n# Cluster\ncluster_enabled:1\n\n\
         # Cluster Info\ncluster_state:ok\n\n# Scripting Engines\nengines_count:1\n\n# Keyspace\n",
    );
    for (asked, shown) in [
        ("", "Server Cluster Keyspace"),
        (
            "all",
            "Server TLS Cluster Cluster Info Scripting Engines Keyspace",
        ),
        ("tls cluster", "TLS Cluster"),
        ("cluster_info", "Cluster Info"),
        ("scriptingengines", "Scripting Engines"),
    ] {
        assert_eq!(headers(&snapshot, asked), shown, "INFO {asked}");
    }
}

#[test]
fn fields_are_found() {
    let redis = redis();
    assert_eq!(redis.field("redis_version"), Some(&b"7.0.15"[..]));
    assert_eq!(redis.field("config_file"), Some(&b""[..]));
    assert_eq!(redis.field("db0"), Some(&b"keys=1,expires=0,avg_ttl=0"[..]));
    assert_eq!(redis.number("tcp_port"), Some(17555));
    assert_eq!((redis.field("redis"), redis.number("role")), (None, None));
    let stats = redis.sections().find(|(name, _)| *name == b"Cluster");
    let (_, mut fields) = stats.expect("a section");
    assert_eq!(fields.next(), Some((&b"cluster_enabled"[..], &b"0"[..])));
    assert_eq!(fields.next(), None);
    assert_eq!(
        redis
            .sections()
            .map(|(_, fields)| fields.count())
            .sum::<usize>(),
        redis.fields().count()
    );
}

#[test]
fn what_is_not_info_is_refused_and_odd_texts_do_no_harm() {
    for text in ["", "PONG", "# Server\r\n", "\r\n\r\n"] {
        assert!(
            Snapshot::new(text.as_bytes().to_vec()).is_none(),
            "{text:?}"
        );
    }
    // No section at all, no line ends, no names, a line that goes on for ever.
    let odd = captured("a:1\nb\n:\n# \nc:2");
    assert_eq!(write(&odd, "everything"), "a:1\r\nb\r\n:\r\n# \r\nc:2");
    assert_eq!(
        (odd.field("c"), odd.field("")),
        (Some(&b"2"[..]), Some(&b""[..]))
    );
    assert_eq!(write(&odd, "default"), "# \r\nc:2");
    let long = captured(&format!("# A\n{}:1\nb:2\n", "x".repeat(70_000)));
    assert_eq!(long.fields().count(), 1);
    let many = captured(&"# A\nb:2\n".repeat(2 * MOST_SECTIONS));
    assert_eq!(many.sections().count(), MOST_SECTIONS);
    assert_eq!(many.fields().count(), 2 * MOST_SECTIONS);
}
