//! What is forwarded where, and what of it is kept.

use std::collections::HashSet;

use super::{Backend, Rig, service};
use crate::support::{DEADLINE, HttpClient, fetch, get, wait_until};

fn port_of(rig: &Rig, path: &str) -> u64 {
    let response = fetch(rig.port(), "GET", path, &[]);
    assert_eq!(response.status, 202, "{path}: {}", response.text());
    response.json()["port"].as_u64().expect("a port")
}

#[test]
fn a_request_arrives_as_it_was_sent() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let mut client = HttpClient::connect(rig.port());
    let headers = [
        ("Host", "example.org"),
        ("X-Mine", "a"),
        ("X-Mine", "b"),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "secret"),
        ("X-Forwarded-For", "10.0.0.1"),
        ("Content-Type", "text/plain"),
    ];
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET", "BREW"] {
        let path = "/a%20b/c?x=1&y=%2F&&z";
        let response = client.call(method, path, &headers, b"hello").expect(method);
        assert_eq!(response.status, 202);
        assert_eq!(response.header("x-answer"), Some("42"));
        for hop in ["x-secret", "keep-alive"] {
            assert_eq!(response.header(hop), None);
        }
        let seen = response.json();
        assert_eq!(seen["method"], method);
        assert_eq!(seen["uri"], path);
        assert_eq!(seen["body"], "hello");
        let mut found: Vec<(&str, &str)> = seen["headers"]
            .as_array()
            .expect("headers")
            .iter()
            .map(|pair| {
                (
                    pair[0].as_str().expect("a name"),
                    pair[1].as_str().expect("a value"),
                )
            })
            .collect();
        found.sort_unstable();
        assert_eq!(
            found,
            [
                ("content-length", "5"),
                ("content-type", "text/plain"),
                ("host", "example.org"),
                ("x-forwarded-for", "10.0.0.1, 127.0.0.1"),
                ("x-mine", "a"),
                ("x-mine", "b"),
            ]
        );
    }
    let chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    for method in ["POST", "GET"] {
        let chunked = [("Transfer-Encoding", "chunked")];
        let response = client
            .call(method, "/", &chunked, chunks)
            .expect("a response");
        assert_eq!(response.json()["body"], "abcde", "{method}");
    }
}

#[test]
fn responses_without_a_body_pass() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let mut client = HttpClient::connect(rig.port());
    let direct = fetch(backend.port(), "HEAD", "/", &[]);
    let response = client.call("HEAD", "/", &[], b"").expect("a response");
    assert_eq!(response.status, 202);
    assert!(direct.header("content-length").is_some());
    for status in [204, 304, 418, 200] {
        let path = format!("/status/{status}");
        let response = client.call("GET", &path, &[], b"").expect("a response");
        assert_eq!((response.status, response.body.len()), (status, 0));
    }
    // All of it over one connection.
    assert_eq!(
        client
            .call("GET", "/", &[], b"")
            .expect("a response")
            .status,
        202
    );
}

#[test]
fn the_longest_path_decides() {
    let (one, two) = (Backend::start(), Backend::start());
    let service = |name: &str, backend: &Backend, apis: &str| {
        let port = backend.port();
        format!(
            "{name}:\n  servers: ['127.0.0.1:{port}']\n  polling: {{method: ping}}\n  apis: [{apis}]\n"
        )
    };
    let services =
        service("one", &one, "/first, /second/sample") + &service("two", &two, "/second, /third");
    let rig = Rig::start(&services);
    for (path, backend) in [
        ("/first", &one),
        ("/first/x/y?z", &one),
        ("/second/sample/1", &one),
        ("/second/samples", &two),
        ("/third/", &two),
    ] {
        assert_eq!(port_of(&rig, path), u64::from(backend.port()), "{path}");
    }
    for path in ["/", "/firstly", "/fourth", "/First"] {
        let (status, text) = get(rig.port(), path);
        assert_eq!(status, 404, "{path}");
        assert!(text.contains("no service has this path"), "{text}");
    }
    for path in ["/first/../second", "/first/%2e%2e/x", "/first/..%2fx"] {
        assert_eq!(get(rig.port(), path).0, 400, "{path}");
    }
    assert_eq!(fetch(rig.port(), "CONNECT", "h:1", &[]).status, 405);
    let asked = rig.respite.call(&["GATEWAY.STATS"]);
    let requests: Vec<i64> = asked
        .items()
        .iter()
        .map(|s| s.field("requests").int())
        .collect();
    assert_eq!(requests, [3, 2]);
}

#[test]
fn the_path_of_a_server_comes_first() {
    let backend = Backend::start();
    let services = format!(
        "app:\n  servers: ['http://127.0.0.1:{}/base/']\n  polling: {{method: ping}}\n  apis: [/]\n",
        backend.port()
    );
    let rig = Rig::start(&services);
    let seen = fetch(rig.port(), "GET", "/a?b", &[]).json();
    assert_eq!(seen["uri"], "/base/a?b");
}

