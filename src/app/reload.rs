//! Replacing the configuration of a running server.
//!
//! Everything that can refuse is asked first (the file, the rules, certificates, the services file, ports to be
//! bound), then all of it is put in force. What cannot be changed while serving is told to whoever asked.

use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use super::behind::{NamedBy, announced};
use super::gateway::{FollowedFile, http_rules};
use super::listening::{Listening, Wanted};
use super::{control_patience, prepare, raise_descriptor_limit};
use crate::access::{AccessList, Password, UserSpec};
use crate::bus::Hub;
use crate::command::Table;
use crate::config::{Config, Source, Tls, UserPassword, UsersOf, environment, load, load_text};
use crate::fleet::Fleet;
use crate::gateway::{Connector, Gateway};
use crate::http::Guard;
use crate::session::settings::Settings;
use crate::session::shared::Shared;
use crate::telemetry;
use crate::upstream::ControlLink;

/// Loads the configuration again from where it came and puts it in force.
pub(super) struct Reloader {
    source: Source,
    /// What is in force, with the values from the start where others wait for a restart. Held for a whole reload, so that one follows the other.
    current: Mutex<Config>,
    running: OnceLock<Parts>,
}

/// What a reload changes.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) bus: Arc<Hub>,
    pub(super) gateway: Arc<Gateway>,
    pub(super) services: FollowedFile,
    pub(super) named: NamedBy,
    pub(super) control: Arc<ControlLink>,
    pub(super) guard: Arc<Guard>,
    pub(super) tls: Arc<arc_swap::ArcSwapOption<TlsAcceptor>>,
    pub(super) listening: Arc<Mutex<Listening>>,
}

impl Reloader {
    pub(super) fn new(source: Source, config: Config) -> Self {
        Reloader {
            source,
            current: Mutex::new(config),
            running: OnceLock::new(),
        }
    }

    /// Names the server to be changed.
    pub(super) fn attach(&self, parts: Parts) {
        let already = self.running.set(parts).is_err();
        debug_assert!(!already, "attached once");
    }

    /// The addresses that it listens on, as configured; none while a reload is under way.
    pub(super) fn listens_on(&self) -> Vec<String> {
        let current = self.current.try_lock();
        let listen = current.iter().flat_map(|current| &current.listen);
        listen.map(ToString::to_string).collect()
    }

    /// The server, once it is whole.
    pub(super) fn server(&self) -> Option<Arc<Shared>> {
        self.running.get().map(|parts| Arc::clone(&parts.shared))
    }

