//! What a client may do: by the rules of the configuration, or by those of the backing's users.
//!
//! Where the users are the backing's, it judges itself what travels on a connection that is logged in as the user. Judged
//! here is what Respite answers, the cache above all, by rules that are a second old at most; what nobody knows the rules
//! of is refused, or left to the backing where that can answer it.

use std::rc::Rc;
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use super::cached::changes_every_key;
use super::client::Session;
use super::client_line::version;
use super::key_read::KeyRead;
use super::pinned::Pinned;
use super::plain::Plain;
use super::replies::Replies;
use super::request::Request;
use super::settings::Settings;
use super::users::{BackingUser, BackingUsers, Open, Rules};
use super::worker::Worker;
use crate::access::{AccessList, Asked, Denied, UserId, denied_command};
use crate::clock;
use crate::command::{Flags, Handling, Local, Pin, Row};
use crate::resp::{Args, Parsed, RequestLimits, RequestParser};
use crate::upstream::{HOME, LoginId, NodeId};

/// Links of a worker, as many as there may be when one more user comes.
const MOST_LINKS: usize = 1024;
const TOO_MANY_LINKS: &str =
    "ERR too many users have connections to the backing at the same time: try again later";

/// What becomes of a command.
#[derive(Debug)]
pub(super) enum Judged {
    Allowed,
    Denied(Denied),
    /// It is refused for another reason than rules: the error.
    Refused(String),
    /// It is not known yet.
    Wait,
}

impl From<Result<(), Denied>> for Judged {
    fn from(judged: Result<(), Denied>) -> Self {
        match judged {
            Ok(()) => Self::Allowed,
            Err(denied) => Self::Denied(denied),
        }
    }
}