#[test]
fn the_best_priority_that_is_healthy_gets_all() {
    let backends = [Backend::start(), Backend::start(), Backend::start()];
    let mut services = "app:\n  apis: [/]\n  polling: {method: health, endpoint: /health, frequency: 50ms}\n  servers:\n".to_owned();
    for (backend, priority) in backends.iter().zip(["low", "high", "med"]) {
        services += &format!(
            "    127.0.0.1:{}: {{priority: {priority}}}\n",
            backend.port()
        );
    }
    let rig = Rig::with(&services, "", |builder| builder);
    rig.wait_healthy(3);
    for (best, down) in [(1, None), (2, Some(1)), (0, Some(2))] {
        if let Some(down) = down {
            backends[down].set_health(500);
            rig.wait_state(backends[down].port(), "down");
        }
        for _ in 0..10 {
            assert_eq!(port_of(&rig, "/"), u64::from(backends[best].port()));
        }
    }
    backends[1].set_health(200);
    rig.wait_state(backends[1].port(), "up");
    assert_eq!(port_of(&rig, "/"), u64::from(backends[1].port()));
}

#[test]
fn the_less_busy_instance_is_chosen() {
    let (busy, free) = (Backend::start(), Backend::start());
    let rig = Rig::with(&service(&[&busy, &free]), "", |builder| builder);
    rig.wait_healthy(2);
    let ports: HashSet<u64> = (0..50).map(|_| port_of(&rig, "/")).collect();
    assert_eq!(ports.len(), 2, "both are used");
    let url = format!("127.0.0.1:{}", free.port());
    let mut client = rig.client();
    client.call(&["GATEWAY.DRAIN", "app", &url]).assert_ok();
    let mut hanging = HttpClient::connect(rig.port());
    hanging.send("GET", "/hang", &[], b"").expect("sent");
    wait_until("it hangs", DEADLINE, || busy.hanging() == 1);
    client.call(&["GATEWAY.UNDRAIN", "app", &url]).assert_ok();
    for _ in 0..50 {
        assert_eq!(port_of(&rig, "/"), u64::from(free.port()));
    }
    busy.release();
    assert_eq!(hanging.read("GET").expect("a response").text(), "released");
}

#[test]
fn a_drained_instance_finishes_what_it_has() {
    let (one, two) = (Backend::start(), Backend::start());
    let rig = Rig::with(&service(&[&one]), "", |builder| builder);
    rig.wait_healthy(1);
    let mut hanging = HttpClient::connect(rig.port());
    hanging.send("GET", "/hang", &[], b"").expect("sent");
    wait_until("it hangs", DEADLINE, || one.hanging() == 1);
    rig.rewrite(&service(&[&one, &two]));
    wait_until("both are there", DEADLINE, || {
        rig.instances("app").len() == 2
    });
    rig.wait_healthy(2);
    let url = format!("http://127.0.0.1:{}", one.port());
    let mut client = rig.client();
    client.call(&["GATEWAY.DRAIN", "app", &url]).assert_ok();
    assert_eq!(rig.state(one.port()), "draining");
    for _ in 0..20 {
        assert_eq!(port_of(&rig, "/"), u64::from(two.port()));
    }
    assert_eq!(rig.instances("app")[0].field("in_flight").int(), 1);
    one.release();
    assert_eq!(hanging.read("GET").expect("a response").status, 200);
    client
        .call(&["GATEWAY.DRAIN", "app", &format!("127.0.0.1:{}", two.port())])
        .assert_ok();
    assert_eq!(get(rig.port(), "/").0, 503);
    client.call(&["GATEWAY.UNDRAIN", "app", &url]).assert_ok();
    assert_eq!(port_of(&rig, "/"), u64::from(one.port()));
}

#[test]
fn an_instance_that_is_silent_gives_504() {
    let backend = Backend::start();
    let rig = Rig::with(&service(&[&backend]), "timeout = \"200ms\"", |builder| {
        builder
    });
    rig.wait_healthy(1);
    let (status, text) = get(rig.port(), "/hang");
    assert_eq!(status, 504);
    assert!(text.contains("has answered in time"), "{text}");
    // The head is there, the rest is not: the client must not take it for the whole.
    let mut client = HttpClient::connect(rig.port());
    let cut = client.call("GET", "/endless", &[], b"");
    assert!(cut.is_err(), "{cut:?}");
    let failures = rig.instances("app")[0].field("failures").int();
    assert_eq!(failures, 2);
}

#[test]
fn a_client_that_does_not_finish_its_request_gets_408() {
    let backend = Backend::start();
    let rig = Rig::with(&service(&[&backend]), "timeout = \"200ms\"", |builder| {
        builder
    });
    rig.wait_healthy(1);
    for method in ["PUT", "POST"] {
        let mut client = HttpClient::connect(rig.port());
        let headers = [("Content-Length", "5")];
        client.send(method, "/", &headers, b"").expect("sent");
        assert_eq!(
            client.read(method).expect("a response").status,
            408,
            "{method}"
        );
    }
    assert_eq!(
        rig.instances("app")[0].field("failures").int(),
        0,
        "it is not to blame"
    );
}
