//! Starting: what the log says, and what is refused before any port is bound.

use std::io::Write;

use serde_json::Value;
use tempfile::NamedTempFile;

use super::{assert_refused, output, run};
use crate::support::{Client, DEADLINE, RedisServer, Respite, respite_command, wait_until};

fn file(toml: &str) -> (NamedTempFile, String) {
    let mut file = NamedTempFile::new().expect("temp file");
    file.write_all(toml.as_bytes()).expect("written");
    let path = file.path().display().to_string();
    (file, path)
}

#[test]
fn the_log_says_who_listens_where() {
    let redis = RedisServer::start();
    let mut respite = Respite::builder().upstream(&redis.url()).http().start();
    let (port, http) = (respite.port(), respite.http_port());
    let listens = respite.expect_log("clients:");
    assert!(
        listens.ends_with(&format!(" redis://127.0.0.1:{port}")),
        "{listens}"
    );
    let fronts = respite.expect_log("backing:");
    assert!(
        fronts.ends_with(&format!(" redis://{}/0", redis.addr())),
        "{fronts}"
    );
    let pages = respite.expect_log("http:");
    assert!(
        pages.ends_with(&format!(" http://127.0.0.1:{http}")),
        "{pages}"
    );
    let mut embedded = Respite::builder().start();
    let fronts = embedded.expect_log("backing:");
    assert!(
        fronts.contains(" unix:///") && fronts.ends_with("(embedded, private)"),
        "{fronts}"
    );
    assert!(embedded.expect_log("http:").ends_with(" off"));
}

#[test]
fn secrets_stay_out_of_the_log() {
    let redis = RedisServer::start();
    redis
        .call(&["CONFIG", "SET", "requirepass", "hush-hush"])
        .assert_ok();
    let url = format!("redis://:hush-hush@{}", redis.addr());
    let respite = Respite::builder()
        .upstream(&url)
        .arg("--log-level")
        .arg("trace")
        .start();
    respite.call(&["SET", "a", "1"]).assert_ok();
    let stopped = respite.stop();
    let told = stopped.log.iter().find(|line| line.contains("hush-hush"));
    assert_eq!(told, None);
}

#[test]
fn log_lines_can_be_json() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .arg("--log-format")
        .arg("json")
        .start();
    respite.call(&["PING"]).assert_str("PONG");
    let stopped = respite.stop();
    let events: Vec<Value> = stopped
        .log
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    for event in &events {
        let text = |key: &str| {
            event[key]
                .as_str()
                .unwrap_or_else(|| panic!("{key}: {event}"))
                .len()
        };
        assert!(text("timestamp") > 0 && text("level") > 0 && text("message") > 0);
    }
    assert!(
        events.iter().any(|event| event["message"] == "stopped"),
        "{events:#?}"
    );
}

#[test]
fn it_listens_on_several_addresses() {
    let redis = RedisServer::start();
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .arg("--listen")
        .arg("127.0.0.2:0")
        .start();
    let line = respite.expect_log(" redis://127.0.0.2:");
    let port = line
        .rsplit(':')
        .next()
        .and_then(|port| port.parse().ok())
        .expect("a port");
    let second = "127.0.0.2".parse().expect("an address");
    let mut client = Client::try_connect_to(second, port).expect("the second address");
    client.call(&["SET", "a", "1"]).assert_ok();
    respite.call(&["GET", "a"]).assert_str("1");
}

#[test]
fn a_port_in_use_is_named() {
    let redis = RedisServer::start();
    let (taken, url) = (redis.addr(), redis.url());
    let clients = run(&["--listen", &taken, "--http", "", "--upstream", &url]);
    assert_refused(
        &clients,
        1,
        &[&format!("cannot listen on {taken}: "), "in use"],
    );
    let http = run(&[
        "--listen",
        "127.0.0.1:0",
        "--http",
        &taken,
        "--upstream",
        &url,
    ]);
    assert_refused(
        &http,
        1,
        &[&format!("cannot listen on {taken} for HTTP: "), "in use"],
    );
}

