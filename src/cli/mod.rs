//! The command line: what can be typed, as types. What each command does is elsewhere.

pub mod check_config;
pub mod documents;
pub mod hash_password;
mod join;
mod worker;

pub use check_config::Running;
pub use join::{JoinArgs, LoginArgs, ServerArgs};
pub use worker::WorkerArgs;

use crate::config::Source;
use clap::{Args, Parser, Subcommand, ValueHint};
use std::{ffi::OsString, path::PathBuf};

/// A Redis-protocol server: point Redis clients at it, and it forwards to the Redis behind.
///
/// Without a subcommand it serves. Without an upstream it starts a private redis-server.
#[derive(Debug, Clone, PartialEq, Parser)]
#[command(
    name = "respite",
    version,
    args_conflicts_with_subcommands = true,
    after_help = ENVIRONMENT
)]
pub struct Cli {
    /// The command, if one is named.
    #[command(subcommand)]
    command: Option<Command>,
    /// The flags of `serve`, when no command is named.
    #[command(flatten)]
    serve: ServeArgs,
}

/// What Respite is asked to do.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub enum Command {
    /// Run the server (what `respite` does on its own).
    #[command(after_help = ENVIRONMENT)]
    Serve(ServeArgs),
    /// Check a configuration file and print what it amounts to; exit with 0, or with 2 if it is refused.
    ///
    /// Environment variables RESPITE_… apply as they do when serving. Passwords are shown as ***.
    CheckConfig {
        /// The TOML file.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// A running Respite, or the file that it runs with: print what a reload would change, and what would wait for
        /// a restart.
        ///
        /// A Respite is HOST:PORT, or a redis://, rediss:// (TLS) or unix:// URL. It is sent the text of the file, so
        /// it must be one to be trusted with the secrets in there, and judges it with its own flags, environment and
        /// files; who asks needs @admin.
        #[arg(long, value_name = "RUNNING", value_hint = ValueHint::FilePath)]
        diff: Option<Running>,
        /// Who logs in to it.
        #[command(flatten)]
        login: LoginArgs,
    },
    /// Hash a password for the password_hash of one of [[access.users]]; it is read from the standard input.
    HashPassword,
    /// Register this host as a node of a service, and keep it there until stopped.
    ///
    /// Sends the facts of this host (ip, fqdn, os, platform, arch, cpu_count, memory in MB, last_boot)
    /// and renews the lease. When the Respite or its data is gone for a while, it joins again;
    /// when another process joins under the same name, it ends with 1. On SIGTERM or SIGINT the
    /// node leaves.
    Join(JoinArgs),
    /// Work for a bus: run a command for each call.
    ///
    /// The call's arguments become arguments of the command, its payload the standard input; standard output is the
    /// reply. A command that exits with another code than 0 has failed: the code and the end of what it wrote to
    /// standard error are the caller's error. SIGTERM ends the worker when what it has in hand is done.
    Worker(WorkerArgs),
    /// Print the completions for a shell.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write those of all commands into a folder.
    Man {
        /// The folder.
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
    /// Run the embedded redis-server and end it when the parent is gone.
    #[command(hide = true)]
    EmbeddedGuard {
        /// The program and its arguments.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        args: Vec<OsString>,
    },
}

