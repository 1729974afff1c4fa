//! Requests that two servers could read in two ways.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};

use super::{Backend, Rig, service};
use crate::support::{DEADLINE, HttpClient, RedisServer, Respite};

/// Sends bytes on a connection of their own; returns the status and the body of the first response.
#[track_caller]
fn send(rig: &Rig, request: &[u8]) -> (u16, String) {
    let mut client = HttpClient::connect(rig.port());
    client.stream().write_all(request).expect("sent");
    let response = client.read("GET").expect("a response");
    (response.status, response.text().to_owned())
}

/// The headers of a request as the backend saw them.
fn seen(text: &str) -> Vec<(String, String)> {
    let seen: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let headers = seen["headers"].as_array().expect("headers").iter();
    let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    headers.map(|h| (text(&h[0]), text(&h[1]))).collect()
}

#[test]
fn a_request_has_one_host() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
    ] {
        let (status, text) = send(&rig, request.as_bytes());
        assert_eq!(status, 400, "{request:?} {text}");
    }
    assert_eq!(backend.requests(), 0);
    let absolute = "GET http://right.example:81/x HTTP/1.1\r\nHost: wrong.example\r\n\r\n";
    let (status, text) = send(&rig, absolute.as_bytes());
    assert_eq!(status, 202);
    let hosts: Vec<_> = seen(&text)
        .into_iter()
        .filter(|(n, _)| n == "host")
        .collect();
    assert_eq!(hosts, [("host".to_owned(), "right.example:81".to_owned())]);
}

#[test]
fn a_body_has_one_end() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let smuggled = "0\r\n\r\nGET /admin HTTP/1.1\r\nHost: h\r\n\r\n";
    for headers in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding:\r\n chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: +5",
        "Content-Length: 5, 5",
        "Content-Length: -1",
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n{smuggled}");
        let mut client = HttpClient::connect(rig.port());
        client.stream().write_all(request.as_bytes()).expect("sent");
        let response = client.read("POST").expect("a response");
        assert_eq!(response.status, 400, "{headers:?} {}", response.text());
        // What follows is no request of its own.
        let mut rest = Vec::new();
        let _ = client.stream().read_to_end(&mut rest); // a reset is an end, too
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(!rest.contains("HTTP/1.1 202"), "{headers:?} {rest}");
    }
    assert_eq!(backend.requests(), 0);
    // A length beside an encoding is none (RFC 9112 section 6.3), and the instance gets one of them.
    let both = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n\
                3\r\nabc\r\n0\r\n\r\n";
    let (status, text) = send(&rig, both.as_bytes());
    assert!(status == 400 || text.contains("\"body\":\"abc\""), "{text}");
    let one = |headers: &[(String, String)]| headers.iter().all(|(n, _)| n != "content-length");
    assert!(status == 400 || one(&seen(&text)), "{text}");
    a_length_beside_an_encoding_ends_the_connection(rig.port(), "/");
    // Trailers are not headers, and what looks like one is not passed on.
    let request = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\
                   X_Forwarded_For: evil\r\nContent_Length: 7\r\n\r\n\
                   3\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n";
    let (status, text) = send(&rig, request.as_bytes());
    assert_eq!(status, 202);
    assert!(text.contains("\"body\":\"abc\""), "{text}");
    for name in ["trailer", "x-late", "x_forwarded_for", "content_length"] {
        assert!(seen(&text).iter().all(|(n, _)| n != name), "{text}");
    }
}

/// Whoever stands before a server may have read such a request in the other way: what follows is not answered
/// (RFC 9112 section 6.1).
#[track_caller]
fn a_length_beside_an_encoding_ends_the_connection(port: u16, path: &str) {
    for both in [
        "Content-Length: 99\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 99",
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{both}\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
        );
        let mut client = HttpClient::connect(port);
        let next = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        client
            .stream()
            .write_all((request + &next).as_bytes())
            .expect("sent");
        let response = client.read("POST").expect("a response");
        assert_eq!(response.header("connection"), Some("close"), "{both:?}");
        let mut rest = Vec::new();
        let _ = client.stream().read_to_end(&mut rest); // a reset is an end, too
        assert!(
            rest.is_empty(),
            "{both:?} {}",
            String::from_utf8_lossy(&rest)
        );
    }
}

