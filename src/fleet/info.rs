//! The text of `INFO`: a shard's sections, and the one about Respite.

use std::fmt::{Display, Write};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use super::Fleet;
use super::shard::{Shard, Status};
use super::snapshot::{GAP, Wanted};
use super::standing::Standing;
use crate::command::{Call, InfoAnswer, InfoSource};
use crate::config::InfoMode;
use crate::resp::ReplyWriter;

/// Section names of one command that are looked at, each once.
const MOST_NAMES: usize = 1000;

/// How old the fields about the process may be in a general INFO.
const RECENT: Duration = Duration::from_millis(100);

/// The fields of `# Respite` whose names Redis has in other sections. Most clients read an INFO as one
/// flat map, whatever the sections, so these are shown only to those who ask for the section by its name.
const AS_IN_REDIS: [&str; 6] = [
    "process_id",
    "uptime_in_seconds",
    "connected_clients",
    "total_connections_received",
    "rejected_connections",
    "total_commands_processed",
];

/// The sections that somebody asks for, Respite's own apart.
pub(super) struct Asked {
    /// In lower case, each once, without `respite`.
    names: Vec<Vec<u8>>,
    /// `respite` is among them.
    own: bool,
}

impl Asked {
    pub(super) fn new<'a>(sections: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut names: Vec<_> = sections.map(<[u8]>::to_ascii_lowercase).collect();
        names.sort_unstable();
        names.dedup();
        names.truncate(MOST_NAMES);
        let all = names.len();
        names.retain(|name| name != b"respite");
        Asked {
            own: names.len() < all,
            names,
        }
    }

    /// A section is wanted by its name that `INFO everything` leaves out: it is not in what was polled.
    fn is_hidden(&self) -> bool {
        self.names.iter().any(|name| name == b"debug")
    }

    /// Nothing of the server itself is wanted.
    fn only_own(&self) -> bool {
        self.own && self.names.is_empty()
    }

    fn wanted(&self) -> Wanted<'_> {
        Wanted::new(&self.names)
    }

    /// Whether the section about Respite is wanted.
    fn with_own(&self) -> bool {
        self.own || self.wanted().is_general()
    }
}

/// What goes wrong with a shard that was asked for, as an error reply without its `-`.
pub(super) fn no_shard(id: &[u8]) -> String {
    format!("NOSHARD no shard '{}'", String::from_utf8_lossy(id))
}

pub(super) fn not_ready(status: &Status) -> String {
    let id = &status.id;
    match &status.error {
        None => format!("NOTREADY shard '{id}' has not answered yet"),
        Some(error) => format!("NOTREADY shard '{id}' has not answered yet: {error}"),
    }
}

/// Refuses an answer that is older than `most`.
pub(super) fn check_age(status: &Status, most: Option<Duration>) -> Result<(), String> {
    match (status.age, most) {
        (Some(age), Some(most)) if age > most => Err(format!(
            "STALE shard '{}' answered {} ms ago, which is more than {} ms",
            status.id,
            age.as_millis(),
            most.as_millis()
        )),
        _ => Ok(()),
    }
}

impl Fleet {
    /// Writes the text for a shard, or why there is none.
    pub(super) fn give(&self, status: &Status, asked: &Asked, reply: &mut ReplyWriter<'_>) {
        let mut pieces = Vec::new();
        if !asked.only_own() {
            let Some(latest) = &status.latest else {
                return reply.error(not_ready(status));
            };
            pieces = latest.snapshot.pieces(asked.wanted());
        }
        let own = asked
            .with_own()
            .then(|| self.own_section(Some(status), status.age, asked.own));
        if let Some(own) = &own {
            if !pieces.is_empty() {
                pieces.push(GAP);
            }
            pieces.push(own.as_bytes());
        }
        reply.verbatim_pieces("txt", &pieces);
    }

