//! One user of the backing that somebody here is logged in as, and what is known of his rules.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::task::Waker;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::super::plain::Plain;
use crate::access::{AccessList, Asked};
use crate::command::{Row, Table};
use crate::upstream::{Backing, LoginId, NodeId};

/// Nothing is given out by rules that were asked for longer ago.
const MOST_AGE: Duration = Duration::from_secs(1);
/// Rules that are in use are asked for again when they are this old, so that they are there in time.
const AGEING: Duration = Duration::from_millis(400);

/// What is known of the command that is read most.
static GET: LazyLock<Option<Row>> = LazyLock::new(|| Table::shipped().get(b"get").cloned());

/// A user. His login is forgotten with the last who holds this.
pub(crate) struct BackingUser {
    /// What his connections are opened with.
    pub(crate) login: LoginId,
    name: Box<[u8]>,
    backing: Arc<Backing>,
    /// What the nodes said last.
    known: ArcSwap<Vec<Known>>,
    asking: AtomicBool,
    gone: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// When he was asked about last.
    asked: Option<Instant>,
    /// His rules cannot be read, until then.
    unreadable: Option<Instant>,
    /// Those who wait for the answer.
    waiting: Vec<Waker>,
}

/// What a node has said.
pub(super) struct Known {
    node: NodeId,
    /// When it was asked.
    asked: Instant,
    access: Arc<AccessList>,
    /// The keys of which `GET` is allowed.
    plain: Plain,
    /// The password that the connections are opened with is right. If it is not, the user may have been deleted, and
    /// be another of the same name: the backing, which closes connections then, has to say.
    is_same: bool,
}

/// What is known of a user's rules.
#[derive(Debug)]
pub(crate) enum Rules {
    /// They are these, asked for then.
    Known(Arc<AccessList>, Instant),
    /// It is being asked.
    Asked,
    /// They cannot be known.
    Unknown,
}

impl State {
    fn wait(&mut self, waker: &Waker) {
        if !self.waiting.iter().any(|one| one.will_wake(waker)) {
            self.waiting.push(waker.clone());
        }
    }
}

impl Known {
    pub(super) fn new(node: NodeId, asked: Instant, access: AccessList, is_same: bool) -> Self {
        let access = Arc::new(access);
        let get = Asked {
            row: GET.as_ref(),
            name: b"get",
            sub: None,
        };
        let plain = match (is_same && access.may_get_some(get), access.reads_all_keys()) {
            (false, _) => Plain::No,
            (true, true) if access.runs_all_commands() => Plain::Every,
            (true, true) => Plain::All,
            (true, false) => Plain::By(Arc::clone(&access)),
        };
        Known {
            node,
            asked,
            access,
            plain,
            is_same,
        }
    }

    fn is_fresh(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.asked) < MOST_AGE
    }
}

impl BackingUser {
    pub(super) fn new(backing: &Arc<Backing>, name: &[u8], password: Option<&[u8]>) -> Arc<Self> {
        Arc::new(BackingUser {
            login: backing.accounts().add(name, password),
            name: name.into(),
            backing: Arc::clone(backing),
            known: ArcSwap::default(),
            asking: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            state: Mutex::default(),
        })
    }

    pub(crate) fn name(&self) -> &[u8] {
        &self.name
    }

    /// The name as it is shown.
    pub(crate) fn shown_name(&self) -> String {
        String::from_utf8_lossy(&self.name).into_owned()
    }