#[test]
fn what_is_unknown_is_refused_before_a_port_is_bound() {
    // The port is taken: exit code 1 would say that it was tried.
    let redis = RedisServer::start();
    let taken = redis.addr();
    let with_file = |toml: &str| {
        let (_file, path) = file(toml);
        run(&["serve", "--listen", &taken, "--http", "", "--config", &path])
    };
    let key = with_file("[limits]\nclinets = 1");
    assert_refused(
        &key,
        2,
        &["unknown key \"limits.clinets\"", "\"limits.clients\""],
    );
    assert_refused(&with_file("limits.clients = 0"), 2, &["limits.clients: "]);
    assert_refused(
        &with_file("timeouts.drain = \"soon\""),
        2,
        &["timeouts.drain: "],
    );
    assert_refused(
        &with_file("limits.bulk_bytes = \"2GiB\""),
        2,
        &["limits.bulk_bytes: "],
    );
    assert_refused(&with_file("upstream = \"http://x\""), 2, &["upstream: "]);
    assert_refused(
        &with_file("upstream_credential = \"x\""),
        2,
        &["upstream_credential: "],
    );
    assert_refused(
        &with_file("access.deny = [\"@nope\"]"),
        2,
        &["[access] deny: ", "'@nope'"],
    );
    assert_refused(
        &with_file("cache.commands = [\"get\", \"ttl\"]"),
        2,
        &["cache.commands: ", "\"ttl\""],
    );
    let user = "[[access.users]]\nname = \"a\"\npassword_sha256 = \"12\"";
    assert_refused(&with_file(user), 2, &["access.users[0].password_sha256: "]);
    assert_refused(&with_file("= 1"), 2, &[":1:1: "]);
    let flag = run(&["serve", "--listen", &taken, "--lsten", "x"]);
    assert_refused(&flag, 2, &["--lsten"]);
    let mut command = respite_command(&["--listen", &taken, "--http", ""]);
    let variable = output(command.env("RESPITE_LIMITS__CLINETS", "1"));
    let texts = ["\"RESPITE_LIMITS__CLINETS\"", "\"RESPITE_LIMITS__CLIENTS\""];
    assert_refused(&variable, 2, &texts);
    let missing = run(&[
        "serve",
        "--listen",
        &taken,
        "--config",
        "/nowhere/respite.toml",
    ]);
    assert_refused(&missing, 2, &["cannot read /nowhere/respite.toml: "]);
}

#[test]
fn flags_win_over_variables_and_those_over_the_file() {
    let redis = RedisServer::start();
    let clients = |toml: &str, variable: Option<&str>| {
        let builder = Respite::builder().upstream(&redis.url()).config(toml);
        let respite = match variable {
            Some(value) => builder.env("RESPITE_LIMITS__CLIENTS", value).start(),
            None => builder.start(),
        };
        let served = || {
            let mut client = respite.connect();
            let _ = client.try_send_raw(b"PING\r\n"); // it may have been turned away already
            (client.read_reply_raw() == b"+PONG\r\n").then_some(client)
        };
        let mut first = None;
        // The connection that saw that it is ready has to go first.
        wait_until("one client is served alone", DEADLINE, || {
            first = first.take().or_else(served);
            first.as_mut().is_some_and(|client| {
                client.call(&["CLIENT", "LIST"]).as_str().lines().count() == 1
            })
        });
        served().is_some()
    };
    assert!(!clients("limits.clients = 1", None));
    assert!(clients("limits.clients = 1", Some("2")));
    // The builder names listen and upstream by flags: they win, or it would not answer.
    assert!(clients(
        "listen = \"192.0.2.1:1\"\nupstream = \"unix:///nowhere\"",
        None
    ));
}

#[test]
fn check_config_judges_files() {
    let (_file, good) = file("workers = 3\n[credentials.a]\npassword = \"hush\"");
    let checked = run(&["check-config", &good]);
    assert_refused(&checked, 0, &[]);
    let shown = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        shown.contains("workers = 3") && !shown.contains("hush"),
        "{shown}"
    );
    // What is shown is a configuration itself.
    let (_file, again) = file(&shown.replace("***", "x"));
    let again = run(&["check-config", &again]);
    assert_eq!(String::from_utf8_lossy(&again.stdout), shown);
    let (_file, bad) = file("wrkers = 3\n[access]\ndeny = 1");
    assert_refused(
        &run(&["check-config", &bad]),
        2,
        &["\"wrkers\"", "access.deny: "],
    );
    let (_file, rule) = file("access.deny = [\"@nope\"]");
    assert_refused(&run(&["check-config", &rule]), 2, &["[access] deny: "]);
    let (_file, read) = file("cache.commands = [\"hgetal\"]");
    assert_refused(
        &run(&["check-config", &read]),
        2,
        &["cache.commands: ", "\"hgetal\"", "\"hgetall\""],
    );
    assert_refused(
        &run(&["check-config", "/nowhere"]),
        2,
        &["cannot read /nowhere: "],
    );
    assert_refused(&run(&["check-config"]), 2, &["FILE"]);
}
