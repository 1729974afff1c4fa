//! `RESPITE.RELOAD` of what a running server has open: listeners, the upstream, the cache.

use std::net::{Ipv4Addr, TcpListener};

use crate::support::{
    Client, DEADLINE, Direction, RedisServer, Relay, ReservedPort, Respite, get, wait_until,
};

/// A Respite that has nothing but its file.
#[track_caller]
fn start(redis: &RedisServer, toml: &str) -> Respite {
    let text = format!(
        "listen = \"127.0.0.1:$PORT\"\nupstream = \"{}\"\n{toml}\n[http]\nlisten = \"\"\n",
        redis.url()
    );
    Respite::builder().only_file(&text).start()
}

/// The file with these listeners.
fn listening(redis: &RedisServer, clients: &str, http: &str) -> String {
    let upstream = redis.url();
    format!("listen = {clients}\nupstream = \"{upstream}\"\n[http]\nlisten = \"{http}\"\n")
}

#[test]
fn listeners_are_opened_and_closed() {
    let redis = RedisServer::start();
    let respite = start(&redis, "");
    let mut client = respite.connect();
    let (second, pages) = (ReservedPort::any(), ReservedPort::any());
    let (first, second) = (respite.port(), second.get());
    let http = format!("127.0.0.1:{}", pages.get());
    let reload = |client: &mut Client, clients: &str, http: &str| {
        respite.rewrite_config(&listening(&redis, clients, http));
        client.call(&["RESPITE.RELOAD"])
    };
    let both = format!("[\"127.0.0.1:{first}\", \"127.0.0.1:{second}\"]");
    reload(&mut client, &both, &http).assert_ok();
    for port in [first, second] {
        Client::connect(port).call(&["PING"]).assert_str("PONG");
    }
    assert_eq!(get(pages.get(), "/health").0, 200);
    // All of a host's addresses take the place of one of them.
    let other = format!("\"0.0.0.0:{second}\"");
    reload(&mut client, &other, "").assert_ok();
    Client::connect(second).call(&["PING"]).assert_str("PONG");
    assert!(Client::try_connect(first).is_err(), "it is closed");
    assert!(std::net::TcpStream::connect((Ipv4Addr::LOCALHOST, pages.get())).is_err());
    // Who is connected stays.
    client.call(&["SET", "a", "1"]).assert_ok();

    // One that cannot be had changes nothing.
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind");
    let taken = taken
        .local_addr()
        .map(|addr| (taken, addr.port()))
        .expect("an address");
    let wanted = format!("[\"127.0.0.1:{first}\", \"127.0.0.1:{}\"]", taken.1);
    let error = reload(&mut client, &wanted, "");
    error.assert_error("ERR the old configuration stays: cannot listen on 127.0.0.1:");
    Client::connect(second).call(&["PING"]).assert_str("PONG");
    assert!(Client::try_connect(first).is_err());
}

#[test]
fn new_rules_come_before_new_doors() {
    let redis = RedisServer::start();
    let respite = start(&redis, "");
    let mut client = respite.connect();
    let second = ReservedPort::any();
    let users = "[[access.users]]\nname = \"a\"\npassword_sha256 = \
                 \"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8\"\n";
    let both = format!(
        "[\"127.0.0.1:{}\", \"127.0.0.1:{}\"]",
        respite.port(),
        second.get()
    );
    respite.rewrite_config(&(listening(&redis, &both, "") + users));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    let mut stranger = Client::connect(second.get());
    stranger.call(&["GET", "a"]).assert_error("NOAUTH ");
}

