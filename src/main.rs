//! Arguments → configuration → run → exit code.

use std::process::ExitCode;

use clap::Parser;
use respite::cli::{Cli, Command, check_config};
use respite::config::environment;
use respite::{agent, allocator, app, upstream};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    allocator::purge_at_once();
    match Cli::parse().into_command() {
        Command::Serve(args) => app::serve(&args.source()),
        Command::CheckConfig { file } => {
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            check_config::run(&file, environment(), app::check, &mut out, &mut err)
        }
        Command::Join(args) => agent::join::run(args),
        Command::Worker(args) => agent::worker::run(&args),
        Command::EmbeddedGuard { args } => {
            let error = upstream::embedded::guard(&args);
            eprintln!("respite: cannot start the embedded server: {error}");
            ExitCode::FAILURE
        }
    }
}
