//! From the tree of a services file to its types. Mistakes are collected, not returned at the first.

use super::node::{Node, Value};
use super::{
    InstancesSpec, MetaInfo, Mistake, PollMethod, Polling, Priority, ServerUrl, ServiceSpec,
    Services,
};
use crate::config::{merge::suggest, period::Period};
use std::{collections::BTreeMap, time::Duration};

const SERVICE_KEYS: [&str; 5] = ["servers", "server", "discovery", "polling", "apis"];
const POLLING_KEYS: [&str; 8] = [
    "method",
    "endpoint",
    "frequency",
    "retries",
    "retry_delay",
    "packet_limit",
    "priority",
    "timeout",
];
const META_KEYS: [&str; 4] = [
    "discovery_server_name",
    "request_processor_name",
    "discovery_server_port",
    "request_processor_port",
];

/// All instances together: each costs a task and its memory of polls.
const MOST_SERVERS: usize = 10_000;
const MOST_RETRIES: i64 = 100;
const MOST_PACKETS: i64 = 100_000;
const DEFAULT: Polling = Polling {
    method: PollMethod::Ping,
    frequency: Duration::from_secs(60),
    retries: 0,
    retry_delay: Duration::from_secs(1),
    packet_limit: 5000,
    priority: Priority::Med,
    timeout: Duration::from_secs(5),
};

type Entries = [(Node, Node)];

/// What is wrong so far.
struct Reader {
    mistakes: Vec<Mistake>,
    servers: usize,
}

pub(super) fn services(document: &Node) -> Result<Services, Vec<Mistake>> {
    let mut reader = Reader {
        mistakes: Vec::new(),
        servers: 0,
    };
    let services = reader.document(document);
    if reader.mistakes.is_empty() {
        Ok(services)
    } else {
        Err(reader.mistakes)
    }
}

impl Reader {
    fn wrong(&mut self, node: &Node, what: impl Into<String>, why: impl Into<String>) {
        self.mistakes.push(Mistake {
            place: Some((node.line, node.column)),
            what: what.into(),
            why: why.into(),
        });
    }

    fn document(&mut self, document: &Node) -> Services {
        let mut found = Services::default();
        let Value::Map(entries) = &document.value else {
            self.wrong(document, "", "must be a map of services");
            return found;
        };
        let mut apis: BTreeMap<String, String> = BTreeMap::new();
        for (key, node) in entries {
            let Some(name) = key.text() else {
                self.wrong(key, "", "the name of a service must be text");
                continue;
            };
            if name == "meta-info" {
                found.meta = self.meta(node);
                continue;
            }
            if name.is_empty() || name.len() > 255 || name.contains(|c: char| c.is_control()) {
                let why =
                    "the name of a service must have 1 to 255 bytes and no control characters";
                self.wrong(key, "", why);
                continue;
            }
            if let Some(service) = self.service(&name, node) {
                for api in &service.apis {
                    if let Some(other) = apis.insert(api.clone(), name.clone()) {
                        let why = format!("{api} is an API of {other} as well");
                        self.wrong(node, format!("{name}.apis"), why);
                    }
                }
                found.services.insert(name, service);
            }
        }
        found
    }

