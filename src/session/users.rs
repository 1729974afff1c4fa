//! The backing's users, where `[access] users_of` says that they are the users here.
//!
//! Who logs in is judged by the backing (`judge`); what he may do is asked of it again and again (`ACL GETUSER`), and known
//! for a second at most (`user`). What the backing judges itself, since it travels on a connection that is logged in as
//! him, needs none of this; what Respite answers does. What is not known is not allowed.

mod answer;
mod judge;
mod openness;
mod user;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, timeout};
use tracing::warn;

use self::answer::{Answer, read_answer};
use self::judge::Judge;
pub(super) use self::judge::Judgement;
pub(super) use self::openness::Open;
use self::openness::Openness;
use self::user::Known;
pub(super) use self::user::{BackingUser, Rules};
use super::plain::Plain;
use crate::access::{AccessList, Attempt};
use crate::tasks::{self, Kind};
use crate::upstream::{Asker, Backing, ControlError, ControlLink, HOME, NodeId};

/// How often it is looked who is there.
const LOOK: Duration = Duration::from_millis(500);
/// Rules that nobody has asked for are looked at again so often: that is how a deleted user is noticed who does nothing.
const IDLE_AGE: Duration = Duration::from_millis(900);
/// Of so many users at each look; of more, those that were looked at longest ago.
const MOST_LOOKED_AT: usize = 256;
/// A node that does not say so soon what a user may do is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it is taken for granted that rules cannot be read: they are refused, or nobody could be asked.
const REFUSED_FOR: Duration = Duration::from_secs(10);
const AWAY_FOR: Duration = Duration::from_millis(500);
/// The user of whoever has not logged in.
const DEFAULT: &[u8] = b"default";

/// What is needed of whoever keeps the clients.
pub struct Clients {
    /// The rules in force.
    pub access: Box<dyn Fn() -> Arc<AccessList> + Send + Sync>,
    /// Has all clients look whether their users are gone.
    pub look: Box<dyn Fn() + Send + Sync>,
}

/// All that are logged in.
pub struct BackingUsers {
    backing: Arc<Backing>,
    control: Arc<ControlLink>,
    runtime: Handle,
    clients: Clients,
    judge: Judge,
    openness: Openness,
    known: Mutex<HashMap<Box<[u8]>, Weak<BackingUser>>>,
    /// It was logged that rules cannot be read.
    warned: Mutex<Option<Instant>>,
}

impl BackingUsers {
    /// Begins to look after the users, on this runtime.
    pub fn start(
        backing: &Arc<Backing>,
        control: &Arc<ControlLink>,
        runtime: &Handle,
        clients: Clients,
    ) -> Arc<Self> {
        let users = Arc::new(BackingUsers {
            backing: Arc::clone(backing),
            control: Arc::clone(control),
            runtime: runtime.clone(),
            clients,
            judge: Judge::start(backing, runtime),
            openness: Openness::default(),
            known: Mutex::default(),
            warned: Mutex::default(),
        });
        let weak = Arc::downgrade(&users);
        let look = move || look_for_ever(weak.clone());
        runtime.spawn(tasks::keep(Kind::Backing, look));
        users
    }

    /// Has a login judged, `words` being the whole of an `AUTH`; none when too many wait.
    pub(super) fn judge(
        &self,
        words: Vec<Vec<u8>>,
        attempt: Attempt,
    ) -> Option<tokio::sync::oneshot::Receiver<Judgement>> {
        self.judge.judge(words, attempt)
    }

    /// Whether somebody is logged in here under a name.
    pub(super) fn knows(&self, name: &[u8]) -> bool {
        let known = self.known.lock();
        known.get(name).is_some_and(|user| user.strong_count() > 0)
    }

    /// Whether whoever has not logged in may do what `default` may. `waker` is woken when that is known.
    pub(super) fn is_open(&self, waker: &Waker) -> Open {
        self.openness.ask(waker)
    }

    /// The same as far as it is known; not known is open, for those who keep strangers out then.
    pub(super) fn may_be_open(&self) -> bool {
        self.openness.may_be_open()
    }

