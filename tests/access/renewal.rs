//! Certificates and passwords that change under load, without a failed command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::tls::{start, talk, tls_config};
use crate::support::{Certificates, DEADLINE, RedisServer, Respite, respite_command, wait_until};

/// Nobody asks for a reload: the files are enough.
#[test]
fn certificates_are_renewed_when_their_files_change() {
    let redis = RedisServer::start();
    let certificates = Certificates::make();
    let copy = |from: &str, to: &str| {
        std::fs::copy(certificates.path(from), certificates.path(to)).expect("copied");
    };
    copy("ca.pem", "first-ca.pem");
    copy("stranger.pem", "next.pem");
    copy("stranger.key", "next.key");
    let mut respite = start(&redis, &tls_config(&certificates, false));
    respite.allow_log("the certificates before stay in force");
    let answers = |ca: &str| {
        let input = "PING\r\nQUIT\r\n";
        let output = talk(&certificates, respite.port(), &["-CAfile", ca], input);
        output.stdout.starts_with(b"+PONG")
    };
    assert!(answers("first-ca.pem") && !answers("stranger-ca.pem"));
    // The certificate of another authority; half of it first: the old one stays.
    std::fs::write(certificates.path("server.pem"), "-----BEGIN").expect("written");
    assert!(answers("first-ca.pem"));
    copy("next.key", "server.key");
    copy("next.pem", "server.pem");
    wait_until("the new certificate", DEADLINE, || {
        answers("stranger-ca.pem")
    });
    assert!(!answers("first-ca.pem"));
}

/// What clients do meanwhile: shared and pinned connections.
fn load(
    respite: &Respite,
    stop: &Arc<AtomicBool>,
    done: &Arc<AtomicU64>,
) -> Vec<thread::JoinHandle<()>> {
    let client = |at: usize| {
        let mut client = respite.connect();
        let (stop, done) = (Arc::clone(stop), Arc::clone(done));
        thread::spawn(move || {
            let key = format!("k{at}");
            let mut count: i64 = 0;
            while !stop.load(Ordering::Relaxed) {
                count += 1;
                client.call(&["INCR", &key]).assert_int(count);
                client.call(&["GET", &key]).assert_str(&count.to_string());
                client.call(&["MULTI"]).assert_ok();
                client.call(&["INCR", &key]).assert_str("QUEUED");
                count += 1;
                client.call(&["EXEC"]).items()[0].assert_int(count);
                client.call(&["RPUSH", "l", "x"]);
                client.call(&["BLPOP", "l", "0"]).items();
                done.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    (0..4).map(client).collect()
}

#[test]
fn the_password_of_the_upstream_is_rotated_without_a_failed_command() {
    let redis = RedisServer::start();
    redis
        .call(&["CONFIG", "SET", "requirepass", "one"])
        .assert_ok();
    let mut admin = redis.connect();
    admin.call(&["AUTH", "one"]).assert_ok();
    let text = |password: &str| {
        format!("upstream_credential = \"main\"\n[credentials.main]\npassword = \"{password}\"\n")
    };
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&text("one"))
        .start();
    let (stop, done) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients = load(&respite, &stop, &done);
    let goes_on = || {
        let from = done.load(Ordering::Relaxed);
        wait_until("the load goes on", DEADLINE, || {
            done.load(Ordering::Relaxed) > from + 50
        });
    };
    goes_on();
    let opened_before = ids(&mut admin);
    admin
        .call(&["CONFIG", "SET", "requirepass", "two"])
        .assert_ok();
    respite.rewrite_config(&text("two"));
    respite.connect().call(&["RESPITE.RELOAD"]).assert_ok();
    goes_on();
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("no command has failed");
    }
    // Those that carried commands with the password before have been replaced.
    let mut client = respite.connect();
    wait_until("shared connections are new", DEADLINE, || {
        client.call(&["SET", "a", "1"]).assert_ok();
        let now = ids(&mut admin);
        let old = now
            .iter()
            .filter(|(_, is_link)| *is_link)
            .filter(|one| opened_before.contains(one));
        old.count() == 0
    });
}

/// The connections of Respite at the backing, and whether they are shared ones.
fn ids(admin: &mut crate::support::Client) -> Vec<(String, bool)> {
    let list = admin.call(&["CLIENT", "LIST"]);
    let line = |line: &str| {
        let field = |name: &str| {
            let word = line.split(' ').find_map(|word| word.strip_prefix(name));
            word.unwrap_or_default().to_owned()
        };
        let is_link = field("name=") == "respite";
        (field("id="), is_link)
    };
    list.as_str().lines().map(line).collect()
}

#[test]
fn a_difference_is_told_without_secrets() {
    let dir = tempfile::tempdir().expect("temp dir");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let old = file(
        "old.toml",
        "workers = 1\n[credentials.a]\npassword = \"hush\"\n",
    );
    let new = file(
        "new.toml",
        "workers = 2\n[credentials.a]\npassword = \"tell\"\n[limits]\nclients = 7\n",
    );
    let output = respite_command(&["check-config", &new, "--diff", &old])
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for line in [
        "workers: 1 -> 2 (waits for a restart)",
        "limits.clients: 10000 -> 7 (at once)",
        "credentials.a: *** -> *** (at once)",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
    assert!(!text.contains("hush") && !text.contains("tell"), "{text}");
}
