//! A fault: what is done to the backing, and what clients may be told of it. All of them are in `list`.

use std::path::PathBuf;
use std::time::Duration;

use super::backing::{Backing, Kind};
use super::client::World;
use crate::support::{Client, Random, Weather};

/// What has to stand ready before the servers are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// Relays between Respite and the servers.
    Relays,
    /// An append-only file.
    File,
    /// A server that takes long to load.
    SlowLoad,
    /// A server with a password.
    Password,
    /// A server that survives when a file cannot grow.
    FileLimit,
    /// A clock that can be stepped.
    Clock,
}

/// One thing that goes wrong.
pub(crate) struct Fault {
    /// As the table has it.
    pub(crate) name: &'static str,
    pub(crate) behind: &'static [Kind],
    pub(crate) needs: Needs,
    /// Whether Redis itself may lose what it has acknowledged.
    pub(crate) loses: bool,
    /// How the errors begin that clients may be told.
    pub(crate) allowed: &'static [&'static str],
    /// Lets it happen, and makes it good.
    pub(crate) strike: fn(&mut Stage<'_>),
    /// Whether it is part of the short form.
    pub(crate) short: bool,
}

/// Where a fault is played.
pub(crate) struct Stage<'a> {
    pub(crate) backing: &'a mut Backing,
    pub(crate) world: &'a World,
    pub(crate) random: &'a mut Random,
    /// How long it lasts.
    pub(crate) hold: Duration,
    pub(crate) folder: PathBuf,
}

impl Stage<'_> {
    pub(super) fn hold(&self) {
        std::thread::sleep(self.hold);
    }

    /// From now on service has to come back by itself.
    pub(super) fn healed(&self) {
        self.world.note_healed();
    }

    /// The master is lost, killed or stopped; a replica takes over.
    pub(super) fn replace_master(&mut self, kill: bool) {
        let world = self.world;
        self.backing.replace_master(kill, || world.note_healed());
    }

    /// Sets a key of all masters for a while.
    pub(super) fn configured(&mut self, name: &str, bad: &str, good: &str) {
        let mut masters: Vec<Client> = self.backing.masters().iter().map(|m| m.connect()).collect();
        for master in &mut masters {
            master.call(&["CONFIG", "SET", name, bad]).assert_ok();
        }
        self.hold();
        for master in &mut masters {
            master.call(&["CONFIG", "SET", name, good]).assert_ok();
        }
        self.healed();
    }

    /// All lines are like this for a while.
    pub(super) fn weather(&mut self, weather: Weather, split: Option<usize>) {
        let set = |weather, split| {
            for relay in self.backing.relays() {
                relay.set_weather(weather);
                relay.split(split);
            }
        };
        set(weather, split);
        self.hold();
        set(Weather::default(), None);
        self.healed();
    }
}
