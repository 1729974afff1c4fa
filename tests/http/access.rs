//! Who may ask: tokens, users, protected mode.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::support::{HttpClient, RedisServer, Respite, fetch};

fn basic(login: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(login))
}

fn user(name: &str, rules: &str) -> String {
    let hash: String = Sha256::digest("pw")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{hash}\"\n{rules}\n")
}

fn status(respite: &Respite, path: &str, login: &str) -> u16 {
    let headers = [("Authorization", login)];
    let headers = if login.is_empty() {
        &[][..]
    } else {
        &headers[..]
    };
    fetch(respite.http_port(), "GET", path, headers).status
}

#[test]
fn a_token_is_asked_for_and_can_be_replaced() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let builder = builder.allow_log("logins fail again and again");
    let mut respite = builder.config("http.token = \"one\"").start();
    for path in [
        "/",
        "/stats",
        "/dump",
        "/metrics",
        "/scrape?target=a",
        "/sd",
        "/shards",
        "/shards/a/info",
        "/services",
        "/bus/a/methods",
        "/keys/a",
        "/nothing",
    ] {
        assert_eq!(status(&respite, path, ""), 401, "{path}");
        assert_eq!(status(&respite, path, "Bearer two"), 401, "{path}");
    }
    assert_eq!(status(&respite, "/stats", "Bearer one"), 200);
    assert_eq!(status(&respite, "/keys/a", "Bearer one"), 404);
    assert_eq!(
        (
            status(&respite, "/health", ""),
            status(&respite, "/ready", "")
        ),
        (200, 200)
    );
    let refused = fetch(respite.http_port(), "GET", "/stats", &[]);
    assert!(refused.header("www-authenticate").is_some());
    respite.reload("http.token = \"two\"");
    respite.expect_log("configuration reloaded");
    assert_eq!(status(&respite, "/stats", "Bearer one"), 401);
    assert_eq!(status(&respite, "/stats", "Bearer two"), 200);
}

#[test]
fn keys_are_read_with_the_rights_of_a_user() {
    let redis = RedisServer::start();
    redis.call(&["SET", "app:1", "mine"]).assert_ok();
    redis.call(&["SET", "other", "secret"]).assert_ok();
    let config = format!(
        "[http]\ntoken = \"t\"\nbasic_auth = false\n{}{}{}",
        user("ann", "keys = [\"app:*\"]"),
        user("bob", "commands = [\"+set\"]"),
        user("eve", ""),
    );
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config(&config).start();
    assert_eq!(status(&respite, "/keys/app:1", ""), 401);
    assert_eq!(
        status(&respite, "/keys/other", "Bearer t"),
        200,
        "it may see all"
    );
    assert_eq!(status(&respite, "/keys/app:1", &basic("ann:no")), 401);
    assert_eq!(status(&respite, "/keys/app:1", &basic("ann:pw")), 200);
    // Whatever is in the cache by then.
    for _ in 0..5 {
        assert_eq!(status(&respite, "/keys/other", &basic("eve:pw")), 200);
        assert_eq!(status(&respite, "/keys/other", &basic("ann:pw")), 403);
    }
    assert_eq!(status(&respite, "/keys/app:1", &basic("bob:pw")), 403);
    assert_eq!(
        status(&respite, "/stats", &basic("eve:pw")),
        401,
        "basic_auth is off"
    );
    assert_eq!(status(&respite, "/stats", "Bearer t"), 200);
}

#[test]
fn with_users_every_page_wants_a_login() {
    let redis = RedisServer::start();
    let config = user("ann", "");
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config(&config).start();
    for path in [
        "/",
        "/stats",
        "/dump",
        "/metrics",
        "/shards",
        "/services",
        "/keys/a",
        "/x",
    ] {
        assert_eq!(status(&respite, path, ""), 401, "{path}");
    }
    for path in ["/health", "/ready"] {
        assert_eq!(status(&respite, path, ""), 200, "{path}");
    }
    assert_eq!(status(&respite, "/metrics", &basic("ann:no")), 401);
    assert_eq!(status(&respite, "/metrics", &basic("ann:pw")), 200);
}

#[test]
fn denied_commands_are_denied_here_too() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config("access.deny = [\"get\"]").start();
    assert_eq!(status(&respite, "/keys/a", ""), 403);
}

