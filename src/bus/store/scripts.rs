//! The scripts of the bus, the way to the backing that they take, and what Respites publish there.
//!
//! Each script is one file; all begin with `prelude.lua`, which says what is kept where, and some go on with
//! `calls.lua`, the life of a call, or `leases.lua`, who has to be asked.

use std::sync::Arc;

use redis::Value;

use super::value::number;
use crate::bus::error::BusError;
use crate::bus::name::key_prefix;
use crate::random;
use crate::upstream::{ControlError, ControlLink, ControlScript, Sent};

/// A script by what it does.
#[derive(Debug, Clone, Copy)]
pub(in crate::bus) enum Task {
    Exchange,
    Register,
    Unregister,
    Cleanup,
    Uncache,
    Dead,
    Revive,
    Registry,
    Inspect,
    Count,
    Prune,
}

/// The scripts, and the way to the backing.
#[derive(Debug)]
pub(in crate::bus) struct Store {
    link: Arc<ControlLink>,
    /// This Respite among those that share the backing.
    instance: String,
    scripts: [ControlScript; 11],
}

/// What became of something that was published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::bus) enum Published {
    Heard,
    /// Nobody has heard it, and nobody will.
    Unheard,
    /// Nobody knows.
    Unsure,
}

/// A script of these files, behind what every script begins with.
macro_rules! script {
    ($($file:literal),+) => {
        ControlScript::new(concat!(
            include_str!("scripts/prelude.lua"),
            $(include_str!(concat!("scripts/", $file))),+
        ))
    };
}

/// The script for all that happens often: what is rare in it is a function, made when it is needed.
const EXCHANGE: &str = concat!(
    include_str!("scripts/prelude.lua"),
    "local function learn()\n",
    include_str!("scripts/bounds.lua"),
    include_str!("scripts/calls.lua"),
    include_str!("scripts/orders.lua"),
    "end\n",
    include_str!("scripts/exchange.lua"),
);

impl Store {
    pub(in crate::bus) fn new(link: Arc<ControlLink>) -> Self {
        Store {
            link,
            instance: random::word(),
            scripts: [
                ControlScript::new(EXCHANGE),
                script!("leases.lua", "register.lua"),
                script!("calls.lua", "leases.lua", "unregister.lua"),
                script!("calls.lua", "leases.lua", "cleanup.lua"),
                script!("uncache.lua"),
                script!("dead.lua"),
                script!("calls.lua", "revive.lua"),
                script!("bounds.lua", "registry.lua").repeatable(),
                script!("bounds.lua", "inspect.lua").repeatable(),
                script!("count.lua"),
                script!("prune.lua"),
            ],
        }
    }

    pub(in crate::bus) fn instance(&self) -> &str {
        &self.instance
    }

    pub(in crate::bus) fn link(&self) -> &ControlLink {
        &self.link
    }

    /// The channel that others tell this Respite news over; scripts know it by the same name.
    pub(in crate::bus) fn channel(&self) -> String {
        channel_of(&self.instance)
    }

    /// Tells another Respite something; gives how many hear it.
    pub(in crate::bus) async fn tell(&self, home: &str, words: &[&str]) -> Result<i64, BusError> {
        let mut publish = redis::cmd("PUBLISH");
        let channel = channel_of(home);
        publish.arg(&channel).arg(words.join("\n"));
        self.count(&channel, &publish).await
    }

    /// Publishes a frame for another Respite.
    pub(in crate::bus) async fn publish(&self, home: &str, frame: &[u8]) -> Published {
        let mut publish = redis::cmd("PUBLISH");
        let channel = channel_of(home);
        publish.arg(&channel).arg(frame);
        match self.link.command_at(&channel, &publish).await {
            Ok(Value::Int(1..)) => Published::Heard,
            Ok(_) | Err(ControlError::Server(_) | ControlError::Upstream(_, Sent::No)) => {
                Published::Unheard
            }
            Err(ControlError::Upstream(_, Sent::Yes)) => Published::Unsure,
        }
    }

    /// Answers another Respite: the answer is a key of the bus, which those who may not touch it cannot make,
    /// and what is told says only that it is there.
    pub(in crate::bus) async fn answer(
        &self,
        asking: &str,
        bus: &str,
        id: &str,
    ) -> Result<(), BusError> {
        let mut set = redis::cmd("SET");
        let key = answer_key(bus, asking, id);
        set.arg(&key).arg(1);
        set.arg("PX").arg(ANSWER_MS);
        self.count(&key, &set).await?;
        self.tell(asking, &["a", bus, id]).await?;
        Ok(())
    }

    /// Whether there is such an answer for this Respite; it is taken.
    pub(in crate::bus) async fn take_answer(&self, bus: &str, id: &str) -> bool {
        let mut take = redis::cmd("DEL");
        let key = answer_key(bus, &self.instance, id);
        take.arg(&key);
        matches!(self.count(&key, &take).await, Ok(1))
    }

    /// Executes a command on a key whose reply is a number.
    pub(in crate::bus) async fn count(
        &self,
        key: &str,
        command: &redis::Cmd,
    ) -> Result<i64, BusError> {
        let counted = self.link.command_at(key, command).await;
        Ok(number(&counted?))
    }

    /// Runs a script on a bus; `key` is the key of its registry.
    pub(in crate::bus) async fn run(
        &self,
        task: Task,
        (bus, key): (&str, &str),
        args: &[&[u8]],
    ) -> Result<Value, BusError> {
        let mut all: Vec<&[u8]> = Vec::with_capacity(args.len() + 2);
        all.extend([self.instance.as_bytes(), bus.as_bytes()]);
        all.extend(args);
        let script = &self.scripts[task as usize];
        Ok(self.link.script(script, &[key], &all).await?)
    }
}

/// How long an answer is kept: longer than anybody waits for it.
const ANSWER_MS: u64 = 5000;

/// The key of an answer.
fn answer_key(bus: &str, asking: &str, id: &str) -> String {
    format!("{}h:{asking}:{id}", key_prefix(bus))
}

fn channel_of(instance: &str) -> String {
    format!("respite:b:{instance}")
}
