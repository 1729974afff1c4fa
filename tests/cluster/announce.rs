//! Respite as a cluster of one node, for clients that insist on a cluster; and as none.

use crate::support::{Client, DEADLINE, RedisCluster, RedisServer, Reply, Respite, wait_until};

/// Announced where it listens.
fn announced(upstream: &str) -> Respite {
    Respite::builder()
        .only_file(&format!(
            "listen = \"127.0.0.1:$PORT\"\nhttp.listen = \"\"\nupstream = \"{upstream}\"\n\
             [cluster]\nannounce = \"127.0.0.1:$PORT\"\n"
        ))
        .allow_log("link lost")
        .start()
}

fn field<'a>(info: &'a str, name: &str) -> &'a str {
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.strip_prefix(':'))
        .unwrap_or_else(|| panic!("no {name} in {info}"))
}

/// What `INFO` calls the kind of server.
fn mode_field() -> &'static str {
    match RedisServer::is_valkey() {
        true => "server_mode",
        false => "redis_mode",
    }
}

/// What a client sees that looks for a cluster.
fn assert_one_node(respite: &Respite, client: &mut Client) {
    let port = i64::from(respite.port());
    let id = client.call(&["CLUSTER", "MYID"]).as_str().to_owned();
    assert_eq!(id.len(), 40);
    let slots = client.call(&["CLUSTER", "SLOTS"]);
    let [range] = slots.items() else {
        panic!("{slots:?}")
    };
    let [first, last, node] = range.items() else {
        panic!("{range:?}")
    };
    assert_eq!((first.int(), last.int()), (0, 16_383));
    let node = node.items();
    assert_eq!((node[0].as_str(), node[1].int()), ("127.0.0.1", port));
    assert_eq!(node[2].as_str(), id);
    let nodes = client.call(&["CLUSTER", "NODES"]);
    let expected = format!("{id} 127.0.0.1:{port}@");
    assert!(nodes.as_str().starts_with(&expected), "{nodes:?}");
    let info = client.call(&["CLUSTER", "INFO"]);
    assert_eq!(field(info.as_str(), "cluster_state"), "ok");
    let shards = client.call(&["CLUSTER", "SHARDS"]);
    let nodes = shards.items()[0].field("nodes");
    assert_eq!(nodes.items()[0].field("port").int(), port);
    let slot = client.call(&["CLUSTER", "KEYSLOT", "{foo}bar"]);
    assert_eq!(slot.int(), 12_182);
    for name in ["READONLY", "READWRITE", "ASKING"] {
        client.call(&[name]).assert_ok();
    }
    for sections in [&["INFO"][..], &["INFO", "cluster", "server"]] {
        let info = client.call(sections);
        let told = [
            field(info.as_str(), "cluster_enabled"),
            field(info.as_str(), mode_field()),
        ];
        assert_eq!(told, ["1", "cluster"]);
    }
    assert_eq!(client.call(&["HELLO"]).field("mode").as_str(), "cluster");
    let wrong = client.call(&["CLUSTER", "KEYSLOT"]);
    wrong.assert_error("ERR wrong number of arguments for 'cluster|keyslot' command");
    let unknown = client.call(&["CLUSTER", "NOSUCH"]);
    unknown.assert_error("ERR unknown subcommand 'NOSUCH'. Try CLUSTER HELP.");
    let not = client.call(&["CLUSTER", "FORGET", &id]);
    not.assert_error("ERR CLUSTER FORGET is not available through Respite");
}

