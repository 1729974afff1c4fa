//! `--embedded-cluster`: a private cluster, ready before Respite serves and gone with it.

use crate::support::{DEADLINE, Respite, wait_until};

/// The nodes, as they say themselves.
fn node_ports(respite: &Respite) -> Vec<String> {
    let list = respite.call(&["SHARD.LIST"]);
    let list = list.items().iter();
    list.map(|shard| shard.field("id").as_str().to_owned())
        .collect()
}

fn write_and_read(respite: &Respite, write: bool) {
    let mut client = respite.connect();
    for n in 0..100 {
        let (key, value) = (format!("key:{n}"), format!("value:{n}"));
        if write {
            client.call(&["SET", &key, &value]).assert_ok();
        }
        client.call(&["GET", &key]).assert_str(&value);
    }
}

#[test]
fn it_serves_at_once_and_ends_with_respite() {
    let respite = Respite::builder()
        .arg("--embedded-cluster")
        .arg("3")
        .start();
    write_and_read(&respite, true);
    let masters = respite.call(&["INFO", "respite"]);
    assert!(
        masters.as_str().contains("backing_masters:3\r\n"),
        "{masters:?}"
    );
    let nodes = node_ports(&respite);
    assert_eq!(nodes.len(), 3);
    // Nobody gets in without a password, and clients cannot take a node out of its cluster.
    for node in &nodes {
        let port = node
            .rsplit(':')
            .next()
            .expect("a port")
            .parse()
            .expect("a port");
        let mut client = crate::support::Client::connect(port);
        client.call(&["GET", "k"]).assert_error("NOAUTH");
    }
    let pid = respite.pid();
    let stopped = respite.stop();
    assert!(stopped.status.success());
    for node in &nodes {
        wait_until(&format!("{node} of {pid} is gone"), DEADLINE, || {
            std::net::TcpStream::connect(node).is_err()
        });
    }
}

/// Ctrl-C in a terminal is for the whole process group; the nodes end after Respite, in order.
#[test]
fn an_interrupt_from_a_terminal_ends_it_quietly() {
    let kinds: [&[&str]; 2] = [&[], &["--embedded-cluster", "3"]];
    for kind in kinds {
        let args = kind.iter();
        let builder = args.fold(Respite::builder().own_group(), |builder, arg| {
            builder.arg(arg)
        });
        let respite = builder.start();
        let mut client = respite.connect();
        client.call(&["SET", "a", "1"]).assert_ok();
        respite.signal_group(nix::sys::signal::Signal::SIGINT);
        // Its log has no warning.
        let ended = respite.ended();
        assert!(ended.status.success(), "{ended:?}");
    }
}

#[test]
fn with_a_data_directory_it_comes_back_with_what_it_had() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().to_str().expect("text").to_owned();
    let start = |masters: &str| {
        Respite::builder()
            .arg("--embedded-cluster")
            .arg(masters)
            .arg("--data-dir")
            .arg(&path)
    };
    let first = start("3").start();
    write_and_read(&first, true);
    first.stop();
    let second = start("3").start();
    write_and_read(&second, false);
    second.stop();
    let refused = start("4").allow_log("data_dir holds").run_to_end();
    assert_eq!(refused.status.code(), Some(2));
    let log = refused.log.join("\n");
    assert!(
        log.contains("data_dir holds a cluster of 3 masters, not of 4"),
        "{log}"
    );
}
