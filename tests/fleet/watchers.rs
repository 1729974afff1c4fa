//! Where shards come from: the configuration, files, the processes of this machine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use super::{field, listed, wait_state};
use crate::support::{
    Client, DEADLINE, RedisServer, Reply, Respite, RespiteBuilder, respite_command, wait_until,
};

fn in_front_of(server: &RedisServer, config: &str) -> RespiteBuilder {
    Respite::builder().upstream(&server.url()).config(config)
}

fn state(client: &mut Client, id: &str) -> String {
    let shard = listed(client, id);
    shard.map_or_else(String::new, |shard| {
        shard.field("state").as_str().to_owned()
    })
}

pub(super) fn source(client: &mut Client, id: &str) -> String {
    let shard = listed(client, id).expect(id);
    shard.field("source").as_str().to_owned()
}

/// The port that the shard's INFO tells.
pub(super) fn port(client: &mut Client, id: &str) -> String {
    let info = client.call(&["INFO", id, "server"]);
    field(info.as_str(), "tcp_port").to_owned()
}

pub(super) fn watcher(client: &mut Client, name: &str) -> Reply {
    let watchers = client.call(&["SHARD.WATCHERS"]);
    let mut items = watchers.items().iter();
    let found = items.find(|w| w.field("name").as_str() == name);
    found
        .unwrap_or_else(|| panic!("no {name} in {watchers:?}"))
        .clone()
}

/// What is wrong with a watcher; "" if nothing is.
pub(super) fn error(client: &mut Client, name: &str) -> String {
    match watcher(client, name).field("error") {
        Reply::Null => String::new(),
        text => text.as_str().to_owned(),
    }
}

fn protected(password: &str) -> RedisServer {
    RedisServer::builder()
        .args(["--requirepass", password])
        .start()
}

#[test]
fn servers_are_named_in_the_configuration() {
    let backing = RedisServer::start();
    let (a, b) = (RedisServer::start(), protected("hush"));
    let target = |id: &str, server: &RedisServer, more: &str| {
        let addr = server.addr();
        format!("[[fleet.static]]\nid = \"{id}\"\naddr = \"{addr}\"\n{more}\n")
    };
    let login = |password| format!("[credentials.main]\npassword = \"{password}\"\n");
    let labels = "labels = { env = \"prod\" }";
    let credential = "credential = \"main\"";
    let config = target("a", &a, labels) + &target("b", &b, credential) + &login("wrong");
    let mut respite = in_front_of(&backing, &config)
        .allow_log("not usable")
        .start();
    let mut client = respite.connect();
    wait_state(&mut client, "a", "live");
    wait_state(&mut client, "b", "authfail");
    assert_eq!(port(&mut client, "a"), a.port().to_string());
    assert_eq!(source(&mut client, "a"), "static");
    let shard = listed(&mut client, "a").expect("listed");
    shard.field("labels").field("env").assert_str("prod");
    shard.field("addr").assert_str(&a.addr());

    // A new password, one server less, one more, and one that is somewhere else.
    let config = target("b", &b, credential) + &target("c", &a, "") + &login("hush");
    respite.reload(&config);
    wait_state(&mut client, "b", "live");
    wait_state(&mut client, "c", "live");
    wait_state(&mut client, "a", "gone");
    assert_eq!(port(&mut client, "b"), b.port().to_string());
    assert_eq!(watcher(&mut client, "static").field("targets").int(), 2);
    let config = target("b", &a, "") + &target("c", &b, credential) + &login("hush");
    respite.rewrite_config(&config);
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    wait_until("the shards have changed places", DEADLINE, || {
        port(&mut client, "b") == a.port().to_string()
            && port(&mut client, "c") == b.port().to_string()
    });

    let shown = format!(
        "{:?}{:?}",
        client.call(&["SHARD.LIST"]),
        client.call(&["SHARD.WATCHERS"])
    );
    assert!(
        !shown.contains("hush") && !shown.contains("wrong"),
        "{shown}"
    );
    assert!(!respite.log().join("\n").contains("hush"));
    respite.allow_log("not usable");
}

#[test]
fn an_id_that_cannot_be_is_refused_before_the_start() {
    let config = "[[fleet.static]]\nid = \"Server\"\naddr = \"127.0.0.1:1\"\n";
    let stopped = Respite::builder().config(config).run_to_end();
    assert_eq!(stopped.status.code(), Some(2));
    let log = stopped.log.join("\n");
    assert!(
        log.contains("fleet.static[0].id: a shard id may not be"),
        "{log}"
    );

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("respite.toml");
    fs::write(&file, config).expect("written");
    let check = respite_command(&["check-config", &file.display().to_string()]).output();
    assert_eq!(check.expect("run").status.code(), Some(2));
}

