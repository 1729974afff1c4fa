//! Passwords and TLS towards the backing.

use std::path::Path;
use std::process::Command;

use super::builder;
use crate::support::{RedisServer, ReservedPort, Respite};

#[test]
fn a_wrong_password_is_a_clear_error() {
    let redis = RedisServer::builder()
        .args(["--requirepass", "right-one"])
        .start();
    let config = "[timeouts]\nconnect = \"300ms\"";
    let url = |password: &str| format!("redis://:{password}@127.0.0.1:{}", redis.port());
    let mut respite = builder(&url("wrong-one")).config(config).start();
    let mut client = respite.connect();
    for command in [&["GET", "k"][..], &["WATCH", "k"], &["SUBSCRIBE", "c"]] {
        let reply = client.call(command);
        let address = redis.addr();
        reply.assert_error(&format!(
            "UPSTREAM {address} refused the connection: WRONGPASS "
        ));
        assert!(
            reply.error().ends_with("; the command was not sent"),
            "{reply:?}"
        );
    }
    respite.expect_log("WRONGPASS");
    assert!(
        !respite.log().join("\n").contains("wrong-one"),
        "the password is in the log"
    );
    let respite = Respite::builder().upstream(&url("right-one")).start();
    respite.call(&["SET", "k", "1"]).assert_ok();
}

#[test]
fn tls_to_a_backing_with_an_authority_of_its_own() {
    if RedisServer::lacks_tls() {
        return;
    }
    let dir = tempfile::tempdir().expect("temp dir");
    make_certificates(dir.path());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let port = ReservedPort::any();
    let redis = RedisServer::builder()
        .args([
            "--tls-port",
            &port.get().to_string(),
            "--tls-auth-clients",
            "no",
        ])
        .args([
            "--tls-cert-file",
            &path("redis.crt"),
            "--tls-key-file",
            &path("redis.key"),
        ])
        .args(["--tls-ca-cert-file", &path("ca.crt")])
        .start();
    let url = format!("rediss://127.0.0.1:{}", port.get());
    let trusting = format!("[tls]\nupstream_ca = \"{}\"", path("ca.crt"));
    let respite = Respite::builder().upstream(&url).config(&trusting).start();
    let mut client = respite.connect();
    let value = "x".repeat(3_000_000);
    client.call(&["SET", "k", &value]).assert_ok();
    client.call(&["GET", "k"]).assert_str(&value);
    client.call(&["MULTI"]).assert_ok();
    client.call(&["STRLEN", "k"]).assert_str("QUEUED");
    assert_eq!(client.call(&["EXEC"]).items()[0].int(), 3_000_000);
    let mut subscriber = respite.connect();
    subscriber.call(&["SUBSCRIBE", "c"]);
    redis.call(&["PUBLISH", "c", "m"]);
    subscriber.read_reply().items()[2].assert_str("m");

    // another authority
    let other = format!(
        "[tls]\nupstream_ca = \"{}\"\n[timeouts]\nconnect = \"300ms\"",
        path("other.crt")
    );
    let mut respite = builder(&url).config(&other).start();
    let reply = respite.call(&["GET", "k"]);
    reply.assert_error("UPSTREAM cannot connect to 127.0.0.1:");
    assert!(reply.error().contains("certificate"), "{reply:?}");
    respite.expect_log("certificate");
}

/// An authority, a certificate of it for 127.0.0.1, and an authority that has nothing to do with it.
fn make_certificates(dir: &Path) {
    let script = r#"
        set -e
        for ca in ca other; do
            openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$ca" -keyout $ca.key -out $ca.crt
        done
        openssl req -newkey rsa:2048 -nodes -subj /CN=redis -keyout redis.key -out redis.csr
        printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n' > ext
        openssl x509 -req -in redis.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out redis.crt
    "#;
    let output = Command::new("sh")
        .args(["-c", script])
        .current_dir(dir)
        .output()
        .expect("sh");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
