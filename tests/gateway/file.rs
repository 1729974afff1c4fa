//! The services file: refused with all its mistakes, reloaded on change, its ports.

use std::io::Read;

use super::{Backend, Rig, service};
use crate::support::{
    DEADLINE, HttpClient, RedisServer, Reply, ReservedPort, Respite, get, respite_command,
    wait_until,
};

#[test]
fn a_bad_file_is_refused_with_every_mistake() {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(
        &mut file,
        b"a:\n  servers: [h:0]\n  polling: {method: pong}\n  apis: [x]\nb: 1\n",
    )
    .expect("written");
    let config = format!("gateway.services = '{}'", file.path().display());
    let stopped = Respite::builder().config(&config).run_to_end();
    assert_eq!(stopped.status.code(), Some(2));
    let log = stopped.log.join("\n");
    let name = file.path().display();
    for place in [":2:13: ", ":3:21: ", ":4:10: ", ":5:4: "] {
        assert!(log.contains(&format!("{name}{place}")), "{place}: {log}");
    }
    let mut toml = tempfile::NamedTempFile::new().expect("a file");
    std::io::Write::write_all(&mut toml, config.as_bytes()).expect("written");
    let path = toml.path().display().to_string();
    let checked = respite_command(&["check-config", &path])
        .output()
        .expect("run");
    assert_eq!(checked.status.code(), Some(2));
    let text = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(text.contains("a.polling.method: must be"), "{text}");
}

#[test]
fn a_change_is_taken_over_and_the_rest_stays() {
    let (kept, gone, new) = (Backend::start(), Backend::start(), Backend::start());
    let rig = Rig::with(&service(&[&kept, &gone]).replace("50ms", "1h"), "", |b| b);
    rig.wait_healthy(2);
    get(rig.port(), "/");
    let url = format!("127.0.0.1:{}", kept.port());
    rig.respite
        .call(&["GATEWAY.DRAIN", "app", &url])
        .assert_ok();
    let polls = kept.polls();
    rig.rewrite(
        &service(&[&new, &kept])
            .replace("50ms", "1h")
            .replace("[/]", "[/api]"),
    );
    wait_until("the new one is there", DEADLINE, || {
        let instances = rig.instances("app");
        let healthy = instances
            .iter()
            .all(|one| one.field("state").as_str() != "unknown");
        healthy
            && instances[0]
                .field("url")
                .as_str()
                .ends_with(&new.port().to_string())
    });
    assert_eq!(rig.instances("app").len(), 2);
    assert_eq!(rig.state(kept.port()), "draining");
    assert_eq!(kept.polls(), polls, "it is not polled anew");
    assert_eq!(get(rig.port(), "/").0, 404);
    assert_eq!(get(rig.port(), "/api/x").0, 202);
    assert_eq!(new.requests(), 1);
    let stats = rig.respite.call(&["GATEWAY.STATS", "app"]);
    assert_eq!(
        stats.items()[0].field("requests").int(),
        2,
        "the count goes on"
    );
}

#[test]
fn a_bad_change_changes_nothing() {
    let backend = Backend::start();
    let mut rig = Rig::start(&service(&[&backend]));
    rig.rewrite("app: [");
    rig.respite.expect_log("the services stay as they were");
    assert_eq!(get(rig.port(), "/").0, 202);
    rig.rewrite("{}");
    wait_until("there are no services", DEADLINE, || {
        rig.respite.call(&["GATEWAY.SERVICES"]).items().is_empty()
    });
    assert_eq!(get(rig.port(), "/").0, 404);
    rig.rewrite(&service(&[&backend]));
    wait_until("the service is back", DEADLINE, || {
        get(rig.port(), "/").0 == 202
    });
}

#[test]
fn ports_of_the_file_apply_where_the_configuration_names_none() {
    let redis = RedisServer::start();
    let (admin, gateway) = (ReservedPort::any(), ReservedPort::any());
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("services.json");
    let services = format!(
        "{{\"meta-info\": {{\"discovery_server_port\": {}, \"request_processor_port\": {}}}}}",
        admin.get(),
        gateway.get()
    );
    std::fs::write(&file, services).expect("written");
    let port = ReservedPort::any();
    let start = |extra: &[&str]| {
        let mut args = vec!["serve".to_owned(), "--upstream".to_owned(), redis.url()];
        args.extend(["--listen".to_owned(), format!("127.0.0.1:{}", port.get())]);
        args.extend(extra.iter().map(|arg| (*arg).to_owned()));
        let mut command = respite_command(&args);
        command.env("RESPITE_GATEWAY__SERVICES", &file);
        command
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("spawned")
    };
    let log_of = |mut child: std::process::Child, lines: usize| {
        let mut log = String::new();
        let mut stderr = child.stderr.take().expect("piped");
        let mut byte = [0];
        while log.matches('\n').count() < lines && stderr.read(&mut byte).expect("read") > 0 {
            log.push(char::from(byte[0]));
        }
        child.kill().expect("killed");
        child.wait().expect("ended");
        log
    };
    let log = log_of(start(&[]), 5);
    assert!(
        log.contains(&format!("http:     http://127.0.0.1:{}", admin.get())),
        "{log}"
    );
    assert!(
        log.contains(&format!("gateway:  http://127.0.0.1:{}", gateway.get())),
        "{log}"
    );
    let named = ReservedPort::any();
    let log = log_of(start(&["--http", &format!("127.0.0.1:{}", named.get())]), 5);
    assert!(
        log.contains(&format!("http:     http://127.0.0.1:{}", named.get())),
        "{log}"
    );
}