    /// The section about Respite, `whole` with the fields that Redis has too.
    fn own_section(&self, status: Option<&Status>, age: Option<Duration>, whole: bool) -> String {
        let mut text = String::with_capacity(1024);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "# Respite\r\nrespite_version:{}\r\n",
            env!("CARGO_PKG_VERSION")
        );
        if let Some(status) = status {
            let age = age.map_or(-1, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
            let _ = write!(
                text,
                "shard:{}\r\ninfo_age_ms:{age}\r\nshard_state:{}\r\n",
                status.id,
                status.state.name()
            );
            if whole && let Some(poller) = &status.poller {
                let _ = write!(text, "shard_poller:{poller}\r\n");
            }
        }
        if whole {
            let mut put = |name: &'static str, value: &dyn Display| {
                let _ = write!(text, "{name}:{value}\r\n");
            };
            self.about(&mut put);
            self.poll_fields(&mut put);
        } else {
            text.push_str(&self.recent_fields().1);
        }
        text
    }

    /// The fields about the process that Redis has no other of, as they were a moment ago: to write
    /// them takes as long as all the rest of an INFO.
    fn recent_fields(&self) -> Arc<(Instant, String)> {
        if let Some(recent) = self.recent.load_full()
            && recent.0.elapsed() < RECENT
        {
            return recent;
        }
        let mut text = String::with_capacity(512);
        self.about(&mut |name, value| {
            if !AS_IN_REDIS.contains(&name) {
                // Writing to a string cannot fail.
                let _ = write!(text, "{name}:{value}\r\n");
            }
        });
        let recent = Arc::new((Instant::now(), text));
        self.recent.store(Some(Arc::clone(&recent)));
        recent
    }

    fn about(&self, put: &mut dyn FnMut(&'static str, &dyn Display)) {
        if let Some(about) = self.about.get().and_then(Weak::upgrade) {
            about.fields(put);
        }
    }

    /// Who polls what, for those who ask for the section by its name.
    fn share_fields(&self, put: &mut dyn FnMut(&'static str, &dyn Display)) {
        let Some(overview) = self.share.overview() else {
            return;
        };
        let counters = self.share.counters();
        put("fleet_member", &self.share.name());
        put("fleet_members", &overview.members.len());
        put("fleet_shards_polled_here", &overview.held);
        put("fleet_shards_polled_elsewhere", &overview.elsewhere);
        put("fleet_shards_polled_by_nobody", &overview.nobody);
        put(
            "fleet_share_error",
            &overview.error.as_deref().unwrap_or(""),
        );
        put("fleet_moves_here", &counters.acquired.get());
        put("fleet_moves_away", &counters.released.get());
        put("fleet_orphan_polls", &self.share.orphans());
    }

    /// What the poller does, for those who ask for the section by its name.
    fn poll_fields(&self, put: &mut dyn FnMut(&'static str, &dyn Display)) {
        let stats = self.poll_stats();
        self.share_fields(put);
        put("fleet_shards", &self.shards().sorted().len());
        put("fleet_polls", &stats.polls);
        put("fleet_poll_failures", &stats.failures);
        put("fleet_poll_panics", &stats.panics);
        put("fleet_scheduler_restarts", &stats.restarts);
        put("fleet_poll_late_p50_usec", &stats.lateness_p50.as_micros());
        put("fleet_poll_late_p99_usec", &stats.lateness_p99.as_micros());
    }

    /// Has the backing asked.
    fn ask(&self, shard: Option<&Arc<Shard>>, asked: &Asked) -> InfoAnswer {
        let status = shard.map(|shard| self.status(shard));
        let own = || self.own_section(status.as_ref(), Some(Duration::ZERO), asked.own);
        InfoAnswer::Ask {
            own: asked.with_own().then(own),
        }
    }
}

impl InfoSource for Fleet {
    fn names_shard(&self, call: &Call<'_>) -> bool {
        let named = call.args.get(1).and_then(|id| std::str::from_utf8(id).ok());
        call.caller.shard.lock().is_some() || named.is_some_and(|id| self.shard(id).is_some())
    }

    fn info(&self, call: &Call<'_>, waker: &Waker, out: &mut Vec<u8>) -> InfoAnswer {
        let mut reply = ReplyWriter::new(out, call.proto);
        let named = call.args.get(1).and_then(|id| std::str::from_utf8(id).ok());
        if let Some(shard) = named.and_then(|id| self.shard(id)) {
            let asked = Asked::new(call.args.iter().skip(2));
            self.give(&self.status(&shard), &asked, &mut reply);
            return InfoAnswer::Given;
        }
        let asked = Asked::new(call.args.iter().skip(1));
        let bound = call.caller.shard.lock().clone();
        if let Some(id) = bound {
            match self.shard(&id) {
                Some(shard) => self.give(&self.status(&shard), &asked, &mut reply),
                None => reply.error(no_shard(id.as_bytes())),
            }
            return InfoAnswer::Given;
        }
        let shard = self.backing_shard();
        let settings = self.settings.load();
        let live = settings.info == InfoMode::Live;
        let standing = |shard: &Arc<Shard>| match asked.only_own() {
            true => Standing::Good,
            false if live || asked.is_hidden() => Standing::Old,
            false => shard.standing(&settings, *self.changed.lock(), (call.caller.id, waker)),
        };
        match (&shard, shard.as_ref().map(standing)) {
            (Some(shard), Some(Standing::Good)) => {
                self.give(&self.status(shard), &asked, &mut reply);
                InfoAnswer::Given
            }
            (Some(shard), Some(Standing::Due)) => {
                self.poller.poll_now(Arc::clone(shard));
                InfoAnswer::Wait
            }
            (None, _) if asked.only_own() => {
                reply.verbatim("txt", self.own_section(None, None, true).as_bytes());
                InfoAnswer::Given
            }
            // INFO always works, also before the first poll.
            _ => self.ask(shard.as_ref(), &asked),
        }
    }

    fn changed(&self) {
        *self.changed.lock() = Some(Instant::now());
    }
}