fn asked(request: Request<'_>) -> Asked<'_> {
    Asked {
        row: request.leaf(),
        name: request.args.get(0).unwrap_or_default(),
        sub: request.args.get(1),
    }
}

/// Who knows whether a command is allowed.
enum Judge {
    /// The backing alone.
    Backing,
    /// The backing, but what it refuses is better known before: what is sent voids what the cache has. Reads, and what
    /// may change every key.
    Voids,
    /// The backing, but what Respite keeps of a client depends on the answer (`MULTI`), so it is better known before.
    Both,
    /// Nobody but Respite, which answers it.
    Respite,
}

fn judge_of(request: Request<'_>, divided: bool) -> Judge {
    match request.handling() {
        Handling::Local(_) | Handling::Family(_) | Handling::Pin(Pin::Monitor) => Judge::Respite,
        Handling::Pin(Pin::Wait) if divided => Judge::Respite,
        Handling::Pin(
            Pin::Multi | Pin::Exec | Pin::Discard | Pin::Watch | Pin::Unwatch | Pin::Wait,
        ) => Judge::Both,
        Handling::Forward if is_cached(request) || changes_every_key(request) => Judge::Voids,
        Handling::Forward | Handling::Pin(_) => Judge::Backing,
    }
}

/// Whether a command is one that the cache may answer.
fn is_cached(request: Request<'_>) -> bool {
    let many = |row: &Row| row.readable?.many(request.args.len());
    KeyRead::of(request).is_some() || request.row.and_then(many).is_some()
}

impl Session {
    /// Decides whether the client may run a command.
    pub(super) fn judge(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &Context<'_>,
    ) -> Judged {
        self.coherence.late = false;
        if self.is_judged_by_backing(settings) {
            return self.judge_by_backing(request, settings, cx);
        }
        let Request { args, row, sub, .. } = request;
        let user = self.state.user_id();
        settings.access.check(user, row, &args[0], sub, args).into()
    }

    /// Whether the client is one whose rules the backing has.
    #[inline]
    pub(super) fn is_judged_by_backing(&self, settings: &Settings) -> bool {
        settings.access.is_of_backing() && self.state.user_id() != Some(UserId::TRUSTED)
    }

    #[cold]
    fn judge_by_backing(
        &mut self,
        request: Request<'_>,
        settings: &Settings,
        cx: &Context<'_>,
    ) -> Judged {
        self.state.unjudged = false;
        let free = request
            .row
            .is_some_and(|row| row.flags.contains(Flags::NO_AUTH));
        let is_hello = request.handling() == Handling::Local(Local::Hello);
        if self.state.user.is_none() && (!free || is_hello) {
            match self.become_default(cx) {
                Judged::Wait => return Judged::Wait,
                // It may log in, and has words of its own for strangers.
                _ if free => {}
                Judged::Allowed => {}
                other => return other,
            }
        }
        if free {
            return Judged::Allowed;
        }
        let Some(account) = self.state.account.clone() else {
            return Judged::Denied(Denied::NotAuthenticated);
        };
        if let Some(denied) = settings.access.denies(asked(request)) {
            return Judged::Denied(denied);
        }
        let judged = match judge_of(request, self.worker.directions.is_divided()) {
            Judge::Backing => Judged::Allowed,
            Judge::Voids => self.judge_known(&account, request, cx),
            judge => self.judge_by_rules(&account, request, &judge, cx),
        };
        if !matches!(judged, Judged::Wait) {
            self.state.denied_since = None;
        }
        if !matches!(judged, Judged::Allowed) {
            return judged;
        }
        match self.worker.may_open_link(account.login) {
            true => Judged::Allowed,
            false => Judged::Refused(TOO_MANY_LINKS.to_owned()),
        }
    }

    /// Why nobody may run a command, where the users are the backing's.
    pub(super) fn denied_to_all(
        &self,
        request: Request<'_>,
        settings: &Settings,
    ) -> Option<Denied> {
        settings.access.denies(asked(request))
    }

    /// Makes a client that has not logged in the user that it is then, if the backing lets it in.
    fn become_default(&mut self, cx: &Context<'_>) -> Judged {
        let Some(users) = self.worker.shared.users().cloned() else {
            return Judged::Denied(Denied::NotAuthenticated);
        };
        match users.is_open(cx.waker()) {
            Open::Yes => {
                self.state.set_account(users.default_user());
                self.follow_account();
                Judged::Allowed
            }
            Open::No => Judged::Denied(Denied::NotAuthenticated),
            Open::Asked => Judged::Wait,
            Open::Unknown(text) => Judged::Refused(text),
        }
    }

    /// Sees to it that a command voids nothing in the cache that the node would refuse which it goes to, as far as that is
    /// known.
    fn judge_known(
        &mut self,
        account: &Arc<BackingUser>,
        request: Request<'_>,
        cx: &Context<'_>,
    ) -> Judged {
        let Some(users) = self.worker.shared.users().cloned() else {
            return Judged::Denied(Denied::NotAuthenticated);
        };
        let node = self.ways.to;
        let known = match changes_every_key(request) {
            // Worth waiting for: whoever may not would empty the cache whenever nobody has asked for a second.
            true => match users.rules(account, node, cx.waker()) {
                Rules::Known(list, asked) => Some((list, asked)),
                Rules::Asked => return Judged::Wait,
                Rules::Unknown => None,
            },
            false => account.known_at(node, Instant::now()),
        };
        let Some((list, asked)) = known else {
            return Judged::Allowed;
        };
        if self.may_cover_late(request) {
            self.coherence.late = self.worker.check(&list, request).is_err();
            return Judged::Allowed;
        }
        self.judge_by_list(&users, account, (&list, asked), request, cx)
    }

    fn judge_by_list(
        &mut self,
        users: &Arc<BackingUsers>,
        account: &Arc<BackingUser>,
        (list, asked): (&AccessList, Instant),
        request: Request<'_>,
        cx: &Context<'_>,
    ) -> Judged {
        let judged = self.worker.check(list, request);
        // What was given to the user since then counts.
        let since = self.state.denied_since.get_or_insert_with(Instant::now);
        match judged.is_err() && asked < *since {
            true => {
                users.ask_again(account, cx.waker());
                Judged::Wait
            }
            false => judged.into(),
        }
    }

    fn judge_by_rules(
        &mut self,
        account: &Arc<BackingUser>,
        request: Request<'_>,
        judge: &Judge,
        cx: &Context<'_>,
    ) -> Judged {
        let Some(users) = self.worker.shared.users().cloned() else {
            return Judged::Denied(Denied::NotAuthenticated);
        };
        match users.rules(account, HOME, cx.waker()) {
            Rules::Known(list, asked) => {
                self.judge_by_list(&users, account, (&list, asked), request, cx)
            }
            Rules::Asked => Judged::Wait,
            Rules::Unknown if matches!(judge, Judge::Both) => Judged::Allowed,
            Rules::Unknown => match request.handling() {
                // The backing has an answer, too.
                Handling::Local(Local::Ping | Local::Echo | Local::Select) => {
                    self.state.unjudged = true;
                    Judged::Allowed
                }
                _ => Judged::Denied(denied_command(request.leaf(), &request.args[0])),
            },
        }
    }

    /// As [`Session::judge`], for something that Respite tells besides: nothing is asked, and what is not known is not
    /// allowed.
    pub(super) fn check_known(
        &self,
        settings: &Settings,
        row: Option<&Row>,
        args: Args<'_>,
    ) -> Result<(), Denied> {
        let list = match self.known_rules() {
            Some(list) => list,
            None => Arc::clone(&settings.access),
        };
        let user = self.user_in(&list);
        list.check(user, row, &args[0], None, args)
    }

    /// What is known of the rules of a user of the backing, for Respite's own commands.
    pub(super) fn known_rules(&self) -> Option<Arc<AccessList>> {
        let account = self.state.account.as_ref()?;
        let users = self.worker.shared.users()?;
        users.fresh(account, HOME, clock::now())
    }

    /// The client in a list of rules.
    pub(super) fn user_in(&self, list: &AccessList) -> Option<UserId> {
        match self.state.account {
            Some(_) => list.only_user(),
            None => self.state.user_id(),
        }
    }

    /// Whether a command may follow others to the backing without further ado.
    #[inline]
    pub(super) fn may_forward(&self, request: Request<'_>, settings: &Settings) -> bool {
        if !self.is_judged_by_backing(settings) {
            return self.is_allowed(request, settings);
        }
        let Some(account) = &self.state.account else {
            return false;
        };
        settings.access.denies(asked(request)).is_none()
            && self.worker.may_open_link(account.login)
            && !(self.worker.caching.get() && self.is_refused_read(account, request))
    }

    /// Whether it is known that the node of its keys would refuse a read, which then is judged by itself.
    fn is_refused_read(&self, account: &Arc<BackingUser>, request: Request<'_>) -> bool {
        let directions = &self.worker.directions;
        is_cached(request)
            && (account.known_at(directions.node(directions.route(request)), clock::now()))
                .is_some_and(|(list, _)| self.worker.check(&list, request).is_err())
    }

    /// Whether the client may be told what is in the cache for this read: only by rules that are known.
    #[inline]
    pub(super) fn may_be_told(&self, request: Request<'_>, settings: &Settings) -> bool {
        if !self.is_judged_by_backing(settings) {
            return self.is_allowed(request, settings);
        }
        let account = self.state.account.as_ref();
        settings.access.denies(asked(request)).is_none()
            && account.is_some_and(|account| self.worker.may_tell(account, request))
    }

    /// Of which keys the client may be told the values by a plain `GET`, so far as that needs no closer look.
    #[inline]
    pub(super) fn plain_reads(&self, settings: &Settings) -> Plain {
        if settings.access.is_unrestricted() {
            return Plain::Every;
        }
        let (Some(account), Some(users)) = (&self.state.account, self.worker.shared.users()) else {
            return Plain::No;
        };
        if self.worker.directions.is_divided() || settings.access.denies_any() {
            return Plain::No;
        }
        users.plain_reads(account, clock::now())
    }

    /// Takes over who the client is.
    pub(super) fn follow_account(&self) {
        self.replies.set_account(self.state.account.clone());
    }

    /// Makes the client a user of the backing: its own connections as well, which drop what they keep if the backing
    /// does not let them in.
    pub(super) fn become_user(&mut self, password: &[u8]) {
        let Some(account) = self.state.account.clone() else {
            return;
        };
        let own = self.pinned.as_deref_mut().into_iter();
        let own = own.chain(&mut self.parked);
        own.filter(|pinned| pinned.login() != account.login)
            .for_each(|pinned: &mut Pinned| pinned.log_in(account.login, account.name(), password));
        self.follow_account();
    }

    /// A refusal in the words of the backing's version.
    pub(super) fn words_of(&self, denied: &Denied) -> String {
        let settings = self.worker.settings();
        if !settings.access.is_of_backing() {
            return denied.to_string();
        }
        let user = self.state.user.as_ref().map_or("default", |(_, name)| name);
        let version = version(settings.hello.as_deref()).unwrap_or((7, 0));
        denied.in_words_of(version, user)
    }
}

impl Worker {
    /// Whether a user may be told what is in the cache for a read: the nodes of its keys have said so.
    pub(super) fn may_tell(&self, account: &Arc<BackingUser>, request: Request<'_>) -> bool {
        let Some(users) = self.shared.users() else {
            return false;
        };
        let now = clock::now();
        let allows = |node: NodeId| {
            let list = users.tells(account, node, now);
            list.is_some_and(|list| self.check(&list, request).is_ok())
        };
        match self.directions.is_divided() {
            false => allows(HOME),
            // Of all keys, as a read of many has them.
            true => self
                .directions
                .nodes_of(request.args.tail(1))
                .into_iter()
                .all(allows),
        }
    }

    /// What a user's rules say of a command.
    pub(super) fn check(&self, list: &AccessList, request: Request<'_>) -> Result<(), Denied> {
        let Request { args, row, sub, .. } = request;
        // Before 7.0 there are no rules for subcommands but by their names.
        let sub = sub.filter(|_| {
            let version = version(self.settings().hello.as_deref());
            version.is_none_or(|version| version >= (7, 0))
        });
        list.check(list.only_user(), row, &args[0], sub, args)
    }

    /// As [`Worker::may_tell`], when the value has come.
    #[cold]
    pub(super) fn may_still_tell(&self, account: &Arc<BackingUser>, request: &[u8]) -> bool {
        let mut parser = RequestParser::default();
        let Ok(Parsed::Request { .. }) = parser.parse(request, &RequestLimits::TRUSTED) else {
            return false;
        };
        let settings = self.settings();
        let request = Request::new(parser.args(request), request, &settings.table);
        let _held = clock::hold();
        settings.access.denies(asked(request)).is_none() && self.may_tell(account, request)
    }

    /// Whether a user has a link to the backing, or may have one more.
    #[inline]
    pub(super) fn may_open_link(&self, login: LoginId) -> bool {
        self.links.open.borrow().len() < MOST_LINKS || self.makes_room(login)
    }

    /// Closes the links of other users that nobody uses, if there are too many.
    #[cold]
    fn makes_room(&self, login: LoginId) -> bool {
        let mut open = self.links.open.borrow_mut();
        if open.keys().any(|(key, _)| key.login == login) {
            return true;
        }
        open.retain(|(key, _), link| {
            let keep = key.login.is_own() || link.in_flight() > 0;
            if !keep {
                link.close();
            }
            keep
        });
        open.len() < MOST_LINKS
    }
}

/// A user's replies, and the login that brings them.
pub(super) fn login_of(replies: &Rc<Replies>) -> LoginId {
    let account = replies.account();
    account.map_or(LoginId::OWN, |account| account.login)
}
