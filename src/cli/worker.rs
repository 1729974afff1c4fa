//! The arguments of `respite worker`.

use clap::Args;

use super::ServerArgs;

/// The flags of `respite worker`.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
pub struct WorkerArgs {
    /// The bus.
    pub bus: String,
    /// The method, or a glob over methods. A method that is not registered yet is registered, without options.
    pub method: String,
    #[command(flatten)]
    /// Where the Respite is.
    pub server: ServerArgs,
    /// Calls worked on at the same time.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,
    /// The command to run for each call, split into words as a shell does. No shell runs it.
    #[arg(long, value_name = "CMD")]
    pub exec: String,
}
