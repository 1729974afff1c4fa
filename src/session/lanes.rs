//! Which of a worker's shared links carries a client's next commands.
//!
//! ```text
//!   Plain       what leaves nobody waiting for long: one link for all clients
//!   Script(n)   clients that call scripts, which may run for long: a few links, an idle one first
//!   Reads,      while the plain link is silent, with commands outstanding: who waits for nothing goes
//!   Writes      on here, as soon as the backing answers on them
//! ```
//!
//! A client changes links only when it waits for nothing, so its commands keep their order. What is
//! behind a script that runs away stays there, as with Redis itself; everybody else gets what the
//! backing says to others meanwhile (`BUSY`).

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::links::{Lane, Needs, drains, link_limits};
use super::worker::Worker;
use crate::command::{Categories, Effects, Table};
use crate::resp::Args;
use crate::upstream::{Link, LinkKey, LoginId, Retryable, spawn_link};

/// A link to a database that nobody used for so long is closed.
const LINK_IDLE: Duration = Duration::from_secs(60);
/// The same for a link of a user of the backing: there may be many users.
const USER_LINK_IDLE: Duration = Duration::from_secs(10);
/// Links for scripts: one that runs away costs one, and the next is there already. More would split
/// what the backing reads at once into smaller pieces.
const SCRIPT_LINKS: u8 = 4;

impl Worker {
    /// The link for a command that nothing else depends on.
    pub(super) fn link(&self, key: LinkKey) -> Link {
        let needs = Needs {
            key,
            scripts: false,
            reads: true,
        };
        self.choose_link(needs).0
    }

    /// The link for the next command of a client that waits for nothing.
    pub(super) fn choose_link(&self, needs: Needs) -> (Link, Lane) {
        if needs.scripts
            && needs.key.login.is_own()
            && let Some(n) = self.script_lane(needs)
        {
            let lane = Lane::Script(n);
            return (self.lane(needs, lane), lane);
        }
        let plain = self.lane(needs, Lane::Plain);
        if !plain.is_silent() && !plain.is_clogged() {
            return (plain, Lane::Plain);
        }
        let lane = if needs.reads {
            Lane::Reads
        } else {
            Lane::Writes
        };
        let aside = self.lane(needs, lane);
        if aside.answers() {
            return (aside, lane);
        }
        // Where the backing does not answer on a new connection either, there is nothing to gain.
        aside.open();
        (plain, Lane::Plain)
    }

    /// The best link for a client that calls scripts; none while the plain one is better, because those
    /// for scripts are not there yet or silent.
    fn script_lane(&self, needs: Needs) -> Option<u8> {
        let lanes = || (0..SCRIPT_LINKS).map(|n| (n, self.lane(needs, Lane::Script(n))));
        let (mut free, mut best) = (None, None);
        let mut spare = false;
        for (n, link) in lanes() {
            if !link.answers() {
                if !spare && !link.is_up() {
                    // One more than is needed now, so that it is there when it is.
                    link.open();
                    spare = true;
                }
                continue;
            }
            match link.in_flight() {
                0 if free.is_none() => free = Some(n),
                0 => return free,
                load if best.is_none_or(|(least, _)| load < least) => best = Some((load, n)),
                _ => {}
            }
        }
        if free.is_some() {
            return free;
        }
        let all_there = lanes().all(|(_, link)| link.is_up());
        match best {
            Some((_, n)) if all_there => Some(n),
            Some(_) => None,
            // The first of all: it waits for its link as others do for the plain one.
            None => lanes().all(|(_, link)| !link.is_up()).then_some(0),
        }
    }