#[test]
fn pages_obey_the_rules_of_their_user() {
    let redis = RedisServer::start();
    let tenant = "keys = [\"app:*\", \"respite:d:{mine}\", \"respite:b:{mine}\"]";
    let config = format!(
        "http.token = \"t\"\n{}{}{}",
        user("root", ""),
        user("tenant", tenant),
        user("careful", "commands = [\"+@all\", \"-@dangerous\"]"),
    );
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config(&config).start();
    let mut root = respite.connect();
    root.call(&["AUTH", "root", "pw"]).assert_ok();
    for group in ["mine", "theirs"] {
        let joined = root.call(&["DISCOVERY.JOIN", "web", "n1", "GROUP", group]);
        assert!(!joined.is_error());
        assert!(!root.call(&["BUS.REGISTER", group, "m"]).is_error());
        assert!(!root.call(&["BUS.CAST", group, "m"]).is_error());
    }
    let id = root.call(&["SHARD.LIST"]).items()[0]
        .field("id")
        .as_str()
        .to_owned();
    let (info, scrape) = (format!("/shards/{id}/info"), format!("/scrape?target={id}"));
    let [tenant, careful] = ["tenant:pw", "careful:pw"].map(basic);
    for (path, of_tenant, of_careful) in [
        ("/services?group=mine", 200, 200),
        ("/services?group=theirs", 403, 200),
        ("/services", 403, 200),
        ("/bus/mine/methods", 200, 200),
        ("/bus/theirs/methods", 403, 200),
        ("/shards", 200, 200),
        (&info, 200, 403),
        (&scrape, 200, 403),
        ("/keys/other", 403, 404),
    ] {
        assert_eq!(status(&respite, path, &tenant), of_tenant, "{path}");
        assert_eq!(status(&respite, path, &careful), of_careful, "{path}");
        let all = status(&respite, path, "Bearer t");
        assert!(matches!(all, 200 | 404), "{path}: {all}");
    }
    let page = |path: &str, login: &str| {
        let headers = [("Authorization", login)];
        fetch(respite.http_port(), "GET", path, &headers)
            .text()
            .to_owned()
    };
    assert!(!page("/dump", &tenant).contains("theirs"));
    assert!(page("/dump", &tenant).contains("mine"));
    assert!(page("/dump", "Bearer t").contains("theirs"));
    assert!(page("/dump", &careful).contains("NOPERM"));
    assert!(!page("/metrics", &tenant).contains("theirs"));
    assert!(page("/metrics", &tenant).contains("redis_up"));
    assert!(!page("/metrics", &careful).contains("redis_up"));
}

#[test]
fn only_its_own_names_reach_it() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config("http.hosts = [\"respite.example\"]").start();
    let asked = |path: &str, host: &str| {
        let mut stream =
            std::net::TcpStream::connect(("127.0.0.1", respite.http_port())).expect("it listens");
        let request = format!("GET {path} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        std::io::Write::write_all(&mut stream, request.as_bytes()).expect("sent");
        let mut text = String::new();
        std::io::Read::read_to_string(&mut stream, &mut text).expect("an answer");
        text.split(' ').nth(1).expect("a status").to_owned()
    };
    for host in [
        "Host: 127.0.0.1\r\n",
        "Host: localhost:1\r\n",
        "Host: respite.example\r\n",
        "",
    ] {
        assert_eq!(asked("/stats", host), "200", "{host}");
    }
    for host in [
        "Host: evil.example\r\n",
        "Host: evil.example:8008\r\n",
        "Host: localhost\r\nHost: evil.example\r\n",
    ] {
        assert_eq!(asked("/stats", host), "403", "{host}");
        assert_eq!(asked("/keys/a", host), "403", "{host}");
        assert_eq!(asked("/health", host), "200", "{host}");
    }
    assert_eq!(
        asked("http://evil.example/stats", "Host: localhost\r\n"),
        "403"
    );
}

#[test]
fn what_is_denied_is_denied_on_pages() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config("access.deny = [\"info\"]").start();
    let id = respite.call(&["SHARD.LIST"]).items()[0]
        .field("id")
        .as_str()
        .to_owned();
    assert_eq!(status(&respite, &format!("/shards/{id}/info"), ""), 403);
    assert_eq!(status(&respite, &format!("/scrape?target={id}"), ""), 403);
    assert_eq!(status(&respite, "/shards", ""), 200);
    let metrics = fetch(respite.http_port(), "GET", "/metrics", &[]);
    assert!(!metrics.text().contains("redis_up"));
}

#[test]
fn metrics_show_nobody_what_his_commands_may_not() {
    let redis = RedisServer::start();
    let users = [
        user("all", "commands = [\"+@all\"]\nkeys = [\"*\"]"),
        user("few", "commands = [\"+get\"]\nkeys = [\"*\"]"),
    ];
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config(&users.concat()).start();
    let metrics = |name: &str| {
        let login = basic(&format!("{name}:pw"));
        let headers = [("Authorization", login.as_str())];
        fetch(respite.http_port(), "GET", "/metrics", &headers)
            .text()
            .to_owned()
    };
    let (all, few) = (metrics("all"), metrics("few"));
    for part in ["respite_cache_hits_total", "respite_bus_buses"] {
        assert!(all.contains(part) && !few.contains(part), "{part}");
    }
    assert!(few.contains("respite_connected_clients"));
}

#[test]
fn a_form_of_another_page_is_refused() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config("http.token = \"t\"").start();
    let port = respite.http_port();
    let post = |headers: &[(&str, &str)]| {
        let mut client = HttpClient::connect(port);
        let response = client.call("POST", "/login", headers, b"password=t");
        response.expect("a response").status
    };
    // The client calls it so.
    assert_eq!(post(&[("Origin", "http://localhost")]), 204);
    assert_eq!(post(&[]), 204);
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        assert_eq!(post(&[("Origin", origin)]), 403, "{origin}");
    }
    assert_eq!(post(&[("Sec-Fetch-Site", "cross-site")]), 403);
}
