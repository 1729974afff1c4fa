//! `/api` and the dashboard's login: who may see what, and that it is what the commands say.

use std::io::{BufRead, BufReader};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{DEADLINE, HttpClient, RedisServer, Respite, Response, fetch, wait_until};

fn user(name: &str, rules: &str) -> String {
    let hash: String = Sha256::digest("pw")
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("[[access.users]]\nname = \"{name}\"\npassword_sha256 = \"{hash}\"\n{rules}\n")
}

fn page(respite: &Respite, path: &str, login: &str) -> (u16, Value) {
    let basic = format!("Basic {}", BASE64_STANDARD.encode(login));
    let headers = [("Authorization", basic.as_str())];
    let headers = if login.is_empty() { &[][..] } else { &headers };
    let response = fetch(respite.http_port(), "GET", path, headers);
    (response.status, response.json())
}

const PAGES: [&str; 13] = [
    "/api/overview",
    "/api/history",
    "/api/latency",
    "/api/slowlog",
    "/api/doctor",
    "/api/shards",
    "/api/watchers",
    "/api/hotkeys",
    "/api/services",
    "/api/buses",
    "/api/gateway",
    "/api/clients",
    "/api/log",
];

#[test]
fn every_page_is_there_and_says_what_the_commands_say() {
    let redis = RedisServer::start();
    let respite = Respite::builder().upstream(&redis.url()).http().start();
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    for path in PAGES {
        let (status, body) = page(&respite, path, "");
        assert_eq!(status, 200, "{path}: {body}");
    }
    wait_until("a sample was taken", DEADLINE, || {
        let history = page(&respite, "/api/history?step=second", "").1;
        let clients = &history["samples"]["clients"];
        clients[0] == json!(1.0) && history["figures"]["clients"]["unit"] == "count"
    });
    let overview = page(&respite, "/api/overview", "").1;
    assert_eq!(overview["upstream"]["up"], true);
    let server = RedisServer::name();
    assert_eq!(overview["upstream"]["server"], server.to_lowercase());
    assert_eq!(overview["clients"]["connected"], 1);
    assert_eq!(overview["cache"]["mode"], "tracking");
    assert!(overview["findings"].is_array() && overview["shards"].is_object());
    assert_eq!(page(&respite, "/api/history?step=day", "").0, 400);
    assert_eq!(page(&respite, "/api/shards/none", "").0, 404);
    assert_eq!(page(&respite, "/api/none", "").0, 404);
    let dump = page(&respite, "/dump", "").1;
    for part in [
        "history", "seconds", "latency", "slowlog", "doctor", "hotkeys", "log",
    ] {
        assert!(
            !dump[part].is_null() && dump[part]["error"].is_null(),
            "{part}"
        );
    }
}