#[test]
fn nodes_of_discovery_are_instances_while_they_live() {
    let (one, two) = (Backend::start(), Backend::start());
    let services = "app:\n  discovery: shop\n  polling: {method: health, endpoint: /health, frequency: 50ms}\n  apis: [/]\n";
    let rig = Rig::with(services, "", |builder| builder);
    assert_eq!(get(rig.port(), "/").0, 503);
    let mut client = rig.client();
    let mut join = |node: &str, backend: &Backend| {
        let port = backend.port().to_string();
        let joined = client.call(&["DISCOVERY.JOIN", "shop", node, "ADDR", "127.0.0.1", &port]);
        joined.field("lease").as_str().to_owned()
    };
    join("one", &one);
    let lease = join("two", &two);
    join("elsewhere", &one);
    let ports = || -> Vec<String> {
        let urls = rig.instances("app");
        let urls = urls.iter().map(|one| one.field("url").as_str().to_owned());
        urls.collect()
    };
    let url = |backend: &Backend| format!("127.0.0.1:{}", backend.port());
    wait_until("both are there", DEADLINE, || ports().len() == 2);
    rig.wait_healthy(2);
    assert_eq!(get(rig.port(), "/").0, 202);
    let draining = [
        "DISCOVERY.HEARTBEAT",
        "shop",
        "two",
        "LEASE",
        &lease,
        "STATE",
        "draining",
    ];
    client.call(&draining);
    wait_until("who drains is gone", DEADLINE, || ports() == [url(&one)]);
    client.call(&[
        "DISCOVERY.HEARTBEAT",
        "shop",
        "two",
        "LEASE",
        &lease,
        "STATE",
        "warning",
    ]);
    wait_until("it is back", DEADLINE, || ports().len() == 2);
    for node in ["one", "elsewhere"] {
        client.call(&["DISCOVERY.LEAVE", "shop", node]);
    }
    wait_until("who left is gone", DEADLINE, || ports() == [url(&two)]);
    rig.wait_healthy(1);
    assert_eq!(get(rig.port(), "/").0, 202);
}

#[test]
fn without_services_nothing_is_bound() {
    let redis = RedisServer::start();
    let port = ReservedPort::any();
    let config = format!("gateway.listen = \"127.0.0.1:{}\"", port.get());
    let respite = Respite::builder()
        .upstream(&redis.url())
        .config(&config)
        .start();
    assert!(std::net::TcpStream::connect(("127.0.0.1", port.get())).is_err());
    assert!(respite.call(&["GATEWAY.SERVICES"]).items().is_empty());
    assert!(!respite.log().iter().any(|line| line.contains("gateway:")));
}

#[test]
fn a_stop_finishes_what_is_in_flight() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let mut hanging = HttpClient::connect(rig.port());
    hanging.send("GET", "/hang", &[], b"").expect("sent");
    let mut idle = HttpClient::connect(rig.port());
    assert_eq!(
        idle.call("GET", "/", &[], b"").expect("a response").status,
        202
    );
    wait_until("it hangs", DEADLINE, || backend.hanging() == 1);
    let port = rig.port();
    rig.respite.signal(nix::sys::signal::Signal::SIGTERM);
    wait_until("nobody is accepted", DEADLINE, || {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_err()
    });
    wait_until("idle connections are closed", DEADLINE, || {
        idle.call("GET", "/", &[], b"").is_err()
    });
    backend.release();
    assert_eq!(hanging.read("GET").expect("a response").text(), "released");
    let Rig { respite, .. } = rig;
    assert!(respite.ended().status.success());
}

#[test]
fn the_nodes_stay_while_the_backing_is_away() {
    let (one, two) = (Backend::start(), Backend::start());
    let services = "app:\n  discovery: shop\n  polling: {method: health, endpoint: /health, frequency: 50ms}\n  apis: [/]\n";
    let mut rig = Rig::with(services, "", |builder| {
        builder
            .arg("--log-level=debug")
            .allow_log("not usable")
            .allow_log("link lost")
    });
    let join = |rig: &Rig, node: &str, backend: &Backend| {
        let port = backend.port().to_string();
        let join = ["DISCOVERY.JOIN", "shop", node, "ADDR", "127.0.0.1", &port];
        let joined = rig.client().call(&join);
        if matches!(joined, Reply::Error(_)) {
            Err(joined)
        } else {
            Ok(joined)
        }
    };
    join(&rig, "one", &one).expect("joined");
    rig.wait_healthy(1);
    rig.redis.kill();
    // Nothing changes meanwhile, and yet it is noticed that nobody can tell.
    rig.respite
        .expect_log("gateway: the nodes of shop are not known");
    assert_eq!(get(rig.port(), "/").0, 202);
    rig.redis.restart();
    wait_until("another can join", DEADLINE, || {
        join(&rig, "two", &two).is_ok()
    });
    let url = format!("127.0.0.1:{}", two.port());
    wait_until("it is there", DEADLINE, || {
        let mut instances = rig.instances("app").into_iter();
        instances.any(|one| one.field("url").as_str() == url)
    });
}