    /// The same; not known is closed.
    pub(super) fn is_known_open(&self) -> bool {
        self.openness.is_known_open()
    }

    /// A user who has just logged in with this password.
    pub(super) fn log_in(&self, name: &[u8], password: &[u8]) -> Arc<BackingUser> {
        self.user(name, Some(password))
    }

    /// The user of those who have not logged in.
    pub(super) fn default_user(&self) -> Arc<BackingUser> {
        self.user(DEFAULT, None)
    }

    fn user(&self, name: &[u8], password: Option<&[u8]>) -> Arc<BackingUser> {
        let mut known = self.known.lock();
        if let Some(user) = known.get(name).and_then(Weak::upgrade)
            && !user.is_gone()
        {
            if let Some(password) = password {
                self.backing.accounts().set_password(user.login, password);
            }
            return user;
        }
        let user = BackingUser::new(&self.backing, name, password);
        known.insert(name.into(), Arc::downgrade(&user));
        user
    }

    /// What a user may do, by a node. `waker` is woken when more is known.
    pub(super) fn rules(
        self: &Arc<Self>,
        user: &Arc<BackingUser>,
        node: NodeId,
        waker: &Waker,
    ) -> Rules {
        let rules = user.rules(node, waker);
        self.renew_if_due(user, Instant::now());
        rules
    }

    /// Asks what a user may do, although something is known; `waker` is woken with the answer.
    pub(super) fn ask_again(self: &Arc<Self>, user: &Arc<BackingUser>, waker: &Waker) {
        user.wait(waker);
        self.renew(user);
    }

    /// What a node said last by which values may be told, and has it asked again if need be.
    #[inline]
    pub(super) fn tells(
        self: &Arc<Self>,
        user: &Arc<BackingUser>,
        node: NodeId,
        now: Instant,
    ) -> Option<Arc<AccessList>> {
        let told = user.tells(node, now);
        if told.is_none() || user.is_ageing(now) {
            self.renew_if_due(user, now);
        }
        told
    }

    /// What a node of several said last that may be served yet, and has it asked again if need be.
    #[inline]
    pub(super) fn fresh(
        self: &Arc<Self>,
        user: &Arc<BackingUser>,
        node: NodeId,
        now: Instant,
    ) -> Option<Arc<AccessList>> {
        let fresh = user.fresh(node, now);
        if fresh.is_none() || user.is_ageing(now) {
            self.renew_if_due(user, now);
        }
        fresh
    }

    /// Which keys a user may read with `GET`.
    #[inline]
    pub(super) fn plain_reads(self: &Arc<Self>, user: &Arc<BackingUser>, now: Instant) -> Plain {
        let plain = user.plain_reads(HOME, now);
        if matches!(plain, Plain::No) || user.is_ageing(now) {
            self.renew_if_due(user, now);
        }
        plain
    }

    #[cold]
    fn renew_if_due(self: &Arc<Self>, user: &Arc<BackingUser>, now: Instant) {
        if user.is_ageing(now) && !user.is_unreadable(now) {
            self.renew(user);
        }
    }

    /// Asks again what a user may do: one request at a time.
    fn renew(self: &Arc<Self>, user: &Arc<BackingUser>) {
        if !user.begin_asking() {
            return;
        }
        let users = Arc::clone(self);
        let asking = Asking(Arc::clone(user));
        self.runtime.spawn(tasks::named(Kind::Backing, async move {
            let gone = users.ask(&asking.0).await;
            if gone {
                users.retire(&asking.0);
            }
        }));
    }

