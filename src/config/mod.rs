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
//! - One file per section with its type and its rules: `access`, `bus`, `credential`, `fleet`, `limits`,
//!   `tls`, `upstream` with `endpoint`, `fleet_targets` with `targets`; `model` holds the whole.
//! - `listen`, `period`, `secret`, `size`: single values. `effective` prints a [`Config`] as TOML.

mod access;
mod bus;
mod cache;
mod credential;
mod effective;
mod endpoint;
mod environment;
mod error;
mod fleet;
mod fleet_targets;
mod limits;
mod listen;
mod load;
mod merge;
mod model;
mod period;
mod raw;
mod secret;
mod size;
mod targets;
#[cfg(test)]
mod testing;
mod tls;
mod upstream;
mod validate;

pub use access::{Access, UserConfig};
pub use bus::BusSettings;
pub use cache::{CacheMode, CacheSettings};
pub use credential::Credential;
pub use endpoint::{Address, Endpoint};
pub use environment::environment;
pub use error::{ConfigError, Problem};
pub use fleet::{FleetSettings, InfoMode};
pub use fleet_targets::{FileTargets, FleetTargets, LocalRule, LocalTargets, TargetPath};
pub use limits::{Limits, Timeouts};
pub use listen::ListenAddr;
pub use load::{Source, load};
pub use model::{Config, Http, LogFormat};
pub use secret::Secret;
pub use targets::{TargetFormat, TargetSpec, TargetsError, read_targets};
pub use tls::{ServerTls, Tls};
pub use upstream::Upstream;
