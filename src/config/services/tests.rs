//! Tests of the services file: the documented examples, and every mistake with its place.

use super::*;

fn parse(text: &str) -> Services {
    Services::parse(text).unwrap_or_else(|mistakes| panic!("{text}: {mistakes:#?}"))
}

fn mistakes(text: &str) -> Vec<String> {
    let mistakes = Services::parse(text).expect_err(text);
    let error = ServicesError {
        file: PathBuf::from("f"),
        mistakes,
    };
    error.to_string().lines().map(str::to_owned).collect()
}

fn listed<'a>(services: &'a Services, name: &str) -> &'a [(ServerUrl, Polling)] {
    match &services.services[name].instances {
        InstancesSpec::Listed(servers) => servers,
        InstancesSpec::Discovered { .. } => panic!("{name} is discovered"),
    }
}

const JSON: &str = r#"{
	"service1": {
		"servers": {
			"www.example.com": {"method": "ping", "frequency": 80, "retries": 0, "packet_limit": 5000, "priority": "high"},
			"www.example.org": {"method": "ping", "frequency": 80, "retries": 0, "packet_limit": 5000}
		},
		"apis": ["/first", "/second/sample"]
	},
	"service2": {
		"servers": ["127.0.0.1:8080"],
		"polling": {
			"method": "health",
			"endpoint": "/health",
			"retries": 3,
			"retry_delay": 10,
			"packet_limit": 10000
		},
		"apis": ["/second", "/third"]
	},
	"meta-info": {
		"discovery_server_name": "My Discovery Server",
		"request_processor_name": "My Request Processor",
		"discovery_server_port": 8008,
		"request_processor_port": 8081
	}
}"#;

const YAML: &str = "
service1:
  server:
    - example.com
    - example.org
  polling:
    method: ping
    frequency: 80
    retries: 0
    packet_limit: 5000
  apis:
    - /first
    - /second/sample
service2:
  server: '127.0.0.1:8080'
  polling: {method: health, endpoint: /health, retries: 3, retry_delay: 500ms, timeout: 1.5}
  apis:
    - /second/
    - /third
service3:
  discovery: payments
  apis: [/pay]
meta-info:
  request_processor_port: 8080
";

#[test]
fn a_json_file_of_serverpy_loads() {
    let services = parse(JSON);
    let [first, second] = listed(&services, "service1") else {
        panic!("{services:?}")
    };
    assert_eq!(first.0.as_str(), "www.example.com");
    assert_eq!(
        (first.1.priority, second.1.priority),
        (Priority::High, Priority::Med)
    );
    assert_eq!(first.1.method, PollMethod::Ping);
    assert_eq!(first.1.frequency, Duration::from_secs(80));
    let [(url, polling)] = listed(&services, "service2") else {
        panic!("{services:?}")
    };
    assert_eq!((url.host.as_str(), url.port), ("127.0.0.1", 8080));
    assert_eq!(polling.method, PollMethod::Health("/health".into()));
    assert_eq!(polling.frequency, Duration::from_secs(60));
    assert_eq!(
        (polling.retries, polling.retry_delay),
        (3, Duration::from_secs(10))
    );
    assert_eq!(polling.packet_limit, 10_000);
    assert_eq!(services.services["service2"].apis, ["/second", "/third"]);
    assert_eq!(
        services.meta.request_processor_name.as_deref(),
        Some("My Request Processor")
    );
    assert_eq!(services.meta.discovery_server_port, Some(8008));
    assert_eq!(services.meta.request_processor_port, Some(8081));
}

#[test]
fn a_yaml_file_of_serverpy_loads() {
    let services = parse(YAML);
    assert_eq!(listed(&services, "service1").len(), 2);
    let [(_, polling)] = listed(&services, "service2") else {
        panic!("{services:?}")
    };
    assert_eq!(polling.retry_delay, Duration::from_millis(500));
    assert_eq!(polling.timeout, Duration::from_millis(1500));
    assert_eq!(polling.packet_limit, 5000);
    assert_eq!(services.services["service2"].apis, ["/second", "/third"]);
    let discovered = &services.services["service3"].instances;
    assert!(matches!(discovered, InstancesSpec::Discovered { name, .. } if name == "payments"));
    assert_eq!(services.meta.request_processor_port, Some(8080));
    assert_eq!(services.meta.discovery_server_port, None);
}

