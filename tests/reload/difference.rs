//! `RESPITE.RELOAD DIFF` and `respite check-config FILE --diff HOST:PORT`: what a reload would change there.

use std::process::Output;

use super::{file, put_in_force, start};
use crate::support::{RedisServer, Reply, Respite, respite_command};

/// Asks the running Respite about a file.
fn ask(respite: &Respite, toml: &str, more: &[&str]) -> Output {
    let dir = tempfile::tempdir().expect("temp dir");
    let path = dir.path().join("new.toml").display().to_string();
    std::fs::write(&path, toml.replace("$PORT", &respite.port().to_string())).expect("written");
    let running = format!("127.0.0.1:{}", respite.port());
    let mut args = vec!["check-config", &path, "--diff", &running];
    args.extend(more);
    respite_command(&args).output().expect("run")
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_running_server_says_what_a_reload_would_change() {
    let redis = RedisServer::start();
    let secrets = |one: &str| format!("[credentials.a]\npassword = \"{one}\"\n");
    let mut respite = start(&redis, &secrets("hush"));
    respite.allow_log("workers has changed: it takes effect at the next start");
    let (code, out, err) = said(&ask(&respite, &file(&redis, &secrets("hush")), &[]));
    assert_eq!(
        (code, out.as_str(), err.as_str()),
        (Some(0), "nothing changes\n", "")
    );
    let new = file(
        &redis,
        &format!("{}[limits]\nclients = 7\n", secrets("tell")),
    );
    let new = new.replace("workers = 2", "workers = 3");
    let (code, out, _) = said(&ask(&respite, &new, &[]));
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(
        lines,
        [
            "limits.clients: 10000 -> 7 (at once)",
            "workers: 2 -> 3 (waits for a restart)",
            "credentials.a: *** -> *** (at once)",
        ]
    );
    // It asked only: nothing is in force. What waits for a restart is said again after a reload.
    respite.rewrite_config(&new.replace("$PORT", &respite.port().to_string()));
    let mut client = respite.connect();
    let difference = client.call(&["RESPITE.RELOAD", "DIFF"]);
    assert_eq!(difference.strings(), lines);
    assert_eq!(client.call(&["RESPITE.RELOAD"]).strings(), ["workers"]);
    let left = client.call(&["RESPITE.RELOAD", "DIFF"]);
    assert_eq!(left.strings(), ["workers: 2 -> 3 (waits for a restart)"]);
    // What a reload would refuse is refused, with the reason.
    let (code, out, err) = said(&ask(&respite, "limits.clientz = 1\n", &[]));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("unknown key \"limits.clientz\""), "{err}");
    for wrong in [
        &["RESPITE.RELOAD", "x"][..],
        &["RESPITE.RELOAD", "DIFF", "", ""],
    ] {
        client.call(wrong).assert_error("ERR syntax error");
    }
    let long = "#".repeat(1024 * 1024 + 1);
    client
        .call(&["RESPITE.RELOAD", "DIFF", &long])
        .assert_error("ERR a configuration has at most");
}

#[test]
fn only_an_administrator_may_ask_and_nothing_shows_the_text() {
    let redis = RedisServer::start();
    let hash = "5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
    let user = |name: &str, commands: &str| {
        format!(
            "[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{hash}\"\ncommands = [{commands}]\n"
        )
    };
    let users = user("root", "\"@all\"") + &user("app", "\"@all\", \"-@admin\"");
    let respite = start(
        &redis,
        &format!("[slowlog]\nslower_than = \"1ms\"\n{users}"),
    );
    let mut monitor = respite.connect();
    monitor.call(&["AUTH", "root", "password"]).assert_ok();
    monitor.call(&["MONITOR"]).assert_ok();
    let dir = tempfile::tempdir().expect("temp dir");
    let password = dir.path().join("password");
    std::fs::write(&password, "password\n").expect("written");
    let password = password.display().to_string();
    let new = file(
        &redis,
        &format!("{users}[credentials.a]\npassword = \"hush-hush\"\n"),
    );
    let login = |name| {
        ask(
            &respite,
            &new,
            &["--user", name, "--password-file", &password],
        )
    };
    let (code, out, err) = said(&login("root"));
    assert_eq!(code, Some(0), "{err}");
    assert!(
        out.contains("credentials.a.password: - -> \"***\" (at once)"),
        "{out}"
    );
    let (code, out, err) = said(&login("app"));
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert!(err.contains("NOPERM "), "{err}");
    let (code, _, err) = said(&ask(&respite, &new, &[]));
    assert_eq!(code, Some(2));
    assert!(err.contains("NOAUTH "), "{err}");
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "password"]).assert_ok();
    root.call(&["GET", "mark"]);
    let mut seen: Vec<Reply> = vec![root.call(&["RESPITE.SLOWLOG", "GET", "-1"])];
    seen.push(root.call(&["CLIENT", "LIST"]));
    loop {
        let shown = monitor.read_reply();
        let is_last = shown.as_str().contains("\"mark\"");
        seen.push(shown);
        if is_last {
            break;
        }
    }
    for shown in &seen {
        assert!(!format!("{shown:?}").contains("hush"), "{shown:?}");
    }
    assert!(!respite.log().join("\n").contains("hush"));
}

#[test]
fn a_server_without_a_file_reads_none() {
    let redis = RedisServer::start();
    let respite = Respite::in_front_of(&redis);
    let refused = respite.call(&["RESPITE.RELOAD", "DIFF", "workers = 1"]);
    refused.assert_error("ERR this server runs without a file");
    assert!(respite.call(&["RESPITE.RELOAD", "DIFF"]).items().is_empty());
    drop(respite);
    let mut nobody = respite_command(&["check-config", "/dev/null", "--diff", "127.0.0.1:1"]);
    let (code, _, err) = said(&nobody.output().expect("run"));
    assert_eq!(code, Some(2));
    assert!(err.contains("127.0.0.1:1"), "{err}");
}

#[test]
fn an_upstream_that_waits_for_a_restart_is_not_given_up_by_the_one_before() {
    let redis = RedisServer::start();
    let mut respite = start(&redis, "");
    respite.allow_log("upstream has changed: it takes effect at the next start");
    let mut client = respite.connect();
    let mut subscriber = respite.connect();
    subscriber.call(&["SUBSCRIBE", "c"]).items();
    let same = file(&redis, "");
    let other = same.replace(&redis.url(), &format!("redis://{}/3", redis.addr()));
    respite.rewrite_config(&other.replace("$PORT", &respite.port().to_string()));
    assert_eq!(client.call(&["RESPITE.RELOAD"]).strings(), ["upstream"]);
    put_in_force(&respite, &same);
    // What it has on a connection of its own would be lost with the upstream.
    client.call(&["PUBLISH", "c", "still"]).assert_int(1);
    subscriber.read_reply().items()[2].assert_str("still");
}