fn names(reply: &Reply) -> Vec<String> {
    let names = reply.items().iter().map(|name| name.as_str().to_owned());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// Counts and lists the keys of a slot, among many others.
fn assert_keys_of_a_slot(client: &mut Client) {
    let sets: Vec<_> = (0..3000)
        .map(|n| ["SET".to_owned(), format!("{{{n}}}"), "1".to_owned()])
        .collect();
    let sets: Vec<Vec<&str>> = sets
        .iter()
        .map(|words| words.iter().map(String::as_str).collect())
        .collect();
    let sets: Vec<&[&str]> = sets.iter().map(Vec::as_slice).collect();
    client.pipeline(&sets);
    for n in ["a", "b", "c"] {
        let key = format!("{{of one slot}}{n}");
        client.call(&["SET", &key, "1"]).assert_ok();
    }
    let slot = client.call(&["CLUSTER", "KEYSLOT", "of one slot"]);
    let slot = slot.int().to_string();
    let count = client.call(&["CLUSTER", "COUNTKEYSINSLOT", &slot]);
    let all = client.call(&["CLUSTER", "GETKEYSINSLOT", &slot, "100"]);
    assert_eq!(count.int(), i64::try_from(all.items().len()).expect("few"));
    let ours: Vec<_> = names(&all)
        .into_iter()
        .filter(|name| name.starts_with("{of"))
        .collect();
    assert_eq!(ours, ["{of one slot}a", "{of one slot}b", "{of one slot}c"]);
    let two = client.call(&["CLUSTER", "GETKEYSINSLOT", &slot, "2"]);
    assert_eq!(two.items().len(), 2);
    for (words, error) in [
        (&["COUNTKEYSINSLOT", "16384"][..], "ERR Invalid slot"),
        (
            &["COUNTKEYSINSLOT", "x"],
            "ERR value is not an integer or out of range",
        ),
        (
            &["GETKEYSINSLOT", "1", "-1"],
            "ERR Invalid slot or number of keys",
        ),
    ] {
        let reply = client.call(&[&["CLUSTER"], words].concat());
        reply.assert_error(error);
    }
}

#[test]
fn one_server_is_a_cluster_of_one() {
    let redis = RedisServer::start();
    let respite = announced(&redis.url());
    for proto in ["2", "3"] {
        let mut client = respite.connect();
        client.call(&["HELLO", proto]);
        assert_one_node(&respite, &mut client);
        assert_keys_of_a_slot(&mut client);
        // In a transaction, too.
        client.call(&["MULTI"]).assert_ok();
        client.call(&["CLUSTER", "KEYSLOT", "foo"]);
        client.call(&["READONLY"]);
        let done = client.call(&["EXEC"]);
        assert_eq!(done.items()[0].int(), 12_182);
        done.items()[1].assert_ok();
    }
    // What a shard says of itself is its own.
    let shards = respite.call(&["SHARD.LIST"]);
    let id = shards.items()[0].field("id").as_str().to_owned();
    let mut client = respite.connect();
    wait_until("the shard was asked", DEADLINE, || {
        !client.call(&["INFO", &id, "cluster"]).is_error()
    });
    let info = client.call(&["INFO", &id, "cluster"]);
    assert_eq!(field(info.as_str(), "cluster_enabled"), "0");
}

#[test]
fn a_cluster_is_one_of_a_single_node() {
    let cluster = RedisCluster::start(3, 0);
    let respite = announced(&cluster.url());
    let mut client = respite.connect();
    assert_one_node(&respite, &mut client);
    assert_keys_of_a_slot(&mut client);
}

#[test]
fn without_an_announcement_it_is_in_no_cluster() {
    let cluster = RedisCluster::start(3, 0);
    let single = RedisServer::start();
    let upstreams = [cluster.url(), single.url()];
    for upstream in upstreams {
        let respite = Respite::builder()
            .upstream(&upstream)
            .allow_log("link lost")
            .start();
        let mut client = respite.connect();
        for words in [
            &["CLUSTER", "SLOTS"][..],
            &["CLUSTER", "NODES"],
            &["CLUSTER", "KEYSLOT", "foo"],
            &["CLUSTER", "COUNTKEYSINSLOT", "1"],
            &["CLUSTER", "NOSUCH"],
            &["CLUSTER", "KEYSLOT"],
            &["CLUSTER"],
            &["READONLY"],
            &["READONLY", "x"],
            &["READWRITE"],
            &["ASKING"],
        ] {
            let own = single.call(words);
            if RedisServer::version() < (7, 0, 0) {
                // Errors are worded as in version 7.0. Any server takes `READWRITE`.
                let refused = client.call(words).is_error();
                assert!(refused || words == ["READWRITE"], "{words:?}");
                continue;
            }
            // A Valkey knows the slot of a key all the same, and has a use for the others.
            let known = matches!(
                words,
                ["CLUSTER", "KEYSLOT", _] | ["READONLY"] | ["READWRITE"]
            );
            if RedisServer::is_valkey() && !own.is_error() {
                assert!(known, "{words:?}");
                let said = client.call(words);
                assert!(said == own || said.is_error(), "{words:?}: {said:?}");
                continue;
            }
            assert!(own.is_error(), "{words:?}: {own:?}");
            assert_eq!(client.call(words), own, "{words:?}");
        }
        let info = client.call(&["INFO", "cluster"]);
        assert_eq!(field(info.as_str(), "cluster_enabled"), "0");
        let info = client.call(&["INFO", "server"]);
        assert_eq!(field(info.as_str(), mode_field()), "standalone");
        assert_eq!(client.call(&["HELLO"]).field("mode").as_str(), "standalone");
    }
}

#[test]
fn a_reload_changes_what_is_announced() {
    let redis = RedisServer::start();
    let text = |announce: &str| {
        let url = redis.url();
        format!(
            "listen = \"127.0.0.1:$PORT\"\nhttp.listen = \"\"\nupstream = \"{url}\"\n[cluster]\nannounce = \"{announce}\"\n"
        )
    };
    let respite = Respite::builder().only_file(&text("")).start();
    let port = respite.port().to_string();
    let mut client = respite.connect();
    let slots = client.call(&["CLUSTER", "SLOTS"]);
    slots.assert_error("ERR This instance has cluster support disabled");
    respite.rewrite_config(&text("cache.example:7000").replace("$PORT", &port));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    let slots = client.call(&["CLUSTER", "SLOTS"]);
    let node = &slots.items()[0].items()[2];
    assert_eq!(node.items()[0].as_str(), "cache.example");
}