#[test]
fn users_see_what_their_rules_allow() {
    let redis = RedisServer::start();
    let tenant = "keys = [\"app:*\", \"respite:d:{mine}\", \"respite:b:{mine}\"]";
    let config = format!(
        "[http]\nbasic_auth = true\n{}{}{}",
        user("root", ""),
        user("tenant", tenant),
        user("reader", "commands = [\"@read\", \"+info\"]"),
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
    for key in ["app:1", "other"] {
        wait_until("it is hot", DEADLINE, || {
            root.call(&["GET", key]);
            let hot = page(&respite, "/api/hotkeys", "root:pw").1;
            hot.as_array()
                .is_some_and(|hot| hot.iter().any(|each| each["key"] == key))
        });
    }
    for path in PAGES {
        assert_eq!(page(&respite, path, "").0, 401, "{path}");
        assert_eq!(page(&respite, path, "root:pw").0, 200, "{path}");
    }
    let hot = page(&respite, "/api/hotkeys", "tenant:pw").1.to_string();
    assert!(hot.contains("app:1") && !hot.contains("other"), "{hot}");
    for path in ["/api/services", "/api/buses"] {
        let shown = page(&respite, path, "tenant:pw").1.to_string();
        assert!(
            shown.contains("mine") && !shown.contains("theirs"),
            "{path}: {shown}"
        );
    }
    for path in [
        "/api/latency",
        "/api/slowlog",
        "/api/doctor",
        "/api/log",
        "/api/clients",
    ] {
        assert_eq!(page(&respite, path, "reader:pw").0, 403, "{path}");
    }
    let (status, overview) = page(&respite, "/api/overview", "reader:pw");
    assert_eq!((status, &overview["findings"]), (200, &Value::Null));
    assert!(overview["figures"].is_object(), "{overview}");
    let whole = page(&respite, "/api/overview", "root:pw").1;
    assert!(whole["findings"].is_array(), "{whole}");
    let metrics = |login: &str| {
        let basic = format!("Basic {}", BASE64_STANDARD.encode(login));
        let headers = [("Authorization", basic.as_str())];
        let response = fetch(respite.http_port(), "GET", "/metrics", &headers);
        response.text().to_owned()
    };
    assert!(metrics("root:pw").contains("user=\"root\""));
    assert!(!metrics("reader:pw").contains("user=\"root\""));
}

#[test]
fn what_is_live_comes_each_second_until_the_rules_change() {
    let redis = RedisServer::start();
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config("http.token = \"one\"").start();
    let token = [("Authorization", "Bearer one")];
    let mut client = HttpClient::connect(respite.http_port());
    client.send("GET", "/api/live", &token, b"").expect("sent");
    let mut lines = BufReader::new(client.stream().try_clone().expect("a socket")).lines();
    let mut event = || {
        let found = lines.by_ref().map_while(Result::ok);
        found
            .into_iter()
            .find_map(|line| Some(line.strip_prefix("data: ")?.to_owned()))
    };
    let mut times = Vec::new();
    for _ in 0..3 {
        let overview: Value = serde_json::from_str(&event().expect("an event")).expect("JSON");
        assert_eq!(overview["upstream"]["up"], true);
        times.push(overview["time_ms"].as_u64());
    }
    // Each of them is a new one.
    assert!(
        times.is_sorted_by(|before, after| before < after),
        "{times:?}"
    );
    respite.reload("http.token = \"two\"");
    while event().is_some() {}
    assert_eq!(
        fetch(respite.http_port(), "GET", "/api/live", &token).status,
        401
    );
}

#[test]
fn the_form_is_judged_as_any_login() {
    let redis = RedisServer::start();
    let config = format!("http.token = \"t\"\n{}", user("ann", ""));
    let builder = Respite::builder().upstream(&redis.url()).http();
    let respite = builder.config(&config).allow_log("login").start();
    let port = respite.http_port();
    let post = |path: &str, headers: &[(&str, &str)], form: &str| -> Response {
        let mut client = HttpClient::connect(port);
        let response = client.call("POST", path, headers, form.as_bytes());
        response.expect("a response")
    };
    let browser = [("Accept", "text/html")];
    let redirect = fetch(port, "GET", "/", &browser);
    assert_eq!(
        (redirect.status, redirect.header("location")),
        (303, Some("/login"))
    );
    let form = fetch(port, "GET", "/login", &[]);
    assert_eq!(form.status, 200);
    let policy = form.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert_eq!(fetch(port, "GET", "/ui/style.css", &[]).status, 200);
    // Another name of this server reaches nothing at all.
    let evil = [("Host", "evil.example")];
    assert_eq!(fetch(port, "GET", "/login", &evil).status, 403);
    assert_eq!(post("/login", &evil, "user=ann&password=pw").status, 403);
    let foreign = [("Sec-Fetch-Site", "cross-site")];
    assert_eq!(post("/login", &foreign, "user=ann&password=pw").status, 403);
    for wrong in ["user=ann&password=no", "password=u", "user=ann", ""] {
        assert_eq!(post("/login", &[], wrong).status, 401, "{wrong}");
    }
    let large = format!("user=ann&password={}", "x".repeat(20_000));
    assert_eq!(post("/login", &[], &large).status, 413);
    for right in ["user=ann&password=pw", "user=&password=t"] {
        let opened = post("/login", &[], right);
        assert_eq!(opened.status, 204, "{right}");
        let cookie = opened.header("set-cookie").expect("a cookie");
        assert!(cookie.contains("; HttpOnly; SameSite=Strict;"), "{cookie}");
        let cookie = cookie.split(';').next().expect("a pair").to_owned();
        let with = [("Cookie", cookie.as_str())];
        assert_eq!(fetch(port, "GET", "/api/overview", &with).status, 200);
        assert_eq!(fetch(port, "GET", "/logout", &with).status, 204);
        assert_eq!(post("/logout", &with, "").status, 204);
        assert_eq!(fetch(port, "GET", "/api/overview", &with).status, 401);
    }
    let token = [("Authorization", "Bearer t")];
    let metrics = fetch(port, "GET", "/metrics", &token);
    assert!(
        metrics.text().contains("respite_auth_failures_total 4\n"),
        "{}",
        metrics.text()
    );
}
