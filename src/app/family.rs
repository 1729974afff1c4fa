//! `RESPITE.*`: about the server itself.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::reload::Reloader;
use crate::command::{Answer, Call, Categories, Family, Flags, OwnRow, help};
use crate::resp::ReplyWriter;

const ROWS: &[OwnRow] = &[
    OwnRow {
        name: "RESPITE.HELP",
        arity: 1,
        flags: Flags::LOADING.union(Flags::STALE),
        categories: Categories::SLOW.union(Categories::CONNECTION),
        summary: "Lists the commands about the server itself",
        syntax: "RESPITE.HELP",
        ..OwnRow::EMPTY
    },
    OwnRow {
        name: "RESPITE.RELOAD",
        arity: 1,
        flags: Flags::ADMIN
            .union(Flags::LOADING)
            .union(Flags::STALE)
            .union(Flags::NOSCRIPT),
        categories: Categories::ADMIN
            .union(Categories::SLOW)
            .union(Categories::DANGEROUS),
        summary: "Loads the configuration again and puts it in force",
        syntax: "RESPITE.RELOAD",
        ..OwnRow::EMPTY
    },
];

/// The family of commands about the server itself.
#[derive(Debug)]
pub(super) struct RespiteFamily {
    reloader: Arc<Reloader>,
    control: Handle,
}

impl RespiteFamily {
    /// Must be called on the control runtime.
    pub(super) fn new(reloader: Arc<Reloader>) -> Self {
        RespiteFamily {
            reloader,
            control: Handle::current(),
        }
    }
}

impl Family for RespiteFamily {
    fn rows(&self) -> &'static [OwnRow] {
        ROWS
    }

    fn key(&self, _call: &Call<'_>) -> Option<String> {
        None
    }

    fn call(&self, call: &Call<'_>, reply: &mut Vec<u8>) -> Answer {
        if call.args[0].eq_ignore_ascii_case(b"RESPITE.HELP") {
            help(ROWS, reply);
            return Answer::Given;
        }
        let (reloader, proto) = (Arc::clone(&self.reloader), call.proto);
        // Listeners belong to the control runtime.
        let reloading = self.control.spawn(async move { reloader.reload().await });
        Answer::Later(Box::pin(async move {
            let mut reply = Vec::new();
            let mut writer = ReplyWriter::new(&mut reply, proto);
            match reloading.await {
                Ok(Ok(waiting)) if waiting.is_empty() => writer.ok(),
                Ok(Ok(waiting)) => {
                    writer.array(waiting.len());
                    waiting.iter().for_each(|key| writer.bulk(key));
                }
                Ok(Err(error)) => {
                    writer.error(format!("ERR the old configuration stays: {error}"));
                }
                Err(_) => writer.error("ERR the server is stopping"),
            }
            reply
        }))
    }
}