    fn lane(&self, needs: Needs, lane: Lane) -> Link {
        let mut open = self.links.open.borrow_mut();
        let link = open.entry((needs.key, lane)).or_insert_with(|| {
            let settings = self.settings();
            let shared = Arc::clone(&self.shared);
            let retryable: Rc<Retryable> =
                Rc::new(move |args| is_read(&shared.settings().table, args));
            let link = spawn_link(
                Arc::clone(&self.shared.backing),
                needs.key,
                link_limits(&settings, self.shared.backing.is_cluster()),
                retryable,
                Rc::clone(&self.scratch),
            );
            if self.shared.backing.is_cluster() {
                link.redirect_to(self.redirects.of(needs.key));
            }
            link.count_dropped_in(Arc::clone(&self.links.dropped));
            let shared = Arc::clone(&self.shared);
            link.weigh_by(Rc::new(move |args| weight(&shared.settings().table, args)));
            link
        });
        link.clone()
    }

    /// Whether a link of a user of the backing stays that owes nothing.
    fn keeps_user_link(&self, login: LoginId, idle: Duration) -> bool {
        let accounts = self.shared.backing.accounts();
        accounts.knows(login) && (idle <= USER_LINK_IDLE || accounts.is_fading(login))
    }

    /// Looks at the clock for every link, and closes those that nobody uses.
    pub(super) fn tick_links(&self, now: Instant) {
        let first = self.shared.backing.first_db();
        let (mut silent, mut late) = (false, false);
        let topology = self.shared.backing.topology();
        self.links.open.borrow_mut().retain(|(key, lane), link| {
            link.tick(now);
            silent |= link.is_silent();
            late |= !link.is_up() && link.in_flight() > 0;
            if topology.node(key.node).is_none() && !drains(link) {
                link.abandon();
                return false;
            }
            let idle = now.duration_since(link.last_used());
            let keep = match key.login.is_own() {
                true => {
                    let stays = key.db == first && *lane == Lane::Plain;
                    stays || link.in_flight() > 0 || idle <= LINK_IDLE || link.users() > 0
                }
                // Clients open it again.
                false => link.in_flight() > 0 || self.keeps_user_link(key.login, idle),
            };
            if !keep {
                link.close();
            }
            keep
        });
        self.links.silent.set(silent);
        if (silent || late) && self.shared.backing.is_cluster() {
            // A node that stands still is replaced, and nobody closes its connections.
            self.shared.backing.doubt();
        }
    }
}

/// How much work a request may be: one that takes the time that its value takes, one that may take
/// longer, one that runs a program or looks at everything.
fn weight(table: &Table, args: Args<'_>) -> u8 {
    let Some(row) = args.get(0).and_then(|name| table.get(name)) else {
        return 1;
    };
    let stores = matches!(&*row.name, "set" | "setex" | "psetex" | "getset" | "mset");
    let program = Categories::SCRIPTING | Categories::DANGEROUS;
    match row.effects {
        effects if effects.intersects(Effects::BEYOND_ITS_KEYS) => 2,
        _ if row.categories.intersects(program) => 2,
        _ if stores || row.categories.intersects(Categories::FAST) => 0,
        _ => 1,
    }
}

/// Whether a request only reads, so that sending it twice does no harm.
fn is_read(table: &Table, args: Args<'_>) -> bool {
    args.get(0)
        .and_then(|name| table.get(name))
        .is_some_and(|row| row.is_readonly() && !row.is_write())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::ArgVec;

    #[test]
    fn scripts_weigh_more_than_ranges_and_these_more_than_values() {
        let table = Table::shipped();
        let weight = |command: &str| {
            let args: ArgVec = command.split(' ').collect();
            weight(&table, args.as_args())
        };
        for (command, wanted) in [
            ("GET a", 0),
            ("set a 1", 0),
            ("HGETALL a", 1),
            ("SUNION a b", 1),
            ("NEW.COMMAND", 1),
            ("EVAL x 0", 2),
            ("KEYS *", 2),
            ("SORT a", 2),
            ("DEBUG SLEEP 1", 2),
        ] {
            assert_eq!(weight(command), wanted, "{command}");
        }
    }
}
