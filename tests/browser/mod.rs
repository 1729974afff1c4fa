//! The dashboard in a real Chromium, driven by the scripts beside this file.
//!
//! A scenario that wants something done writes `please …`; the test does it and answers with a line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::support::{RedisServer, Respite};

/// Runs a scenario; `please` does what it asks for and answers.
#[track_caller]
fn run(scenario: &str, respite: &Respite, mut please: impl FnMut(&str) -> String) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/run.sh");
    let mut child = Command::new(folder)
        .arg(scenario)
        .env(
            "RESPITE_HTTP",
            format!("http://127.0.0.1:{}", respite.http_port()),
        )
        .env(
            "RESPITE_BROWSER_CACHE",
            concat!(env!("CARGO_TARGET_TMPDIR"), "/browser"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run.sh starts");
    let mut answers = child.stdin.take().expect("a pipe");
    let lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut said = Vec::new();
    for line in lines {
        let line = line.expect("text");
        if let Some(what) = line.strip_prefix("please ") {
            let answer = please(what);
            writeln!(answers, "{answer}").expect("the script reads");
        }
        said.push(line);
    }
    let status = child.wait().expect("it ends");
    assert!(
        status.success(),
        "{scenario}: {status}\n{}",
        said.join("\n")
    );
    let last = said.last().map_or("", String::as_str);
    assert!(last.ends_with(" checks"), "{scenario}: {said:?}");
}

fn nothing(what: &str) -> String {
    panic!("nobody does {what}")
}

/// Reads one key for as long as it is there.
struct Load {
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn begin(respite: &Respite) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let (until, mut client) = (Arc::clone(&over), respite.connect());
        let thread = std::thread::spawn(move || {
            while !until.load(Ordering::Relaxed) {
                client.pipeline(&[&["GET", "a"][..]; 10]);
            }
            client.call(&["DEBUG", "SLEEP", "0.4"]);
        });
        Load {
            over,
            thread: Some(thread),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // Its panic has been told of.
            let _ = thread.join();
        }
    }
}

#[test]
fn figures_follow_the_load_and_agree_with_the_metrics() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("slowlog.slower_than = \"300ms\"")
        .http()
        .start();
    respite.call(&["SET", "a", "1"]).assert_ok();
    let _clients = [respite.connect(), respite.connect(), respite.connect()];
    let mut load = None;
    run("figures", &respite, |what| {
        match what {
            "clients" => {
                let mut client = respite.connect();
                let list = client.call(&["CLIENT", "LIST"]);
                // This one has gone when the page is looked at.
                return (list.as_str().lines().count() - 1).to_string();
            }
            "begin load" => load = Some(Load::begin(&respite)),
            "end load" => load = None,
            other => return nothing(other),
        }
        "done".to_owned()
    });
}

#[test]
fn a_thousand_shards_with_hostile_names_are_usable() {
    let redis = RedisServer::start();
    let mut config = String::from("[fleet]\ngrace = 1000000\n");
    let hostile = "<img src=x onerror=alert(1)>".to_owned();
    let names = (0..1000).map(|n| format!("one-{n}")).chain([hostile]);
    for name in names {
        // Nobody listens on port 1.
        config.push_str(&format!(
            "[[fleet.static]]\nid = \"{name}\"\naddr = \"127.0.0.1:1\"\n"
        ));
    }
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config)
        .http()
        .start();
    let mut client = respite.connect();
    client
        .call(&["CLIENT", "SETNAME", "x</td><script>alert(1)</script>"])
        .assert_ok();
    run("shards", &respite, nothing);
}

#[test]
fn it_works_while_the_backing_is_away() {
    let mut redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config("timeouts.connect = \"500ms\"")
        .http()
        .allow_log("")
        .start();
    respite.call(&["DISCOVERY.JOIN", "api", "node-1", "TTL", "3600"]);
    let mut again = None;
    run("outage", &respite, |what| {
        match what {
            "stop the backing" => redis.kill(),
            "start the backing" => {
                redis.restart();
                again = Some(());
                respite.call(&["DISCOVERY.JOIN", "api", "node-1", "TTL", "3600"]);
            }
            other => return nothing(other),
        }
        "done".to_owned()
    });
    assert!(again.is_some());
}

#[test]
fn a_form_logs_in() {
    let redis = RedisServer::start();
    let config = format!(
        "[http]\nbasic_auth = true\n[access]\nusers = [{{ name = \"ann\", password_sha256 = \"{HASH}\" }}]"
    );
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config)
        .http()
        .allow_log("login")
        .start();
    run("login", &respite, nothing);
}

#[test]
fn a_phone_shows_it() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).http().start();
    run("phone", &respite, nothing);
}

/// The SHA-256 of `pw`.
const HASH: &str = "30c952fab122c3f9759f02a6d95c3758b246b4fee239957b2d4fee46e26170c4";
