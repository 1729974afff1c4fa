//! The configuration: from defaults, a TOML file, the environment and flags to one immutable [`Config`].
//!
//! It opens no sockets, loads no certificates and resolves no host names: those belong to whoever
//! uses a value. `config/respite.toml` is the commented example, the list of the known keys and the
//! only source of the defaults.
//!
//! # Layout
//!
//! - `load`: the order of the steps. `merge` and `environment` lay the layers over one another and
//!   refuse unknown keys; `raw` is what serde reads; `validate` makes the types of this page of it.
//! - One file per section with its type and its rules: `access`, `bus`, `cluster_settings`, `credential`, `fleet`,
//!   `gateway`, `http`, `limits`, `slowlog`, `tls`, `upstream` with `endpoint`, `fleet_targets` with `targets` and
//!   `tracked_service`; `model` holds the whole. `services` reads the gateway's services file.
//! - `listen`, `meant_for`, `period`, `secret`, `size`: single values. `effective` prints a [`Config`] as TOML.

mod access;
mod bus;
mod cache;
mod cluster;
mod cluster_settings;
mod credential;
mod diff;
mod effective;
mod endpoint;
mod environment;
mod error;
mod fleet;
mod fleet_targets;
mod gateway;
mod hosts;
mod http;
mod limits;
mod listen;
mod lists;
mod load;
mod meant_for;
mod merge;
mod model;
mod period;
mod raw;
mod secret;
mod sentinel;
mod services;
mod size;
mod slowlog;
mod targets;
#[cfg(test)]
mod testing;
mod tls;
mod tracked_service;
mod upstream;
mod validate;

pub use access::{Access, UserConfig, UserPassword, UsersOf};
pub use bus::BusSettings;
pub use cache::{CacheMode, CacheSettings};
pub use cluster::ClusterSeeds;
pub use cluster_settings::{Announce, ClusterSettings};
pub use credential::Credential;
pub use endpoint::{Address, Endpoint};
pub use environment::environment;
pub use error::{ConfigError, Problem};
pub use fleet::{FleetSettings, InfoMode};
pub use fleet_targets::{FileTargets, FleetTargets, LocalTargets, TargetPath};
pub use gateway::GatewaySettings;
pub use http::Http;
pub use limits::{Limits, Timeouts};
pub use listen::ListenAddr;
pub use load::{Source, is_named, load, load_text};
pub use meant_for::{Meant, MeantFor};
pub use model::{Config, LogFormat};
pub use secret::Secret;
pub use sentinel::SentinelSet;
pub use services::{
    InstancesSpec, MetaInfo, PollMethod, Polling, Priority, ServerUrl, Services, ServicesError,
};
pub use slowlog::SlowlogSettings;
pub use targets::{TargetFormat, TargetSpec, read_targets};
pub use tls::{ServerTls, Tls};
pub use tracked_service::TrackedService;
pub use upstream::{OnLoss, Upstream};