#[test]
fn a_block_of_a_server_lies_over_that_of_the_service() {
    let services = parse(
        "a:\n  servers: {h1: {priority: low}, h2: , h3: {method: ping}}\n  \
         polling: {method: health, endpoint: /up, retries: 2}\n  apis: [/]\n",
    );
    let servers = listed(&services, "a");
    assert_eq!(servers[0].1.priority, Priority::Low);
    assert_eq!(servers[0].1.method, PollMethod::Health("/up".into()));
    assert_eq!(servers[1].1.retries, 2);
    assert_eq!(servers[2].1.method, PollMethod::Ping);
}

#[test]
fn the_example_is_valid() {
    let services = parse(include_str!("../../../config/services.yaml"));
    assert!(services.services.len() > 1);
}

#[test]
fn every_mistake_is_said_at_once_with_its_place() {
    let text = "\
one:
  servers: [a:1, 'b c', a:1]
  polling: {method: pong, frequency: 0, retries: -1, packet_limit: x, priority: top}
  apis: [first, /a, /a/]
two:
  servers: {h: {method: health}}
  apis: [/a]
three:
  servers: [h]
  discovery: d
  apis: []
four:
  servers: [h]
  apis: [/b]
  poling: 1
meta-info:
  request_processor_port: 70000
  colour: red
";
    assert_eq!(
        mistakes(text),
        [
            "f:4:10: one.apis: must be a path that begins with /",
            "f:4:21: one.apis: has /a twice",
            "f:3:21: one.polling.method: must be \"health\" or \"ping\"",
            "f:3:38: one.polling.frequency: must be a number of seconds, or one with a unit (us, ms, s, m, h, d), at least 10ms",
            "f:3:50: one.polling.retries: must be a whole number from 0 to 100",
            "f:3:68: one.polling.packet_limit: must be a whole number from 0 to 100000",
            "f:3:81: one.polling.priority: must be \"high\", \"med\" or \"low\"",
            "f:2:18: one.servers: \"b c\" must be HOST, HOST:PORT, http://… or https://…",
            "f:2:25: one.servers: has a:1 twice",
            "f:6:16: two.servers.h: endpoint is missing: what \"health\" asks for",
            "f:6:3: two.apis: /a is an API of one as well",
            "f:11:9: three.apis: must not be empty",
            "f:9:3: three: needs exactly one of servers, server and discovery",
            "f:15:3: four: unknown key \"poling\" (did you mean \"polling\"?)",
            "f:13:3: four: polling is missing: how the servers are polled",
            "f:18:3: meta-info: unknown key \"colour\"",
            "f:17:27: meta-info.request_processor_port: must be a port, from 1 to 65535",
        ]
    );
}

#[test]
fn what_is_no_services_file_is_refused() {
    for (text, why) in [
        ("", "must be a map of services"),
        ("[1]", "must be a map of services"),
        ("a: 1", "a: must be a map"),
        (
            "a: {servers: [h], polling: {method: ping}}",
            "apis is missing",
        ),
        (
            "a: {servers: [], polling: {method: ping}, apis: [/]}",
            "must not be empty",
        ),
        (
            "a: {servers: 5.5, polling: {method: ping}, apis: [/]}",
            "must be a list of servers",
        ),
        (
            "a: {servers: [h], polling: {endpoint: /x}, apis: [/]}",
            "method is missing",
        ),
        (
            "a: {servers: [h], polling: {method: ping}, apis: [/a/../b]}",
            "must be a path",
        ),
        (
            "a: {discovery: '', apis: [/]}",
            "must be the name of a discovered service",
        ),
        ("a: {b", "f:1:"),
    ] {
        let found = mistakes(text);
        assert!(
            found.iter().any(|line| line.contains(why)),
            "{text:?}: {found:#?}"
        );
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let error = Services::load(Path::new("/nowhere/services.yaml")).expect_err("no file");
    let text = error.to_string();
    assert!(
        text.starts_with("/nowhere/services.yaml: cannot be read"),
        "{text}"
    );
}
