//! Passwords kept as salted, slow hashes.

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::support::{
    Client, RedisServer, Reply, Respite, RespiteBuilder, encode, fetch, respite_command,
};

/// `respite hash-password` with this on its standard input.
fn hashed(input: &str, args: &[&str]) -> Output {
    let mut child = respite_command(&[&["hash-password"], args].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let _ = stdin.write_all(input.as_bytes()); // it may have refused its arguments
    drop(stdin);
    child.wait_with_output().expect("it ends")
}

fn hash_of(password: &str) -> String {
    let output = hashed(&format!("{password}\n"), &[]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let line = text.strip_suffix('\n').expect("one line");
    line.to_owned()
}

fn user(name: &str, password: &str) -> String {
    let hash = hash_of(password);
    format!("[[access.users]]\nname = \"{name}\"\npassword_hash = \"{hash}\"\n")
}

fn plain(name: &str) -> String {
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    format!("[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{SECRET}\"\n")
}

fn with(redis: &RedisServer, users: &str) -> RespiteBuilder {
    Respite::builder()
        .upstream(&redis.url())
        .workers(1)
        .config(users)
}

const WRONG: &str = "WRONGPASS invalid username-password pair or user is disabled.";

#[test]
fn a_hash_is_made_from_the_standard_input_only() {
    let (one, other) = (hash_of("secret"), hash_of("secret"));
    assert!(
        one.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && one != other,
        "{one}"
    );
    for (input, args) in [
        ("", &[][..]),
        ("\n", &[]),
        ("a\nb\n", &[]),
        ("x", &["secret"]),
    ] {
        let output = hashed(input, args);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{input:?} {args:?}: {output:?}"
        );
        assert!(output.stdout.is_empty() && !output.stderr.is_empty());
    }
}

#[test]
fn logins_are_judged_in_their_order() {
    let redis = RedisServer::start();
    let respite = with(&redis, &(user("ann", "secret") + &plain("bob"))).start();
    for _ in 0..2 {
        // All in one packet: what follows a login is run by whoever logged in.
        let mut client = respite.connect();
        let lines: [&[&str]; 11] = [
            &["GET", "a"],
            &["AUTH", "ann", "wrong"],
            &["GET", "a"],
            &["AUTH", "ann", "secret"],
            &["SET", "a", "1"],
            &["AUTH", "bob", "secret"],
            &["ACL.NOTHING"],
            &["HELLO", "3", "AUTH", "ann", "no"],
            &["GET", "a"],
            &["HELLO", "3", "AUTH", "ann", "secret"],
            &["CLIENT", "INFO"],
        ];
        let packet: Vec<u8> = lines.iter().flat_map(|line| encode(line)).collect();
        client.send_raw(&packet);
        let mut reply = || client.read_reply();
        reply().assert_error("NOAUTH ");
        reply().assert_error(WRONG);
        reply().assert_error("NOAUTH ");
        reply().assert_ok();
        reply().assert_ok();
        reply().assert_ok();
        reply().assert_error("ERR unknown command");
        reply().assert_error(WRONG);
        reply().assert_str("1");
        reply();
        let info = format!("{:?}", reply());
        assert!(info.contains("user=ann"), "{info}");
    }
    for (name, password) in [
        ("nobody", "secret"),
        ("ann", ""),
        ("bob", "x"),
        ("ANN", "secret"),
    ] {
        respite
            .connect()
            .call(&["AUTH", name, password])
            .assert_error(WRONG);
    }
    // The wrong password is wrong after the right one as well.
    let mut client = respite.connect();
    client.call(&["AUTH", "ann", "secret"]).assert_ok();
    client.call(&["AUTH", "ann", "Secret"]).assert_error(WRONG);
    client.call(&["GET", "a"]).assert_str("1");
}

#[test]
fn a_transaction_logs_in_as_well() {
    let redis = RedisServer::start();
    let users = user("ann", "secret") + "keys = [\"a\"]\n" + &plain("bob");
    let respite = with(&redis, &users).start();
    let mut client = respite.connect();
    client.call(&["AUTH", "bob", "secret"]).assert_ok();
    for (password, reads) in [("wrong", true), ("secret", false)] {
        client.call(&["MULTI"]).assert_ok();
        client.call(&["AUTH", "ann", password]).assert_str("QUEUED");
        client.call(&["GET", "other"]).assert_str("QUEUED");
        let replies = client.call(&["EXEC"]);
        let replies = replies.items();
        assert_eq!(matches!(&replies[0], Reply::Simple(_)), !reads);
        assert_eq!(replies[1].is_null(), reads, "{replies:?}");
    }
}

/// A hash of a second or so: whoever waits for it holds up nobody, not even on the same thread.
#[test]
fn a_slow_hash_blocks_no_worker() {
    const COSTLY: &str = "$argon2id$v=19$m=262144,t=20,p=1$c29tZXNhbHQ\
        $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
    let redis = RedisServer::start();
    let users = format!("[[access.users]]\nname = \"ann\"\npassword_hash = \"{COSTLY}\"\n");
    let respite = with(&redis, &users).start();
    let mut slow: Vec<Client> = (0..3)
        .map(|_| {
            let mut client = respite.connect();
            client.send(&["AUTH", "ann", "wrong"]);
            client
        })
        .collect();
    let mut other = respite.connect();
    for _ in 0..50 {
        other.call(&["PING"]).assert_error("NOAUTH ");
    }
    // They are not answered yet: the last of them has to wait for the others' hashes.
    assert!(slow[2].silent_for(Duration::from_millis(1)));
    for client in &mut slow[..1] {
        client.read_reply().assert_error(WRONG);
    }
}

/// Guesses that come all at once get no more of them judged than guesses one by one.
#[test]
fn guesses_at_once_are_slowed_as_well() {
    let redis = RedisServer::start();
    let respite = with(&redis, &user("ann", "secret"))
        .allow_log("logins fail again and again")
        .start();
    for name in ["ann", "nobody"] {
        let mut guessers: Vec<Client> = (0..60).map(|_| respite.connect()).collect();
        for guesser in &mut guessers {
            guesser.send(&["AUTH", name, "guess"]);
        }
        let (mut judged, mut refused) = (0, 0);
        for guesser in &mut guessers {
            let reply = format!("{:?}", guesser.read_reply());
            match reply.contains("WRONGPASS") {
                true => judged += 1,
                false => {
                    assert!(reply.contains("too many logins have failed"), "{reply}");
                    refused += 1;
                }
            }
        }
        // Ten are free, ten may wait, and one or two are between.
        assert!(judged <= 24, "{name}: {judged} judged, {refused} refused");
        assert!(
            judged >= 10 && refused >= 30,
            "{name}: {judged} judged, {refused} refused"
        );
    }
}

#[test]
fn pages_take_slow_hashes() {
    let redis = RedisServer::start();
    let respite = with(&redis, &user("ann", "secret"))
        .http()
        .allow_log("logins fail again and again")
        .start();
    let status = |login: &str| {
        let login = format!("Basic {}", BASE64_STANDARD.encode(login));
        fetch(
            respite.http_port(),
            "GET",
            "/stats",
            &[("Authorization", &login)],
        )
        .status
    };
    for (login, want) in [
        ("ann:wrong", 401),
        ("ann:secret", 200),
        ("ann:secret", 200),
        ("ann:Secret", 401),
        ("bob:secret", 401),
    ] {
        assert_eq!(status(login), want, "{login}");
    }
    for _ in 0..12 {
        assert_ne!(status("ann:wrong"), 200);
    }
    assert_eq!(status("ann:secret"), 200);
}

#[test]
fn a_reload_changes_the_password() {
    let redis = RedisServer::start();
    let respite = with(&redis, &user("ann", "one")).start();
    let mut client = respite.connect();
    client.call(&["AUTH", "ann", "one"]).assert_ok();
    respite.rewrite_config(&user("ann", "two"));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    let mut again = respite.connect();
    again.call(&["AUTH", "ann", "one"]).assert_error(WRONG);
    again.call(&["AUTH", "ann", "two"]).assert_ok();
    for bad in [
        "secret",
        "$argon2id$v=19$m=999999999,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8",
    ] {
        respite.rewrite_config(&format!(
            "[[access.users]]\nname = \"ann\"\npassword_hash = \"{bad}\"\n"
        ));
        let refused = format!("{:?}", client.call(&["RESPITE.RELOAD"]));
        assert!(
            refused.contains("password_hash must be") && !refused.contains(bad),
            "{refused}"
        );
    }
    again.call(&["AUTH", "ann", "two"]).assert_ok();
}
