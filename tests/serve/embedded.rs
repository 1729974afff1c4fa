//! The embedded Redis: private, supervised, durable when asked, gone with its Respite.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{assert_refused, output, run};
use crate::support::{Client, DEADLINE, Respite, RespiteBuilder, respite_command, wait_until};

/// What an embedded server that dies makes Respite say.
const SAID_OF_A_LOSS: [&str; 4] = [
    "the embedded Redis ended",
    "backing not usable",
    "link lost",
    "cannot start",
];

fn builder() -> RespiteBuilder {
    SAID_OF_A_LOSS
        .iter()
        .fold(Respite::builder(), |builder, text| builder.allow_log(text))
}

/// The process id of the server behind.
fn backing_pid(client: &mut Client) -> i32 {
    let info = client.call(&["INFO", "server"]);
    let line = info
        .as_str()
        .lines()
        .find_map(|line| line.strip_prefix("process_id:").map(str::to_owned));
    line.expect("process_id").parse().expect("a number")
}

fn socket_of(client: &mut Client) -> PathBuf {
    let config = client.call(&["CONFIG", "GET", "unixsocket"]);
    PathBuf::from(config.field("unixsocket").as_str())
}

/// Whether the process is there and has not ended (one that nobody waits for stays a zombie).
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    !state.is_empty() && !state.starts_with(['Z', 'X'])
}

/// The TCP ports that a process listens on.
fn tcp_ports(pid: u32) -> Vec<u16> {
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).expect("own processes can be looked into");
    let sockets: HashSet<String> = fds
        .filter_map(|fd| fs::read_link(fd.ok()?.path()).ok())
        .filter_map(|link| {
            let link = link.to_str()?;
            Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
        .collect();
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"]
        .map(|table| fs::read_to_string(table).unwrap_or_default());
    let listening = tables
        .iter()
        .flat_map(|table| table.lines())
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let &[_, local, _, "0A", _, _, _, _, _, inode, ..] = &columns[..] else {
                return None;
            };
            let port = u16::from_str_radix(local.rsplit(':').next()?, 16).ok()?;
            sockets.contains(inode).then_some(port)
        });
    listening.collect()
}

#[test]
fn it_is_private() {
    let respite = builder().start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    let socket = socket_of(&mut client);
    let dir = socket.parent().expect("a folder");
    let mode = |path: &Path| fs::metadata(path).expect("it exists").permissions().mode() & 0o777;
    assert_eq!((mode(dir), mode(&socket)), (0o700, 0o700));
    let pid = backing_pid(&mut client);
    let embedded = u32::try_from(pid).expect("positive");
    assert!(tcp_ports(embedded).is_empty());
    assert_eq!(tcp_ports(respite.pid()), [respite.port()]);
    let stopped = respite.stop();
    assert!(stopped.status.success(), "{stopped:?}");
    assert!(!runs(pid), "the embedded server outlived Respite");
    assert!(!dir.exists(), "{} was left behind", dir.display());
}

#[test]
fn it_is_started_again_when_it_dies() {
    let config = "[fleet]\ninfo = \"live\"";
    let mut respite = builder().config(config).start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    let first = backing_pid(&mut client);
    kill(Pid::from_raw(first), Signal::SIGKILL).expect("kill the embedded server");
    respite.expect_log("the embedded Redis ended (signal: 9 (SIGKILL)), starting it again");
    // The same client goes on; without a data directory the data is gone.
    wait_until("the client is served again", DEADLINE, || {
        let reply = client.call(&["GET", "a"]);
        assert!(
            reply.is_null() || reply.error().starts_with("UPSTREAM "),
            "{reply:?}"
        );
        reply.is_null()
    });
    client.call(&["SET", "a", "2"]).assert_ok();
    assert_ne!(backing_pid(&mut client), first);
}

#[test]
fn it_ends_with_a_killed_respite() {
    let respite = builder().start();
    let pid = backing_pid(&mut respite.connect());
    assert!(runs(pid));
    respite.kill();
    wait_until("the embedded server ends", DEADLINE, || !runs(pid));
}

#[test]
fn a_data_directory_keeps_the_data() {
    let dir = tempfile::tempdir().expect("temp dir");
    let data = dir.path().join("not/there/yet");
    let data_dir = data.display().to_string();
    let start = || builder().arg("--data-dir").arg(&data_dir).start();
    let respite = start();
    respite.call(&["SET", "a", "kept"]).assert_ok();
    let stopped = respite.stop();
    assert!(stopped.status.success(), "{stopped:?}");
    let respite = start();
    respite.call(&["GET", "a"]).assert_str("kept");
    // A server that died has its data again as well.
    let mut client = respite.connect();
    client.call(&["SET", "b", "kept, too"]).assert_ok();
    client
        .call(&["CONFIG", "SET", "appendfsync", "always"])
        .assert_ok();
    let pid = backing_pid(&mut client);
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("kill the embedded server");
    wait_until("the client is served again", DEADLINE, || {
        let reply = client.call(&["GET", "b"]);
        !reply.is_error() && reply.as_str() == "kept, too"
    });
}