/// Replaces a file at one stroke.
fn replace(folder: &Path, name: &str, text: &str) {
    let temporary = folder.join("new");
    fs::write(&temporary, text).expect("written");
    fs::rename(temporary, folder.join(name)).expect("moved");
}

fn listing(servers: &[&RedisServer]) -> String {
    let addresses: Vec<String> = servers.iter().map(|server| server.addr()).collect();
    format!("[{{\"targets\": {addresses:?}, \"labels\": {{\"env\": \"prod\"}}}}]")
}

#[test]
fn servers_are_listed_in_files() {
    let backing = RedisServer::start();
    let (a, b) = (RedisServer::start(), protected("hush"));
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let dir = folder.path();
    let config = |names: &[&str]| {
        let paths = names
            .iter()
            .map(|name| dir.join(name).display().to_string());
        let paths: Vec<String> = paths.collect();
        format!(
            "[fleet.file]\npaths = {paths:?}\n[credentials.main]\npassword = \"hush\"\nfor = [\"127.0.0.1:*\"]"
        )
    };
    fs::write(dir.join("targets.json"), listing(&[&a])).expect("written");
    let config_now = config(&["targets.json", "more-*.yml"]);
    let mut respite = in_front_of(&backing, &config_now)
        .allow_log("not usable")
        .start();
    let mut client = respite.connect();
    wait_state(&mut client, &a.addr(), "live");
    assert_eq!(source(&mut client, &a.addr()), "file");
    // One more file.
    let more = |id: &str| {
        let addr = b.addr();
        format!("- targets: ['{addr}']\n  labels: {{id: {id}, credential: main}}\n")
    };
    fs::write(dir.join("more-1.yml"), more("b")).expect("written");
    wait_state(&mut client, "b", "live");
    // One is broken, the other goes on.
    replace(dir, "targets.json", "[{\"targets\": [\"redis://:hush@h:1\"");
    fs::write(dir.join("more-1.yml"), more("c")).expect("written");
    wait_state(&mut client, "c", "live");
    wait_state(&mut client, "b", "gone");
    assert_eq!(state(&mut client, &a.addr()), "live");
    let why = respite.expect_log("targets.json:1:");
    assert!(!why.contains("hush"), "{why}");
    assert!(error(&mut client, "file").contains("targets.json:1:"));
    // A reload does not make it forget.
    let extra = "[{\"targets\": [\"127.0.0.1:1\"], \"labels\": {\"id\": \"extra\"}}]";
    fs::write(dir.join("extra.json"), extra).expect("written");
    respite.rewrite_config(&config(&["targets.json", "more-*.yml", "extra.json"]));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    wait_until("the reloaded watcher has looked", DEADLINE, || {
        listed(&mut client, "extra").is_some()
    });
    assert_eq!(state(&mut client, &a.addr()), "live");
    // It is put right.
    replace(dir, "targets.json", "[]");
    wait_state(&mut client, &a.addr(), "gone");
    wait_until("nothing is wrong", DEADLINE, || {
        error(&mut client, "file").is_empty()
    });
}

#[test]
fn servers_of_this_machine_are_found() {
    let backing = RedisServer::start();
    // A name of its own, longer than what the system keeps: other tests' servers are none of ours.
    let folder = tempfile::tempdir().expect("a folder");
    let name = format!("redis-{:07}-of-a-test", std::process::id());
    let program = folder.path().join(&name);
    symlink(RedisServer::program(), &program).expect("linked");
    let start = |arguments: &[&str]| {
        let builder = RedisServer::builder().binary(program.to_str().expect("UTF-8"));
        builder.args(arguments).start()
    };
    let mut server = start(&["--requirepass", "hush"]);
    let other = start(&[]);
    let config = format!(
        "[fleet.local]\nenabled = true\nrescan = \"100ms\"\nnames = [\"{name}\"]\n\
         credentials = [{{ port = {}, credential = \"main\" }}]\n\
         [credentials.main]\npassword = \"hush\"",
        server.port()
    );
    let respite = in_front_of(&backing, &config)
        .allow_log("not usable")
        .start();
    let mut client = respite.connect();
    wait_state(&mut client, &server.addr(), "live");
    wait_state(&mut client, &other.addr(), "live");
    let found = listed(&mut client, &server.addr()).expect("listed");
    found.field("source").assert_str("local");
    let labels = found.field("labels");
    labels.field("process").assert_str(&name);
    let pid = format!("process_id:{}\r\n", labels.field("pid").as_str());
    let info = client.call(&["INFO", &server.addr(), "server"]);
    assert!(info.as_str().contains(&pid), "{info:?}");
    assert_eq!(watcher(&mut client, "local").field("targets").int(), 2);
    server.kill();
    wait_state(&mut client, &server.addr(), "gone");
    assert_eq!(state(&mut client, &other.addr()), "live");
    server.restart();
    wait_state(&mut client, &server.addr(), "live");
}