/// The flags of `serve`. Each wins over its environment variable and the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct ServeArgs {
    /// Read the configuration from this TOML file.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub config: Option<PathBuf>,
    /// Listen for clients here; may be given several times [default: 127.0.0.1:7379].
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Vec<String>,
    /// The Redis behind: a redis://, rediss://, unix://, sentinel:// or cluster:// URL [default: embedded].
    ///
    /// A password in it shows in the list of processes. Set RESPITE_UPSTREAM instead, or name a
    /// [credentials.NAME] with a password_file as upstream_credential in the configuration.
    #[arg(long, value_name = "URL")]
    pub upstream: Option<String>,
    /// Start a private Redis Cluster of so many masters instead (3 to 32), to try one.
    #[arg(long, value_name = "MASTERS", conflicts_with = "upstream")]
    pub embedded_cluster: Option<usize>,
    /// Serve the admin pages here; "" for none [default: 127.0.0.1:8008].
    #[arg(long, value_name = "HOST:PORT")]
    pub http: Option<String>,
    /// Keep the embedded Redis's data in this directory [default: kept nowhere].
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data_dir: Option<String>,
    /// Worker threads; 0 to choose from the cores [default: 0].
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// How log lines look [default: text].
    #[arg(long, value_name = "FORMAT", value_parser = ["text", "json"])]
    pub log_format: Option<String>,
    /// What is logged [default: info].
    #[arg(
        long,
        value_name = "LEVEL",
        value_parser = ["error", "warn", "info", "debug", "trace", "off"]
    )]
    pub log_level: Option<String>,
}

const ENVIRONMENT: &str = "\
Every key of the configuration file has an environment variable: limits.clients is \
RESPITE_LIMITS__CLIENTS. Flags win over variables, those over the file.";

// === impl Cli ===

impl Cli {
    /// Returns the command: the named one, or `serve` with the flags that were given.
    pub fn into_command(self) -> Command {
        self.command.unwrap_or(Command::Serve(self.serve))
    }
}

// === impl ServeArgs ===