    /// Asks the nodes what a user may do; whether they say that there is no such user.
    async fn ask(&self, user: &BackingUser) -> bool {
        let nodes: Vec<NodeId> = match self.backing.is_cluster() {
            false => vec![HOME],
            true => {
                let topology = self.backing.topology();
                let nodes = topology.nodes().iter();
                nodes
                    .filter(|node| node.master.is_some())
                    .map(|node| node.id)
                    .collect()
            }
        };
        let mut command = redis::cmd("ACL");
        command.arg("GETUSER").arg(user.name());
        let command = &command;
        let asked = nodes.into_iter().map(|node| async move {
            // From before it leaves: what was changed since then is not in the answer.
            let since = Instant::now();
            let said = timeout(PATIENCE, self.control.command_on(node, command)).await;
            (node, since, said)
        });
        let access = (self.clients.access)();
        let (mut known, mut gone, mut until) = (Vec::new(), Vec::new(), None);
        for (node, since, said) in join_all(asked).await {
            match said {
                Ok(Ok(value)) => match read_answer(&value) {
                    Some(Answer::Nobody) => gone.push(node),
                    Some(Answer::User(acl)) => {
                        let accounts = self.backing.accounts();
                        let passwords = (!acl.nopass).then_some(&acl.passwords[..]);
                        let is_same = accounts.note_account(user.login, acl.on, passwords);
                        let name = user.shown_name();
                        match access.of_acl_user(&name, &acl.rules, &acl.selectors) {
                            Ok(list) => known.push(Known::new(node, since, list, is_same)),
                            Err(error) => until = Some(self.note_unreadable(&error.to_string())),
                        }
                    }
                    None => until = Some(self.note_unreadable("the reply to ACL GETUSER")),
                },
                Ok(Err(ControlError::Server(text))) => until = Some(self.note_unreadable(&text)),
                Ok(Err(_)) | Err(_) => until = until.or(Some(Instant::now() + AWAY_FOR)),
            }
        }
        user.note_answers(known, &gone, until)
    }

    /// The backing does not tell what a user may do, or it is not understood. Gives until when that is so.
    fn note_unreadable(&self, why: &str) -> Instant {
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| at.elapsed() > 6 * REFUSED_FOR) {
            *warned = Some(Instant::now());
            warn!(
                "the rules of the backing's users cannot be read, so their reads pass the cache by and Respite's own \
                 commands are refused to them: {why}"
            );
        }
        Instant::now() + REFUSED_FOR
    }

    /// A user is there no more: whoever is logged in as him is closed.
    fn retire(&self, user: &BackingUser) {
        user.retire();
        let mut known = self.known.lock();
        let same = |one: &Weak<BackingUser>| std::ptr::eq(one.as_ptr(), user);
        if known.get(user.name()).is_some_and(same) {
            known.remove(user.name());
        }
        drop(known);
        (self.clients.look)();
    }

    /// Looks for users who have gone, and forgets those whom nobody is logged in as.
    fn look_after_all(self: &Arc<Self>) {
        let mut known = self.known.lock();
        known.retain(|_, user| user.strong_count() > 0);
        let users: Vec<_> = known.values().filter_map(Weak::upgrade).collect();
        drop(known);
        let now = Instant::now();
        let mut idle = Vec::new();
        for user in users {
            if !user.is_unreadable(now) {
                let age = user.age(now);
                if age.is_none_or(|age| age >= IDLE_AGE) {
                    idle.push((age.unwrap_or(Duration::MAX), user));
                }
            }
        }
        idle.sort_unstable_by_key(|(age, _)| std::cmp::Reverse(*age));
        for (_, user) in idle.into_iter().take(MOST_LOOKED_AT) {
            self.renew(&user);
        }
    }
}

/// Looks after the users as long as there is anybody who needs it.
async fn look_for_ever(users: Weak<BackingUsers>) {
    let Some(backing) = users.upgrade().map(|users| Arc::clone(&users.backing)) else {
        return;
    };
    let mut asker = Asker::new(backing, "respite-users");
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while let Some(users) = users.upgrade() {
        users.openness.look(&mut asker).await;
        users.look_after_all();
        tokio::select! {
            _ = looks.tick() => {}
            () = users.openness.wanted() => {}
        }
    }
}

/// Somebody asks about a user, until it is dropped.
struct Asking(Arc<BackingUser>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.end_asking();
    }
}

impl fmt::Debug for BackingUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackingUsers")
            .field("known", &self.known.lock().len())
            .finish_non_exhaustive()
    }
}
