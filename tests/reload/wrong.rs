//! Reloads that go wrong, and many at once: what was in force stays, and the log says why.

use std::net::TcpListener;

use nix::sys::signal::Signal;

use super::{Load, file, put_in_force, start};
use crate::support::{RedisServer, Respite};

const DENIES: &str = "[access]\nscripts = true\ndeny = [\"keys\"]\n";

/// That the rules from the start are in force.
#[track_caller]
fn is_as_before(respite: &Respite) {
    respite.call(&["KEYS", "*"]).assert_error("NOPERM ");
    respite.call(&["SET", "a", "1"]).assert_ok();
}

#[test]
fn what_cannot_be_put_in_force_changes_nothing() {
    let redis = RedisServer::start();
    let mut respite = start(&redis, DENIES);
    let load = Load::start(|| respite.connect());
    let holder = TcpListener::bind(("127.0.0.1", 0)).expect("bound");
    let taken = holder.local_addr().expect("an address");
    let valid = file(&redis, DENIES);
    let cut = valid.find("redis://").expect("the upstream") + 5;
    // Beside what is wrong each would open access.
    let open = file(&redis, "");
    let elsewhere = open.replace(
        "listen = \"127.0.0.1:$PORT\"",
        &format!("listen = \"{taken}\""),
    );
    let wrong = [
        // As an editor leaves it for a moment.
        (String::new(), "the file is empty"),
        (valid[..cut].to_owned(), ".toml:2:"),
        (format!("{open}[limits]\nclientz = 5\n"), "unknown key"),
        (format!("{open}[limits]\nclients = 0\n"), "limits.clients"),
        (
            format!("{open}[tls]\ncert = \"/nowhere\"\nkey = \"/nowhere\"\n"),
            "tls: ",
        ),
        (
            format!("{open}[access]\ndeny = [\"@nothing\"]\n"),
            "unknown command category",
        ),
        (elsewhere, "cannot listen on"),
    ];
    for (text, why) in &wrong {
        let text = text.replace("$PORT", &respite.port().to_string());
        respite.rewrite_config(&text);
        let refused = respite.call(&["RESPITE.RELOAD"]);
        refused.assert_error("ERR the old configuration stays: ");
        assert!(refused.error().contains(why), "{why}: {refused:?}");
        is_as_before(&respite);
    }
    // A signal says it in the log.
    respite.signal(Signal::SIGHUP);
    let line = respite.expect_log("the old configuration stays in force");
    assert!(line.contains("cannot listen on"), "{line}");
    load.goes_on();
    load.end();
    put_in_force(&respite, &open);
    respite.call(&["KEYS", "*"]).items();
}

#[test]
fn many_reloads_at_once_come_one_after_the_other() {
    let redis = RedisServer::start();
    let respite = start(&redis, "");
    let load = Load::start(|| respite.connect());
    let text = |n: usize| {
        let text = file(
            &redis,
            &format!(
                "[limits]\nclients = {}\n[cache]\nmax_entries = {}\n",
                500 + n,
                500 + n
            ),
        );
        text.replace("$PORT", &respite.port().to_string())
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = respite.connect();
                for _ in 0..25 {
                    client.call(&["RESPITE.RELOAD"]).assert_ok();
                }
            });
        }
        for _ in 0..200 {
            respite.signal(Signal::SIGHUP);
        }
        // The file is replaced meanwhile, as a whole.
        for n in 0..50 {
            respite.replace_config(&text(n));
        }
    });
    load.goes_on();
    load.end();
    let mut client = respite.connect();
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    client.hello3();
    let stats = client.call(&["CACHE.STATS"]);
    assert_eq!(stats.field("max_entries").int(), 549);
}

/// A pipe has nothing left when it is read again: defaults would come in the place of all rules.
#[test]
fn what_can_be_read_only_once_is_not_read_again() {
    let redis = RedisServer::start();
    let respite = Respite::builder()
        .upstream(&redis.url())
        .arg("--config")
        .arg("/dev/null")
        .start();
    let refused = respite.call(&["RESPITE.RELOAD"]);
    refused.assert_error("ERR the old configuration stays: /dev/null: only a file");
}
