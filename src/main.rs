//! Arguments → configuration → run → exit code.

use std::process::ExitCode;

use clap::Parser;
use respite::{Cli, Command, beside};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    respite::purge_at_once();
    match Cli::parse().into_command() {
        Command::Serve(args) => respite::serve(&args.source()),
        Command::CheckConfig { file, diff } => {
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            if let Some(running) = diff {
                return respite::check_config::diff(
                    &file,
                    &running,
                    respite::environment(),
                    respite::check,
                    &mut out,
                    &mut err,
                );
            }
            respite::check_config::run(
                &file,
                respite::environment(),
                respite::check,
                &mut out,
                &mut err,
            )
        }
        Command::HashPassword => respite::hash_password::run(respite::hash_of),
        Command::Join(args) => beside::join::run(args),
        Command::Worker(args) => beside::worker::run(&args),
        Command::EmbeddedGuard { args } => {
            let error = beside::guard(&args);
            eprintln!("respite: cannot start the embedded server: {error}");
            ExitCode::FAILURE
        }
    }
}
