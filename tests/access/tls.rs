//! TLS on the listener; the client is openssl's own.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{ROOT, config};
use crate::support::{Certificates, RedisServer, Respite, respite_command};

pub(super) fn tls_config(certificates: &Certificates, client_ca: bool) -> String {
    let file = |name| format!("{:?}", certificates.path(name));
    let ca = if client_ca {
        format!("client_ca = {}\n", file("ca.pem"))
    } else {
        String::new()
    };
    let (cert, key) = (file("server.pem"), file("server.key"));
    format!("[tls]\ncert = {cert}\nkey = {key}\n{ca}")
}

/// Sends `input` through `openssl s_client` and returns what comes back until the server closes.
pub(super) fn talk(
    certificates: &Certificates,
    port: u16,
    arguments: &[&str],
    input: &str,
) -> Output {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-connect"])
        .arg(format!("127.0.0.1:{port}"))
        .args(["-servername", "localhost", "-CAfile", "ca.pem"])
        .args(["-verify_hostname", "localhost", "-verify_return_error"])
        .args(arguments)
        .current_dir(certificates.dir())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("run openssl");
    let mut stdin = client.stdin.take().expect("piped");
    let _ = stdin.write_all(input.as_bytes()); // a refused client may be gone already
    let output = client.wait_with_output().expect("openssl ends");
    drop(stdin);
    output
}

pub(super) fn start(redis: &RedisServer, toml: &str) -> Respite {
    let builder = Respite::builder().upstream(&redis.url()).config(toml);
    let mut respite = builder.tls().start();
    let line = respite.expect_log("clients:");
    assert!(line.contains(" rediss://127.0.0.1:"), "{line}");
    respite
}

#[test]
fn clients_speak_tls() {
    let redis = RedisServer::start();
    let certificates = Certificates::make();
    let toml = format!("{}{}", tls_config(&certificates, false), config(&[ROOT]));
    let respite = start(&redis, &toml);
    for version in ["-tls1_2", "-tls1_3"] {
        let big = "x".repeat(100_000);
        let input = format!("AUTH root toor\r\nSET a {big}\r\nSTRLEN a\r\nGET a\r\nQUIT\r\n");
        // An inline request is limited to 64 KiB: this one has to be a multi-bulk.
        let set = format!("SET a {big}\r\n");
        let bulk = format!("*3\r\n$3\r\nSET\r\n$1\r\na\r\n$100000\r\n{big}\r\n");
        let output = talk(
            &certificates,
            respite.port(),
            &[version],
            &input.replace(&set, &bulk),
        );
        let expected = format!("+OK\r\n+OK\r\n:100000\r\n$100000\r\n{big}\r\n+OK\r\n");
        assert!(
            output.stdout == expected.as_bytes(),
            "{version}: {output:?}"
        );
    }
    let mut plain = respite.connect();
    plain.send_raw(b"PING\r\n");
    let answer = plain.try_read_reply_raw();
    assert!(answer.is_err(), "plain text on a TLS port: {answer:?}");
}

#[test]
fn a_client_ca_refuses_those_without_its_certificate() {
    let redis = RedisServer::start();
    let certificates = Certificates::make();
    let respite = start(&redis, &tls_config(&certificates, true));
    let known = ["-cert", "client.pem", "-key", "client.key"];
    let stranger = ["-cert", "stranger.pem", "-key", "stranger.key"];
    let input = "SET known 1\r\nQUIT\r\n";
    let output = talk(&certificates, respite.port(), &known, input);
    assert_eq!(output.stdout, b"+OK\r\n+OK\r\n", "{output:?}");
    for arguments in [&[][..], &stranger] {
        let input = "SET stranger 1\r\nQUIT\r\n";
        let output = talk(&certificates, respite.port(), arguments, input);
        assert_eq!(output.stdout, b"", "{output:?}");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains("alert"), "{stderr}");
    }
    redis.call(&["GET", "known"]).assert_str("1");
    assert!(redis.call(&["GET", "stranger"]).is_null());
}

#[test]
fn files_that_are_none_are_refused_before_a_port_is_bound() {
    let dir = tempfile::tempdir().expect("temp dir");
    let redis = RedisServer::start();
    let refused = |cert: &Path| {
        let key = dir.path().join("no.key");
        let toml = format!(
            "listen = \"{}\"\n[tls]\ncert = {cert:?}\nkey = {key:?}\n",
            redis.addr()
        );
        let file = dir.path().join("respite.toml");
        std::fs::write(&file, toml).expect("written");
        let file = file.display().to_string();
        // The port is taken: exit code 1 would say that it was tried.
        for arguments in [
            vec!["serve", "--config", &file],
            vec!["check-config", &file],
        ] {
            let output = respite_command(&arguments).output().expect("run respite");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{stderr}");
            assert!(
                stderr.contains(&format!("tls: {}", cert.display())),
                "{stderr}"
            );
        }
    };
    refused(&dir.path().join("missing.pem"));
    let empty = dir.path().join("garbage.pem");
    std::fs::write(&empty, "-----BEGIN CERTIFICATE-----\n!\n").expect("written");
    refused(&empty);
}

#[test]
fn certificates_are_renewed_in_place() {
    let redis = RedisServer::start();
    let certificates = Certificates::make();
    let toml = tls_config(&certificates, false);
    let mut respite = start(&redis, &toml);
    let talk_to = |ca: &str| {
        let arguments = ["-CAfile", ca];
        talk(
            &certificates,
            respite.port(),
            &arguments,
            "PING\r\nQUIT\r\n",
        )
    };
    assert!(talk_to("ca.pem").stdout.starts_with(b"+PONG"));
    for (new, old) in [
        ("stranger.pem", "server.pem"),
        ("stranger.key", "server.key"),
    ] {
        std::fs::copy(certificates.path(new), certificates.path(old)).expect("copied");
    }
    assert!(
        talk_to("ca.pem").stdout.starts_with(b"+PONG"),
        "not before the reload"
    );
    respite.reload(&toml);
    respite.expect_log("configuration reloaded");
    let talk_to = |ca: &str| {
        let arguments = ["-CAfile", ca];
        talk(
            &certificates,
            respite.port(),
            &arguments,
            "PING\r\nQUIT\r\n",
        )
    };
    assert!(talk_to("stranger-ca.pem").stdout.starts_with(b"+PONG"));
    assert!(!talk_to("ca.pem").stdout.starts_with(b"+PONG"));
    // What is not a certificate leaves the one that serves.
    std::fs::write(certificates.path("server.pem"), "nonsense").expect("written");
    respite.reload(&toml);
    respite.expect_log("the old configuration stays in force");
    let arguments = ["-CAfile", "stranger-ca.pem"];
    let output = talk(
        &certificates,
        respite.port(),
        &arguments,
        "PING\r\nQUIT\r\n",
    );
    assert!(output.stdout.starts_with(b"+PONG"));
}