    /// Whether there is no such user any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn retire(&self) {
        self.gone.store(true, Ordering::Release);
        self.known.store(Arc::default());
        self.backing.accounts().remove(self.login);
        self.wake();
    }

    fn wake(&self) {
        let waiting = std::mem::take(&mut self.state.lock().waiting);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// The rules by a node; where it has not been asked, or is none, by another.
    pub(super) fn rules(&self, node: NodeId, waker: &Waker) -> Rules {
        // Held: the answer must not come between the look and the place among those who wait.
        let mut state = self.state.lock();
        let now = Instant::now();
        let known = self.known.load();
        let of_node = known.iter().filter(|known| known.node == node);
        let mut all = of_node.chain(known.iter());
        if let Some(known) = all.find(|known| known.is_fresh(now)) {
            return Rules::Known(Arc::clone(&known.access), known.asked);
        }
        if self.is_gone() || state.unreadable.is_some_and(|until| now < until) {
            return Rules::Unknown;
        }
        state.wait(waker);
        Rules::Asked
    }

    /// Has `waker` woken with the next answer.
    pub(super) fn wait(&self, waker: &Waker) {
        self.state.lock().wait(waker);
    }

    /// What becomes of what a node said, while that is young enough.
    #[inline]
    fn of_node<T>(&self, node: NodeId, now: Instant, get: impl FnOnce(&Known) -> T) -> Option<T> {
        let known = self.known.load();
        let mut of_node = known.iter().filter(|known| known.node == node);
        of_node.find(|known| known.is_fresh(now)).map(get)
    }

    /// The rules by a node, while they are young enough.
    #[inline]
    pub(super) fn fresh(&self, node: NodeId, now: Instant) -> Option<Arc<AccessList>> {
        self.of_node(node, now, |known| Arc::clone(&known.access))
    }

    /// The same, if values may be told by them without asking the node.
    #[inline]
    pub(super) fn tells(&self, node: NodeId, now: Instant) -> Option<Arc<AccessList>> {
        let access = |known: &Known| known.is_same.then(|| Arc::clone(&known.access));
        self.of_node(node, now, access)?
    }

    /// The same as [`BackingUser::fresh`], and when it was asked for them.
    pub(crate) fn known_at(
        &self,
        node: NodeId,
        now: Instant,
    ) -> Option<(Arc<AccessList>, Instant)> {
        self.of_node(node, now, |known| (Arc::clone(&known.access), known.asked))
    }

    #[inline]
    pub(super) fn plain_reads(&self, node: NodeId, now: Instant) -> Plain {
        let plain = self.of_node(node, now, |known| known.plain.clone());
        plain.unwrap_or(Plain::No)
    }

    /// Whether what is known is to be asked for again soon.
    #[inline]
    pub(super) fn is_ageing(&self, now: Instant) -> bool {
        let known = self.known.load();
        let youngest = known.iter().map(|known| known.asked).max();
        youngest.is_none_or(|asked| now.saturating_duration_since(asked) >= AGEING)
    }

    pub(super) fn is_unreadable(&self, now: Instant) -> bool {
        let state = self.state.lock();
        self.is_gone() || state.unreadable.is_some_and(|until| now < until)
    }

    /// How long ago he was asked about.
    pub(super) fn age(&self, now: Instant) -> Option<Duration> {
        let asked = self.state.lock().asked;
        asked.map(|asked| now.saturating_duration_since(asked))
    }

    /// Whether nobody asks; then somebody does from now on.
    pub(super) fn begin_asking(&self) -> bool {
        let begins = !self.asking.swap(true, Ordering::AcqRel);
        if begins {
            self.state.lock().asked = Some(Instant::now());
        }
        begins
    }

    /// Takes what the nodes say: what is known, which do not know him, until when the others do not tell. Whether
    /// nobody knows him.
    pub(super) fn note_answers(
        &self,
        mut known: Vec<Known>,
        gone: &[NodeId],
        unreadable: Option<Instant>,
    ) -> bool {
        let is_gone = known.is_empty() && !gone.is_empty();
        if !self.is_gone() {
            for old in self.known.load().iter() {
                let answered = known.iter().any(|new| new.node == old.node);
                if !answered && !gone.contains(&old.node) {
                    known.push(Known {
                        access: Arc::clone(&old.access),
                        plain: old.plain.clone(),
                        ..*old
                    });
                }
            }
            self.known.store(Arc::new(known));
        }
        let now = Instant::now();
        let tells = self.known.load().iter().any(|known| known.is_fresh(now));
        self.state.lock().unreadable = unreadable.filter(|_| !tells);
        is_gone
    }

    /// Nobody asks any more; those who wait look what came of it.
    pub(super) fn end_asking(&self) {
        // In this order: whoever sees that somebody asks is among those who wait by now.
        self.asking.store(false, Ordering::Release);
        self.wake();
    }
}

impl Drop for BackingUser {
    fn drop(&mut self) {
        self.backing.accounts().remove(self.login);
    }
}

impl fmt::Debug for BackingUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackingUser")
            .field("name", &self.shown_name())
            .field("login", &self.login)
            .finish_non_exhaustive()
    }
}