#[test]
fn the_upstream_moves() {
    let (one, two) = (RedisServer::start(), RedisServer::start());
    one.call(&["SET", "where", "one"]).assert_ok();
    two.call(&["SET", "where", "two"]).assert_ok();
    let mut respite = start(&one, "");
    respite.allow_log("link lost");
    respite.allow_log("backing not usable");
    respite.allow_log("it takes effect at the next start");
    let mut client = respite.connect();
    client.call(&["GET", "where"]).assert_str("one");
    let listen = format!("\"127.0.0.1:{}\"", respite.port());
    respite.rewrite_config(&listening(&two, &listen, ""));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    client.call(&["GET", "where"]).assert_str("two");
    client.call(&["SET", "where", "here"]).assert_ok();
    two.call(&["GET", "where"]).assert_str("here");
    // The same server with a password.
    two.call(&["CONFIG", "SET", "requirepass", "hush"])
        .assert_ok();
    let login = "upstream_credential = \"main\"\n";
    let text = listening(&two, &listen, "");
    let credential = "[credentials.main]\npassword = \"hush\"\n";
    respite.rewrite_config(&format!("{login}{text}{credential}"));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    client.call(&["GET", "where"]).assert_str("here");
    let mut pinned = respite.connect();
    pinned.call(&["MULTI"]).assert_ok();
    pinned.call(&["GET", "where"]).assert_str("QUEUED");
    assert_eq!(pinned.call(&["EXEC"]).items().len(), 1);
    // Another database for clients to begin in is not for those that have begun.
    respite.rewrite_config(&text.replace(&two.url(), &format!("redis://{}/3", two.addr())));
    let waiting = client.call(&["RESPITE.RELOAD"]);
    assert_eq!(waiting.strings(), ["upstream"]);
}

/// Whoever has a connection now: links, the monitor, fill links, those for Respite's own commands.
#[test]
fn open_connections_take_a_new_time_to_connect() {
    let redis = RedisServer::start();
    let relay = Relay::to(redis.port());
    let text = |time: &str| format!("log_level = \"debug\"\n[timeouts]\nconnect = \"{time}\"\n");
    let mut respite = Respite::builder()
        .upstream(&relay.url())
        .workers(1)
        .config(&text("5s"))
        .start();
    for told in ["link lost", "backing not usable", "UPSTREAM"] {
        respite.allow_log(told);
    }
    let mut client = respite.connect();
    client.call(&["SET", "a", "1"]).assert_ok();
    client.call(&["GET", "a"]).assert_str("1");
    client.call(&["EVAL", "return 1", "0"]);
    client.call(&["DISCOVERY.GROUPS"]);
    respite.rewrite_config(&text("120ms"));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    // Whoever connects is accepted and hears nothing.
    relay.pause(Direction::Down);
    relay.cut_all();
    for who in [
        "monitor not connected: no connection",
        " link not connected: no connection",
        "fill link not connected: no connection",
    ] {
        let line = respite.expect_log(who);
        assert!(line.contains(" within 1"), "{line}");
    }
    let mut asking = respite.connect();
    let refused = asking.call(&["DISCOVERY.GROUPS"]);
    assert!(refused.error().contains(" within 1"), "{refused:?}");
}

#[test]
fn what_waits_is_said_each_time() {
    let redis = RedisServer::start();
    let mut respite = start(&redis, "");
    respite.allow_log("it takes effect at the next start");
    let mut client = respite.connect();
    let listen = format!("\"127.0.0.1:{}\"", respite.port());
    let plain = listening(&redis, &listen, "");
    let waits = format!("workers = 7\nlog_format = \"json\"\n{plain}[cache]\nmax_entries = 77\n");
    for _ in 0..2 {
        respite.rewrite_config(&waits);
        let waiting = client.call(&["RESPITE.RELOAD"]);
        assert_eq!(waiting.strings(), ["workers", "log_format"]);
    }
    // The rest is in force.
    client.hello3();
    let most = |client: &mut Client| client.call(&["CACHE.STATS"]).field("max_entries").int();
    assert_eq!(most(&mut client), 77);
    respite.rewrite_config(&format!(
        "{plain}[cache]\nmax_bytes = 1000000\nexclude = [\"x*\"]\n"
    ));
    client.call(&["RESPITE.RELOAD"]).assert_ok();
    let stats = client.call(&["CACHE.STATS"]);
    assert_eq!(stats.field("max_bytes").int(), 1_000_000);
    let hits = |client: &mut Client| client.call(&["CACHE.STATS"]).field("hits").int();
    client.call(&["MSET", "x", "1", "y", "1"]).assert_ok();
    wait_until("y is kept", DEADLINE, || {
        let before = hits(&mut client);
        client.call(&["GET", "y"]).assert_str("1");
        hits(&mut client) > before
    });
    let before = hits(&mut client);
    for _ in 0..10 {
        client.call(&["GET", "x"]).assert_str("1");
    }
    assert_eq!(hits(&mut client), before, "x is excluded now");
}
