//! `GATEWAY.*`: shapes in both protocol versions, and their errors.

use super::{Backend, Rig, service};
use crate::support::{Client, RedisServer, Reply, Respite};

fn names(reply: &Reply) -> Vec<&str> {
    reply
        .pairs()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect()
}

fn both(rig: &Rig) -> [Client; 2] {
    let (two, mut three) = (rig.client(), rig.client());
    three.hello3();
    [two, three]
}

#[test]
fn replies_have_their_shapes() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let url = format!("127.0.0.1:{}", backend.port());
    for (version, mut client) in (2..).zip(both(&rig)) {
        let services = client.call(&["GATEWAY.SERVICES"]);
        let service = &services.items()[0];
        assert_eq!(matches!(service, Reply::Map(_)), version == 3);
        assert_eq!(names(service), ["service", "healthy", "total", "apis"]);
        assert_eq!(service.field("service").as_str(), "app");
        assert_eq!(service.field("healthy").int(), 1);
        assert_eq!(service.field("apis").strings(), ["/"]);
        let instances = client.call(&["gateway.instances", "app"]);
        let fields = [
            "url",
            "priority",
            "state",
            "in_flight",
            "ewma_ms",
            "successes",
            "failures",
            "ejected_ms",
        ];
        assert_eq!(names(&instances.items()[0]), fields);
        assert_eq!(instances.items()[0].field("url").as_str(), url);
        let ewma = instances.items()[0].field("ewma_ms");
        assert_eq!(matches!(ewma, Reply::Double(_)), version == 3);
        let picked = client.call(&["GATEWAY.PICK", "app"]);
        assert_eq!(names(&picked), ["url", "priority"]);
        assert_eq!(picked.field("priority").as_str(), "med");
        let stats = client.call(&["GATEWAY.STATS"]);
        assert_eq!(
            names(&stats.items()[0]),
            [
                "service",
                "apis",
                "requests",
                "retries",
                "reconnects",
                "unavailable",
                "failed",
                "healthy",
                "total",
                "instances"
            ]
        );
        let help = client.call(&["GATEWAY.HELP"]);
        assert!(help.strings().contains(&"GATEWAY.PICK service"), "{help:?}");
    }
}

#[test]
fn a_request_is_forwarded_for_a_redis_client() {
    let backend = Backend::start();
    let rig = Rig::with(&service(&[&backend]), "forward_bytes = 1000", |builder| {
        builder
    });
    rig.wait_healthy(1);
    for mut client in both(&rig) {
        let reply = client.call(&[
            "GATEWAY.FORWARD",
            "PUT",
            "/a?b=c",
            "HEADERS",
            "2",
            "X-One",
            "1",
            "Connection",
            "close",
            "BODY",
            "hello",
        ]);
        assert_eq!(names(&reply), ["status", "headers", "body", "instance"]);
        assert_eq!(reply.field("status").int(), 202);
        assert_eq!(reply.field("headers").field("x-answer").as_str(), "42");
        assert_eq!(
            reply.field("instance").as_str(),
            format!("127.0.0.1:{}", backend.port())
        );
        let seen: serde_json::Value =
            serde_json::from_str(reply.field("body").as_str()).expect("JSON");
        assert_eq!(
            (seen["method"].as_str(), seen["body"].as_str()),
            (Some("PUT"), Some("hello"))
        );
        assert_eq!(seen["uri"], "/a?b=c");
        assert!(reply.field("body").as_str().contains("[\"x-one\",\"1\"]"));
        let reply = client.call(&["GATEWAY.FORWARD", "GET", "/status/204"]);
        assert_eq!(
            (reply.field("status").int(), reply.field("body").as_str()),
            (204, "")
        );
        let large = "x".repeat(1001);
        for (command, error) in [
            (&["GATEWAY.FORWARD", "G ET", "/"][..], "ERR invalid method"),
            (
                &["GATEWAY.FORWARD", "GET", "x"],
                "ERR the path must begin with /",
            ),
            (
                &["GATEWAY.FORWARD", "GET", "/a b"],
                "ERR the path must begin with /",
            ),
            (
                &["GATEWAY.FORWARD", "GET", "/", "HEADERS", "1", "a"],
                "ERR syntax error",
            ),
            (
                &["GATEWAY.FORWARD", "GET", "/", "HEADERS", "-1"],
                "ERR the number of headers",
            ),
            (
                &["GATEWAY.FORWARD", "GET", "/", "HEADERS", "1", "a b", "c"],
                "ERR invalid header",
            ),
            (&["GATEWAY.FORWARD", "GET", "/", "BODY"], "ERR syntax error"),
            (
                &["GATEWAY.FORWARD", "GET", "/", "MORE", "x"],
                "ERR syntax error",
            ),
            (
                &["GATEWAY.FORWARD", "GET", "/", "BODY", &large],
                "ERR the body has more than 1000 bytes",
            ),
            (
                &["GATEWAY.FORWARD", "GET", "/large/1"],
                "ERR the response has more than 1000 bytes",
            ),
            (
                &["GATEWAY.FORWARD", "GET", "/a/../b"],
                "ERR the path has a . or .. segment",
            ),
            (
                &["GATEWAY.FORWARD", "GET"],
                "ERR wrong number of arguments for 'gateway.forward' command",
            ),
        ] {
            client.call(command).assert_error(error);
        }
        client.call(&["PING"]).assert_str("PONG");
    }
    backend.set_health(500);
    rig.wait_state(backend.port(), "down");
    rig.respite
        .call(&["GATEWAY.FORWARD", "GET", "/"])
        .assert_error("NOINSTANCE ");
}

#[test]
fn what_is_not_there_is_named() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let mut client = rig.client();
    for command in [
        "GATEWAY.INSTANCES",
        "GATEWAY.PICK",
        "GATEWAY.CHECK",
        "GATEWAY.STATS",
    ] {
        client
            .call(&[command, "nope"])
            .assert_error("ERR no such service 'nope'");
    }
    for command in ["GATEWAY.DRAIN", "GATEWAY.UNDRAIN", "GATEWAY.CHECK"] {
        for url in ["127.0.0.1:1", "not a url"] {
            let text = format!("ERR service 'app' has no instance '{url}'");
            client.call(&[command, "app", url]).assert_error(&text);
        }
    }
    client
        .call(&["GATEWAY.CHECK", "a", "b", "c"])
        .assert_error("ERR syntax error");
    let redis = RedisServer::start();
    let without = Respite::in_front_of(&redis);
    without
        .call(&["GATEWAY.FORWARD", "GET", "/"])
        .assert_error("ERR no service has this path");
}