#[test]
fn the_pages_end_an_ambiguous_connection_too() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).http().start();
    a_length_beside_an_encoding_ends_the_connection(respite.http_port(), "/health");
}

#[test]
fn every_connection_header_is_honoured() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    let request =
        b"GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive\r\nConnection: \xff, X-Secret\r\n\
                    X-Secret: 1\r\n\r\n";
    let (status, text) = send(&rig, request);
    assert_eq!(status, 202);
    assert!(
        seen(&text).iter().all(|(name, _)| name != "x-secret"),
        "{text}"
    );
}

#[test]
fn a_path_has_one_reading() {
    let (public, admin) = (Backend::start(), Backend::start());
    let one = |name: &str, backend: &Backend, api: &str| {
        let port = backend.port();
        format!(
            "{name}:\n  server: 127.0.0.1:{port}\n  polling: {{method: ping}}\n  apis: [{api}]\n"
        )
    };
    let rig = Rig::start(&(one("public", &public, "/") + &one("admin", &admin, "/admin")));
    for path in [
        "/public/..;/admin",
        "/public/..;x/admin",
        "/public/%2e%2e/admin",
        "/public/%2e%2e;/admin",
        "/public/%252e%252e/admin",
        "/public/..%2fadmin",
        "/public%2f..%2fadmin",
        "/public/..\\admin",
        "/public%5c..%5cadmin",
        "//admin",
        "/./admin",
        "/;x/admin",
        "/admin;x/secret",
        "/admin%3bx",
        "/%00/admin",
        "/%0d%0aX:y",
        "/%zz",
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let (status, text) = send(&rig, request.as_bytes());
        assert_eq!(status, 400, "{path} {text}");
        let asked = rig.respite.call(&["GATEWAY.FORWARD", "GET", path]);
        assert!(
            asked.error().starts_with("ERR the path"),
            "{path} {asked:?}"
        );
    }
    assert_eq!((public.requests(), admin.requests()), (0, 0));
    for (path, arrives, backend) in [
        ("/%61dmin/x", "/admin/x", &admin),
        ("/admin/x;y=1?z=..//", "/admin/x;y=1?z=..//", &admin),
        ("/a%c3%bc/%7e;b/", "/a%C3%BC/~;b/", &public),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n");
        let (status, text) = send(&rig, request.as_bytes());
        assert_eq!(status, 202, "{path} {text}");
        let seen: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(seen["uri"], arrives);
        assert_eq!(seen["port"], backend.port());
    }
}

#[test]
fn other_protocols_are_not_switched_to() {
    let backend = Backend::start();
    let rig = Rig::start(&service(&[&backend]));
    for headers in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "Connection: Upgrade\r\nUpgrade: TLS/1.3",
        "Upgrade: websocket",
    ] {
        let request = format!("GET / HTTP/1.1\r\nHost: h\r\n{headers}\r\n\r\n");
        let (status, text) = send(&rig, request.as_bytes());
        assert_eq!(status, 202);
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(seen(&text).iter().all(|(n, _)| n != name), "{text}");
        }
    }
}

#[test]
fn an_instance_that_switches_to_something_else_is_not_believed() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let server = std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            if !switch_to_h2c(stream) {
                return;
            }
        }
    });
    let services = format!(
        "app:\n  server: 127.0.0.1:{port}\n  polling: {{method: ping, frequency: 1h}}\n  apis: [/]\n"
    );
    let rig = Rig::start(&services);
    let request = "GET / HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (status, text) = send(&rig, request.as_bytes());
    assert_eq!(status, 502, "{text}");
    assert!(text.contains("switched to another protocol"), "{text}");
    drop(rig);
    let mut last = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("connect");
    last.write_all(b"stop\r\n\r\n").expect("sent");
    server.join().expect("ended");
}

/// Answers a request with a switch that was not asked for. False when it is to be the last.
fn switch_to_h2c(mut stream: TcpStream) -> bool {
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let mut request = Vec::new();
    let mut chunk = [0; 1024];
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(n) if n > 0 => request.extend_from_slice(&chunk[..n]),
            // A poll, which only connects.
            _ => return true,
        }
    }
    let reply = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n";
    let _ = stream.write_all(reply); // nobody may read it
    !request.starts_with(b"stop")
}