    /// Loads and applies; returns the keys that wait for a restart. The error says why nothing was changed.
    pub(super) async fn reload(&self) -> Result<Vec<&'static str>, String> {
        let Some(parts) = self.running.get() else {
            return Err("the server is starting".to_owned());
        };
        let mut current = self.current.lock().await;
        self.check_file()?;
        let config = load(&self.source, environment());
        let config = config.map_err(one_line)?;
        let prepared = prepare(&config).map_err(one_line)?;
        let wanted = Wanted::new(&config, prepared.gateway.addresses(&self.source, &config));
        let mut listening = parts.listening.lock().await;
        let bound = listening.bind(&wanted).await.map_err(one_line)?;
        let before = Arc::clone(&parts.shared.settings().access);
        // Users of another side wait for a restart: until then nobody's become more.
        let access = match before.is_of_backing() == prepared.access.is_of_backing() {
            true => Arc::new(prepared.access.knowing(&before)),
            false => before,
        };
        if let Err(error) = telemetry::set_level(&config.log_level) {
            warn!("log_level stays what it was: {error}"); // it was judged with the rest
        }
        raise_descriptor_limit(&config);
        parts.tls.store(prepared.acceptor.map(Arc::new));
        parts.guard.set_rules(http_rules(&config, &access));
        let (connect, reply) = control_patience(&config);
        parts.control.set_patience(connect, reply);
        parts.control.set_failover(config.timeouts.failover);
        let backing = &parts.shared.backing;
        backing.set_connect_timeout(connect);
        parts
            .named
            .put_in_force(backing, (&current.upstream, &config), prepared.connector);
        parts.bus.set_worker_ttl(config.bus.worker_ttl);
        let connector = Connector::new(prepared.gateway.tls());
        parts
            .gateway
            .set_settings(config.gateway.clone(), connector);
        parts
            .services
            .follow(&parts.gateway, &config, prepared.gateway);
        parts.fleet.reload(&config);
        if current.cache != config.cache {
            parts.shared.set_cache(config.cache.clone());
        }
        parts.shared.replace_settings(|settings| {
            settings.limits = config.limits.clone();
            settings.timeouts = config.timeouts.clone();
            settings.on_loss = config.upstream_on_loss;
            settings.slowlog = config.slowlog.clone();
            settings.announced = announced(&config);
            settings.split_writes = config.cluster.split_writes;
            settings.access = access;
            settings.protected_mode = config.access.protected_mode;
        });
        // Last: who comes in by a new door is judged by the new rules.
        listening.change(wanted, bound).await.map_err(one_line)?;
        let waiting = current.changes_needing_restart(&config);
        for key in &waiting {
            warn!("{key} has changed: it takes effect at the next start");
        }
        *current = config.waiting_for_restart(&current);
        info!("configuration reloaded");
        Ok(waiting)
    }

    /// Whether the file can be what its owner means. Defaults in the place of everything would open what is closed.
    fn check_file(&self) -> Result<(), String> {
        let Some(file) = &self.source.file else {
            return Ok(());
        };
        let Ok(is) = std::fs::metadata(file) else {
            return Ok(()); // reading it says why
        };
        let wrong = |why: &str| Err(format!("{}: {why}", file.display()));
        match (is.is_file(), is.len()) {
            (false, _) => wrong("only a file can be read again"),
            (true, 0) => wrong("the file is empty: it may be about to be written"),
            _ => Ok(()),
        }
    }

    /// What a reload would change, a line for each key; with `text` if that were what is in the file.
    ///
    /// # Errors
    /// Says why a reload would change nothing.
    pub(super) async fn difference(&self, text: Option<&str>) -> Result<Vec<String>, String> {
        let current = self.current.lock().await;
        if text.is_none() {
            self.check_file()?;
        }
        let config = match text {
            None => load(&self.source, environment()),
            Some(_) if self.source.file.is_none() => {
                return Err("this server runs without a file: a reload reads none".to_owned());
            }
            Some(text) => load_text(text, &self.source, environment()),
        };
        let config = config.map_err(one_line)?;
        prepare(&config).map_err(one_line)?;
        let changes = current.changes(&config);
        Ok(changes.iter().map(ToString::to_string).collect())
    }

    /// The configuration in force.
    pub(super) async fn tls_in_force(&self) -> Tls {
        self.current.lock().await.tls.clone()
    }

    /// Reads the certificates again. The error says why those before stay.
    pub(super) async fn renew_certificates(&self) -> Result<(), String> {
        let Some(parts) = self.running.get() else {
            return Ok(()); // read a moment ago
        };
        // Held, so that no reload comes between.
        let current = self.current.lock().await;
        let prepared = prepare(&current).map_err(|error| error.to_string())?;
        parts.tls.store(prepared.acceptor.map(Arc::new));
        let backing = &parts.shared.backing;
        parts
            .named
            .put_in_force(backing, (&current.upstream, &current), prepared.connector);
        Ok(())
    }
}

/// One line, however many problems there are: for the log and for an error reply.
fn one_line(error: impl std::fmt::Display) -> String {
    error.to_string().replace('\n', "; ")
}

impl std::fmt::Debug for Reloader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reloader").finish_non_exhaustive()
    }
}

/// The settings of a server that has not reached its backing yet.
pub(super) fn first_settings(
    config: &Config,
    access: Arc<AccessList>,
    guard: &Guard,
    embedded: bool,
) -> Settings {
    Settings {
        generation: 0,
        limits: config.limits.clone(),
        timeouts: config.timeouts.clone(),
        on_loss: config.upstream_on_loss,
        slowlog: config.slowlog.clone(),
        split_writes: config.cluster.split_writes,
        access,
        embedded,
        logins: Arc::clone(guard.logins()),
        denials: Arc::clone(guard.denials()),
        verifier: Arc::clone(guard.verifier()),
        protected_mode: config.access.protected_mode,
        table: Arc::new(Table::shipped()),
        announced: announced(config),
        hello: None,
    }
}

/// The access rules of a configuration.
pub(super) fn access_list(config: &Config) -> Result<AccessList, String> {
    let users = config.access.users.iter().map(|user| UserSpec {
        name: user.name.clone(),
        password: match &user.password {
            UserPassword::Sha256(hash) => Password::Sha256(*hash),
            UserPassword::Hash(text) => Password::Phc(text.expose().to_owned()),
        },
        commands: user.commands.clone(),
        keys: user.keys.clone(),
        channels: user.channels.clone(),
    });
    let list = match config.access.users_of {
        UsersOf::Respite => AccessList::new(&config.access.deny, users.collect()),
        UsersOf::Backing => AccessList::of_backing(&config.access.deny),
    };
    let list = list.map(|list| list.trust_scripts(config.access.scripts));
    list.map_err(|error| format!("[access] {error}"))
}