impl ServeArgs {
    /// Returns the file and the flags as the layers of a configuration.
    pub fn source(&self) -> Source {
        let listen = (!self.listen.is_empty()).then(|| self.listen.join(","));
        let workers = self.workers.map(|workers| workers.to_string());
        let masters = self.embedded_cluster;
        let cluster = masters.map(|masters| format!("embedded-cluster:{masters}"));
        let upstream = cluster.or_else(|| self.upstream.clone());
        let flags = [
            ("listen", &listen),
            ("upstream", &upstream),
            ("http.listen", &self.http),
            ("data_dir", &self.data_dir),
            ("workers", &workers),
            ("log_format", &self.log_format),
            ("log_level", &self.log_level),
        ];
        let overrides = flags
            .into_iter()
            .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
            .collect();
        Source {
            file: self.config.clone(),
            overrides,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{CommandFactory, error::ErrorKind};
    use std::path::Path;

    fn parse(arguments: &[&str]) -> Result<Command, ErrorKind> {
        let arguments = ["respite"].iter().chain(arguments);
        let cli = Cli::try_parse_from(arguments).map_err(|error| error.kind())?;
        Ok(cli.into_command())
    }

    fn serve(arguments: &[&str]) -> ServeArgs {
        match parse(arguments) {
            Ok(Command::Serve(arguments)) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn clap_finds_nothing_wrong_with_the_types() {
        Cli::command().debug_assert();
    }

    #[test]
    fn without_a_command_it_serves() {
        assert_eq!(serve(&[]), ServeArgs::default());
        assert_eq!(serve(&["serve"]), ServeArgs::default());
        assert_eq!(serve(&[]).source(), Source::default());
        let flags = ["--listen", "h:1", "--listen", "h:2", "--workers", "3"];
        let with_command: Vec<&str> = ["serve"].into_iter().chain(flags).collect();
        assert_eq!(serve(&flags), serve(&with_command));
    }

    #[test]
    fn an_embedded_cluster_is_an_upstream() {
        let source = serve(&["--embedded-cluster", "3"]).source();
        let config = crate::config::load(&source, []).expect("valid");
        assert_eq!(config.upstream.to_string(), "embedded-cluster:3");
        for masters in ["2", "33"] {
            let source = serve(&["--embedded-cluster", masters]).source();
            let refused = crate::config::load(&source, []).expect_err("too few or too many");
            assert!(refused.to_string().contains("from 3 to 32 masters"));
        }
    }

    #[test]
    fn every_flag_is_a_key_that_exists() {
        let arguments = serve(&[
            "--config",
            "f.toml",
            "--listen",
            "h:1",
            "--listen",
            "h:2",
            "--upstream",
            "redis://h",
            "--http",
            "",
            "--data-dir",
            "d",
            "--workers",
            "3",
            "--log-format",
            "json",
            "--log-level",
            "warn",
        ]);
        let source = arguments.source();
        assert_eq!(source.file.as_deref(), Some(Path::new("f.toml")));
        let pairs: Vec<(&str, &str)> = source
            .overrides
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            pairs,
            [
                ("listen", "h:1,h:2"),
                ("upstream", "redis://h"),
                ("http.listen", ""),
                ("data_dir", "d"),
                ("workers", "3"),
                ("log_format", "json"),
                ("log_level", "warn"),
            ]
        );
        let flags = ServeArgs {
            config: None,
            data_dir: None,
            ..arguments
        };
        let config = crate::config::load(&flags.source(), []).expect("valid");
        assert_eq!((config.listen.len(), config.workers), (2, 3));
        assert_eq!(
            (config.http.listen, config.log_level.as_str()),
            (None, "warn")
        );
    }

    #[test]
    fn the_other_commands_take_what_they_need() {
        let file = PathBuf::from("f.toml");
        assert_eq!(
            parse(&["check-config", "f.toml"]),
            Ok(Command::CheckConfig {
                file,
                diff: None,
                login: LoginArgs::default(),
            })
        );
        assert_eq!(
            parse(&["check-config"]),
            Err(ErrorKind::MissingRequiredArgument)
        );
        let worker = parse(&["worker", "b", "m", "--exec", "wc -c", "--concurrency", "4"]);
        let Ok(Command::Worker(worker)) = worker else {
            panic!("{worker:?}");
        };
        assert_eq!(
            (worker.concurrency, worker.server.server.as_str()),
            (4, "127.0.0.1:7379")
        );
        assert_eq!(
            parse(&["worker", "b", "m"]),
            Err(ErrorKind::MissingRequiredArgument)
        );
        let args = ["redis-server", "--port", "0", "--", "-x"]
            .map(OsString::from)
            .to_vec();
        assert_eq!(
            parse(&["embedded-guard", "redis-server", "--port", "0", "--", "-x"]),
            Ok(Command::EmbeddedGuard { args })
        );
    }

    #[test]
    fn joining_needs_a_service_and_a_node() {
        let Ok(Command::Join(join)) = parse(&["join", "web", "n1", "--ttl", "1.5"]) else {
            panic!("not parsed");
        };
        assert_eq!((join.service.as_str(), join.node.as_str()), ("web", "n1"));
        assert_eq!((join.ttl, join.group.as_str()), (1.5, "default"));
        assert_eq!(join.server.server, "127.0.0.1:7379");
        assert_eq!(
            parse(&["join", "web"]),
            Err(ErrorKind::MissingRequiredArgument)
        );
    }

    #[test]
    fn what_is_wrong_is_refused() {
        assert_eq!(
            parse(&["--log-format", "xml"]),
            Err(ErrorKind::InvalidValue)
        );
        assert_eq!(
            parse(&["--workers", "two"]),
            Err(ErrorKind::ValueValidation)
        );
        assert_eq!(parse(&["--lsten", "h:1"]), Err(ErrorKind::UnknownArgument));
        assert_eq!(
            parse(&["--listen", "h:1", "serve"]),
            Err(ErrorKind::ArgumentConflict)
        );
        assert_eq!(parse(&["--version"]), Err(ErrorKind::DisplayVersion));
        let help = Cli::command().render_long_help().to_string();
        assert!(
            help.contains("check-config") && help.contains("RESPITE_LIMITS__CLIENTS"),
            "{help}"
        );
        assert!(!help.contains("embedded-guard"), "{help}");
    }
}
