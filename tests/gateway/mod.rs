//! Request forwarding, between real HTTP servers whose health is switched and real clients.

mod backend;
mod commands;
mod ejection;
mod file;
mod forwarding;
mod health;
mod load;
mod reload;
mod rude;
mod smuggling;
mod streams;
mod tls;
mod upgrade;

use std::io::Write;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use self::backend::Backend;
use crate::support::{
    Client, DEADLINE, RedisServer, Reply, ReservedPort, Respite, RespiteBuilder, get, wait_until,
};

/// A Respite with a services file.
pub(crate) struct Rig {
    pub(crate) respite: Respite,
    port: ReservedPort,
    folder: TempDir,
    pub(crate) redis: RedisServer,
}

impl Rig {
    /// Starts one with these services and waits for `service` to have a healthy instance.
    #[track_caller]
    pub(crate) fn start(services: &str) -> Self {
        let rig = Self::with(services, "", |builder| builder);
        rig.wait_healthy(1);
        rig
    }

    /// Starts one with these services and these keys of `[gateway]`.
    #[track_caller]
    pub(crate) fn with(
        services: &str,
        keys: &str,
        change: impl FnOnce(RespiteBuilder) -> RespiteBuilder,
    ) -> Self {
        let redis = RedisServer::start();
        let folder = TempDir::new().expect("a folder");
        let file = folder.path().join("services.yaml");
        std::fs::write(&file, services).expect("written");
        let port = ReservedPort::any();
        let config = format!(
            "[gateway]\nlisten = \"127.0.0.1:{}\"\nservices = '{}'\n{keys}\n",
            port.get(),
            file.display()
        );
        let builder = Respite::builder()
            .upstream(&redis.url())
            .http()
            .config(&config);
        let respite = change(builder)
            .allow_log(" is down: ")
            .allow_log("times in a row")
            .start();
        Self {
            respite,
            port,
            folder,
            redis,
        }
    }

    /// The port of the gateway.
    pub(crate) fn port(&self) -> u16 {
        self.port.get()
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("services.yaml")
    }

    /// Writes the services file anew, as an editor does: aside, and then renamed.
    #[track_caller]
    pub(crate) fn rewrite(&self, services: &str) {
        let aside = self.folder.path().join("aside");
        let mut file = std::fs::File::create(&aside).expect("created");
        file.write_all(services.as_bytes()).expect("written");
        std::fs::rename(aside, self.file()).expect("renamed");
    }

    pub(crate) fn client(&self) -> Client {
        self.respite.connect()
    }

    /// The instances of a service, as `GATEWAY.INSTANCES` shows them.
    #[track_caller]
    pub(crate) fn instances(&self, service: &str) -> Vec<Reply> {
        let reply = self.respite.call(&["GATEWAY.INSTANCES", service]);
        reply.items().to_vec()
    }

    /// What `/stats` says of the instance at a port.
    #[track_caller]
    pub(crate) fn stats(&self, port: u16) -> Value {
        let (status, text) = get(self.respite.http_port(), "/stats");
        assert_eq!(status, 200, "{text}");
        let stats: Value = serde_json::from_str(&text).expect("JSON");
        let services = stats["services"].as_array().expect("services").iter();
        let mut instances = services.flat_map(|s| s["instances"].as_array().expect("instances"));
        let url = format!("127.0.0.1:{port}");
        let found = instances.find(|instance| instance["url"] == url.as_str());
        found.unwrap_or_else(|| panic!("no {url}: {text}")).clone()
    }

    #[track_caller]
    pub(crate) fn state(&self, port: u16) -> String {
        self.stats(port)["state"]
            .as_str()
            .expect("a state")
            .to_owned()
    }

    #[track_caller]
    pub(crate) fn wait_state(&self, port: u16, state: &str) {
        wait_until(&format!("{port} is {state}"), DEADLINE, || {
            self.state(port) == state
        });
    }

    /// Waits until every service has so many healthy instances.
    #[track_caller]
    pub(crate) fn wait_healthy(&self, count: i64) {
        let mut client = self.client();
        wait_until("the instances are healthy", DEADLINE, || {
            let services = client.call(&["GATEWAY.SERVICES"]);
            services
                .items()
                .iter()
                .all(|s| s.field("healthy").int() >= count)
        });
    }
}

/// A service of these backends under `/`, polled by health every 50 ms.
pub(crate) fn service(backends: &[&Backend]) -> String {
    let servers: Vec<String> = backends
        .iter()
        .map(|b| format!("127.0.0.1:{}", b.port()))
        .collect();
    format!(
        "app:\n  servers: [{}]\n  polling: {{method: health, endpoint: /health, frequency: 50ms, timeout: 5s}}\n  \
         apis: [/]\n",
        servers.join(", ")
    )
}