    /// The entries of a map whose keys must be among these.
    fn entries<'a>(&mut self, node: &'a Node, what: &str, known: &[&str]) -> Option<&'a Entries> {
        let Value::Map(entries) = &node.value else {
            self.wrong(node, what, "must be a map");
            return None;
        };
        for (key, _) in entries {
            let name = key.text().unwrap_or_default();
            if !known.contains(&name.as_str()) {
                let hint = suggest(&name, known.iter().copied())
                    .map_or_else(String::new, |known| format!(" (did you mean \"{known}\"?)"));
                self.wrong(key, what, format!("unknown key \"{name}\"{hint}"));
            }
        }
        Some(entries)
    }

    fn service(&mut self, name: &str, node: &Node) -> Option<ServiceSpec> {
        let entries = self.entries(node, name, &SERVICE_KEYS)?;
        let apis = match get(entries, "apis") {
            Some(apis) => self.apis(&format!("{name}.apis"), apis),
            None => {
                self.wrong(
                    node,
                    name,
                    "apis is missing: the paths that the service serves",
                );
                Vec::new()
            }
        };
        let polling = get(entries, "polling")
            .map(|block| (block, self.polling(&format!("{name}.polling"), block, None)));
        let sources: Vec<_> = ["servers", "server", "discovery"]
            .into_iter()
            .filter_map(|key| Some((key, get(entries, key)?)))
            .collect();
        let instances = match sources.as_slice() {
            [("discovery", source)] => {
                let Some(discovered) = source.text().filter(|text| !text.is_empty()) else {
                    let why = "must be the name of a discovered service";
                    self.wrong(source, format!("{name}.discovery"), why);
                    return None;
                };
                InstancesSpec::Discovered {
                    name: discovered,
                    polling: polling.map_or(DEFAULT, |(_, polling)| polling),
                }
            }
            [(key, servers)] => {
                let what = format!("{name}.{key}");
                let polling = polling.map(|(_, polling)| polling);
                InstancesSpec::Listed(self.servers(&what, servers, node, polling.as_ref()))
            }
            _ => {
                let why = "needs exactly one of servers, server and discovery";
                self.wrong(node, name, why);
                return None;
            }
        };
        Some(ServiceSpec { instances, apis })
    }

    fn servers(
        &mut self,
        what: &str,
        node: &Node,
        service: &Node,
        polling: Option<&Polling>,
    ) -> Vec<(ServerUrl, Polling)> {
        let mut servers: Vec<(ServerUrl, Polling)> = Vec::new();
        let listed: Vec<(&Node, Option<&Node>)> = match &node.value {
            Value::List(list) => list.iter().map(|url| (url, None)).collect(),
            Value::Map(map) => map.iter().map(|(url, block)| (url, Some(block))).collect(),
            Value::Text(_) => vec![(node, None)],
            _ => {
                self.wrong(node, what, "must be a list of servers, or a map of servers");
                return servers;
            }
        };
        if listed.is_empty() {
            self.wrong(node, what, "must not be empty");
        }
        if polling.is_none() && listed.iter().any(|(_, block)| block.is_none()) {
            let name = what.split('.').next().unwrap_or(what);
            self.wrong(
                service,
                name,
                "polling is missing: how the servers are polled",
            );
        }
        for (url, block) in listed {
            let text = url.text().unwrap_or_default();
            let parsed = text.parse::<ServerUrl>();
            let polling = match block {
                None => polling.cloned().unwrap_or(DEFAULT),
                Some(block) if matches!(block.value, Value::Null) && polling.is_some() => {
                    polling.cloned().unwrap_or(DEFAULT)
                }
                Some(block) => self.polling(&format!("{what}.{text}"), block, polling),
            };
            self.servers += 1;
            match parsed {
                Ok(server) if servers.iter().any(|(other, _)| *other == server) => {
                    self.wrong(url, what, format!("has {text} twice"));
                }
                Ok(_) if self.servers == MOST_SERVERS + 1 => {
                    let why = format!("there are more than {MOST_SERVERS} servers");
                    self.wrong(url, what, why);
                }
                Ok(server) => servers.push((server, polling)),
                Err(why) => self.wrong(url, what, format!("\"{text}\" {why}")),
            }
        }
        servers
    }

    /// Reads a polling block over what it leaves out.
    fn polling(&mut self, what: &str, node: &Node, base: Option<&Polling>) -> Polling {
        let mut polling = base.cloned().unwrap_or(DEFAULT);
        let Some(entries) = self.entries(node, what, &POLLING_KEYS) else {
            return polling;
        };
        self.method(what, node, entries, base, &mut polling);
        let mut period = |name: &str, least: Duration, value: &mut Duration| {
            if let Some(node) = get(entries, name) {
                match duration(node).filter(|duration| *duration >= least) {
                    Some(duration) => *value = duration,
                    None if least.is_zero() => {
                        self.wrong(node, format!("{what}.{name}"), DURATION);
                    }
                    None => {
                        let why = format!("{DURATION}, at least {least:?}");
                        self.wrong(node, format!("{what}.{name}"), why);
                    }
                }
            }
        };
        period(
            "frequency",
            Duration::from_millis(10),
            &mut polling.frequency,
        );
        period("retry_delay", Duration::ZERO, &mut polling.retry_delay);
        period("timeout", Duration::from_millis(1), &mut polling.timeout);
        if let Some(node) = get(entries, "retries") {
            polling.retries = self.number(what, "retries", node, MOST_RETRIES) as u32;
        }
        if let Some(node) = get(entries, "packet_limit") {
            polling.packet_limit = self.number(what, "packet_limit", node, MOST_PACKETS) as usize;
        }
        if let Some(node) = get(entries, "priority") {
            match node.text().as_deref() {
                Some("high") => polling.priority = Priority::High,
                Some("med") => polling.priority = Priority::Med,
                Some("low") => polling.priority = Priority::Low,
                _ => {
                    let why = "must be \"high\", \"med\" or \"low\"";
                    self.wrong(node, format!("{what}.priority"), why);
                }
            }
        }
        polling
    }

    fn method(
        &mut self,
        what: &str,
        node: &Node,
        entries: &Entries,
        base: Option<&Polling>,
        polling: &mut Polling,
    ) {
        let endpoint = get(entries, "endpoint").and_then(|node| {
            let text = node.text().filter(|text| is_path(text));
            if text.is_none() {
                let why = "must be a path that begins with /";
                self.wrong(node, format!("{what}.endpoint"), why);
            }
            text
        });
        let has_endpoint = get(entries, "endpoint").is_some();
        match get(entries, "method").map(|node| (node, node.text())) {
            Some((_, Some(method))) if method == "ping" => polling.method = PollMethod::Ping,
            Some((_, Some(method))) if method == "health" => match (endpoint, &polling.method) {
                (Some(endpoint), _) => polling.method = PollMethod::Health(endpoint),
                (None, PollMethod::Health(_)) => {}
                (None, PollMethod::Ping) if has_endpoint => {}
                (None, PollMethod::Ping) => {
                    self.wrong(node, what, "endpoint is missing: what \"health\" asks for");
                }
            },
            Some((node, _)) => {
                let why = "must be \"health\" or \"ping\"";
                self.wrong(node, format!("{what}.method"), why);
            }
            None if base.is_none() => {
                self.wrong(node, what, "method is missing: \"health\" or \"ping\"");
            }
            None => {
                if let (Some(endpoint), PollMethod::Health(path)) = (endpoint, &mut polling.method)
                {
                    *path = endpoint;
                }
            }
        }
    }

    fn number(&mut self, what: &str, name: &str, node: &Node, most: i64) -> i64 {
        match node.value {
            Value::Integer(number) if (0..=most).contains(&number) => number,
            _ => {
                let why = format!("must be a whole number from 0 to {most}");
                self.wrong(node, format!("{what}.{name}"), why);
                0
            }
        }
    }

    fn apis(&mut self, what: &str, node: &Node) -> Vec<String> {
        let Value::List(list) = &node.value else {
            self.wrong(node, what, "must be a list of paths");
            return Vec::new();
        };
        if list.is_empty() {
            self.wrong(node, what, "must not be empty");
        }
        let mut apis = Vec::new();
        for node in list {
            match node.text() {
                Some(text) if is_path(&text) && !text.contains(['?', '#']) => {
                    let path = text.trim_end_matches('/');
                    let path = if path.is_empty() { "/" } else { path };
                    if apis.iter().any(|other| other == path) {
                        self.wrong(node, what, format!("has {path} twice"));
                    } else {
                        apis.push(path.to_owned());
                    }
                }
                _ => self.wrong(node, what, "must be a path that begins with /"),
            }
        }
        apis
    }

    fn meta(&mut self, node: &Node) -> MetaInfo {
        let mut meta = MetaInfo::default();
        let Some(entries) = self.entries(node, "meta-info", &META_KEYS) else {
            return meta;
        };
        let mut name = |key: &str| {
            let node = get(entries, key)?;
            let text = node.text();
            if text.is_none() {
                self.wrong(node, format!("meta-info.{key}"), "must be text");
            }
            text
        };
        meta.discovery_server_name = name("discovery_server_name");
        meta.request_processor_name = name("request_processor_name");
        let mut port = |key: &str| {
            let node = get(entries, key)?;
            let port = match node.value {
                Value::Integer(number) => u16::try_from(number).ok().filter(|port| *port > 0),
                _ => None,
            };
            if port.is_none() {
                let why = "must be a port, from 1 to 65535";
                self.wrong(node, format!("meta-info.{key}"), why);
            }
            port
        };
        meta.discovery_server_port = port("discovery_server_port");
        meta.request_processor_port = port("request_processor_port");
        meta
    }
}

const DURATION: &str = "must be a number of seconds, or one with a unit (us, ms, s, m, h, d)";

fn get<'a>(entries: &'a Entries, name: &str) -> Option<&'a Node> {
    let (_, value) = entries
        .iter()
        .find(|(key, _)| key.text().as_deref() == Some(name))?;
    Some(value)
}

fn duration(node: &Node) -> Option<Duration> {
    let Period(duration) = match &node.value {
        Value::Integer(number) => number.to_string().parse().ok()?,
        Value::Float(number) if *number >= 0.0 => format!("{number:.6}").parse().ok()?,
        Value::Text(text) => text.parse().ok()?,
        _ => return None,
    };
    Some(duration)
}

/// Whether a text can stand in a request as a path, without leading out of itself.
fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
        && !text.split('/').any(|segment| matches!(segment, "." | ".."))
}
