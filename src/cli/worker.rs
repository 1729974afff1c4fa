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
    /// Put `--` before the arguments of a call, so that none of them is taken for an option of the command.
    #[arg(long, conflicts_with = "args_file")]
    pub end_options: bool,
    /// Hand the arguments of a call over in a file instead, each with a NUL byte behind it. The environment variable
    /// RESPITE_ARGS_FILE has its name; it is gone when the command has ended.
    #[arg(long)]
    pub args_file: bool,
    /// A variable of the environment that the command gets besides PATH, HOME, TMPDIR, TZ, the user's name and the
    /// language. Can be given several times.
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
}
