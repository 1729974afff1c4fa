//! Arguments → configuration → run → exit code.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use respite::check_config::{self, Running};
use respite::{Cli, Command, LoginArgs, beside};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    respite::purge_at_once();
    match Cli::parse().into_command() {
        Command::Serve(args) => respite::serve(&args.source()),
        Command::CheckConfig { file, diff, login } => check_config(&file, diff, &login),
        Command::Completions { shell } => written(respite::documents::completions(
            shell,
            &mut std::io::stdout(),
        )),
        Command::Man { dir } => written(respite::documents::man(
            dir.as_deref(),
            &mut std::io::stdout(),
        )),
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

fn check_config(file: &Path, diff: Option<Running>, login: &LoginArgs) -> ExitCode {
    let env = respite::environment();
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    match diff {
        None => check_config::run(file, env, respite::check, &mut out, &mut err),
        Some(Running::File(running)) => {
            check_config::diff(file, &running, env, respite::check, &mut out, &mut err)
        }
        Some(Running::Server(server)) => {
            let ask = |text: &str| beside::difference::ask(&server, login, text);
            check_config::diff_at(file, ask, &mut out, &mut err)
        }
    }
}

fn written(result: std::io::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("respite: cannot write: {error}");
            ExitCode::FAILURE
        }
    }
}