#[test]
fn a_data_directory_is_nobody_elses() {
    let dir = tempfile::tempdir().expect("temp dir");
    let data = dir.path().join("data");
    let data_dir = data.display().to_string();
    let respite = builder().arg("--data-dir").arg(&data_dir).start();
    respite.call(&["SET", "a", "secret"]).assert_ok();
    let mut folders = vec![data];
    let mut seen = 0;
    while let Some(path) = folders.pop() {
        let metadata = path.symlink_metadata().expect("there");
        let mode = metadata.permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} {mode:o}", path.display());
        if metadata.is_dir() {
            let entries = path.read_dir().expect("a folder");
            folders.extend(entries.map(|entry| entry.expect("an entry").path()));
        }
        seen += 1;
    }
    assert!(seen >= 3, "the folder, the lock, an append-only file");
}

#[test]
fn a_data_directory_has_one_respite() {
    let dir = tempfile::tempdir().expect("temp dir");
    let data_dir = dir.path().display().to_string();
    let first = builder().arg("--data-dir").arg(&data_dir).start();
    let args = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--http",
        "",
        "--data-dir",
        &data_dir,
    ];
    assert_refused(&run(&args), 2, &["in use by another Respite", &data_dir]);
    first.call(&["SET", "a", "1"]).assert_ok();
    drop(first);
    let next = builder().arg("--data-dir").arg(&data_dir).start();
    next.call(&["PING"]).assert_str("PONG");
}

#[test]
fn without_a_server_on_the_path_it_says_what_to_do() {
    let empty = tempfile::tempdir().expect("temp dir");
    let mut command = respite_command(&["--listen", "127.0.0.1:0", "--http", ""]);
    let output = output(command.env("PATH", empty.path()));
    let texts = [
        "no redis-server or valkey-server on PATH",
        "apt-get install",
        "--upstream redis://HOST:PORT",
    ];
    assert_refused(&output, 2, &texts);
}

/// Whatever would open the server to others, end it, or make it somebody else's.
#[test]
fn clients_cannot_end_its_privacy() {
    let respite = builder().start();
    let mut client = respite.connect();
    let pid = backing_pid(&mut client);
    let embedded = u32::try_from(pid).expect("positive");
    let port = crate::support::ReservedPort::any();
    let number = port.get().to_string();
    let dangers: Vec<Vec<&str>> = vec![
        vec!["CONFIG", "SET", "port", &number],
        vec!["config", "set", "PORT", &number],
        vec!["CONFIG", "SET", "maxmemory", "0", "port", &number],
        vec!["CONFIG", "SET", "bind", "0.0.0.0"],
        vec!["CONFIG", "SET", "unixsocket", "/tmp/x"],
        vec!["CONFIG", "SET", "protected-mode", "no"],
        vec!["CONFIG", "SET", "requirepass", ""],
        vec!["CONFIG", "SET", "dir", "/tmp"],
        vec!["CONFIG", "SET", "dbfilename", "x"],
        vec!["CONFIG", "SET", "tls-port", &number],
        vec!["CONFIG", "REWRITE"],
        vec!["ACL", "SETUSER", "eve", "on", "nopass", "~*", "+@all"],
        vec!["ACL", "DELUSER", "eve"],
        vec!["ACL", "LOAD"],
        vec!["REPLICAOF", "127.0.0.1", &number],
        vec!["SLAVEOF", "127.0.0.1", &number],
        vec!["FAILOVER"],
        vec!["SHUTDOWN"],
        vec!["SHUTDOWN", "NOSAVE"],
        vec!["shutdown", "abort"],
        vec!["MODULE", "LOAD", "/tmp/x.so"],
        vec!["DEBUG", "SEGFAULT"],
    ];
    for danger in &dangers {
        let refused = client.call(danger);
        assert!(refused.is_error(), "{danger:?}: {refused:?}");
        client.call(&["MULTI"]).assert_ok();
        assert!(client.call(danger).is_error(), "{danger:?}");
        client.call(&["EXEC"]).assert_error("EXECABORT ");
        let words: Vec<String> = danger.iter().map(|word| format!("'{word}'")).collect();
        let script = format!("return redis.call({})", words.join(","));
        let refused = client.call(&["EVAL", &script, "0"]);
        assert!(refused.is_error(), "{danger:?} in a script: {refused:?}");
    }
    assert!(tcp_ports(embedded).is_empty());
    assert_eq!(backing_pid(&mut client), pid, "it is still the same");
    // What is harmless is as it was.
    client
        .call(&["CONFIG", "SET", "notify-keyspace-events", "KEA"])
        .assert_ok();
    client.call(&["ACL", "WHOAMI"]).assert_str("default");
    // The password is nowhere to be read, and without it there is no way in.
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).expect("a process");
    let arguments = String::from_utf8_lossy(&arguments).into_owned();
    let is_secret = |word: &str| word.len() >= 32 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut words = arguments.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(!words.any(is_secret), "{arguments}");
    let mut stranger = Client::try_connect_unix(&socket_of(&mut client)).expect("a socket");
    stranger.call(&["GET", "a"]).assert_error("NOAUTH ");
}
