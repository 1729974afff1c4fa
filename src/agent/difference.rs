//! `respite check-config --diff HOST:PORT`: asks a running Respite what a reload would change.

use redis::from_redis_value;

use super::server;
use crate::cli::{LoginArgs, ServerArgs};

/// Asks the Respite at `address` what a reload would change if this were the text of its file: a line for each key.
///
/// # Errors
/// Says why there is no answer: the server cannot be reached, or refuses the text or the user.
pub fn ask(address: &str, login: &LoginArgs, text: &str) -> Result<Vec<String>, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start a runtime: {error}"))?;
    let args = ServerArgs {
        server: address.to_owned(),
        login: login.clone(),
    };
    let lines = runtime.block_on(async {
        let link = server::link(&args)?;
        let mut question = redis::cmd("RESPITE.RELOAD");
        question.arg("DIFF").arg(text);
        let reply = link.command(&question).await;
        let reply = reply.map_err(|error| error.to_string())?;
        from_redis_value(reply).map_err(|_| "it gave an answer that is none".to_owned())
    });
    runtime.shutdown_background();
    lines.map_err(|error| format!("{}: {error}", server::shown(address)))
}
