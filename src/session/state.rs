//! The state of a connection that Respite itself keeps.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use super::login_turn::LoginTurn;
use super::registry::ClientEntry;
use super::users::BackingUser;
use crate::access::{AccessList, UserId};
use crate::resp::Proto;
use crate::upstream::LoginId;

/// What `CLIENT REPLY` set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ReplyMode {
    #[default]
    On,
    Off,
    /// The command at hand says that the next one is not to be answered.
    SkipAfterThis,
    /// The command at hand is not answered.
    SkipNext,
}

/// Why a transaction that the client began cannot be executed. Nothing behind its `MULTI` is, until
/// `EXEC` or `DISCARD` ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// Its connection to the backing was lost.
    Lost,
    /// Its `MULTI` was refused. The client may have sent the rest before it knew.
    Refused,
}

/// A client's id, and that of its connection at the backing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SameClient {
    pub(crate) own: u64,
    pub(crate) backing: u64,
}

/// What a session knows of its client.
#[derive(Debug)]
pub(crate) struct ConnState {
    pub(crate) entry: Arc<ClientEntry>,
    pub(crate) proto: Proto,
    pub(crate) db: u32,
    pub(crate) user: Option<(UserId, String)>,
    /// The same, if it is one of the backing's.
    pub(crate) account: Option<Arc<BackingUser>>,
    /// Since when the command at hand waits to be denied by rules that are new enough.
    pub(super) denied_since: Option<Instant>,
    /// Nobody can tell whether the command at hand is allowed but the backing.
    pub(super) unjudged: bool,
    /// Grows whenever the client becomes somebody else.
    pub(crate) logins: u32,
    pub(crate) reply: ReplyMode,
    /// The client believes that it is in a transaction, and it is in none.
    pub(crate) broken: Option<Broken>,
    /// The connection was lost while keys were watched.
    pub(crate) watch_lost: bool,
    /// The rules by which it was judged so far.
    pub(super) access: Arc<AccessList>,
    /// The login at hand has to wait to be judged.
    pub(super) login_turn: LoginTurn,
    /// Commands are answered as part of the reply to `EXEC`.
    pub(crate) in_transaction: bool,
}

impl ConnState {
    /// A client that has said nothing yet; `trusted`: no user's rules apply to it.
    pub(super) fn new(
        entry: Arc<ClientEntry>,
        db: u32,
        trusted: bool,
        access: Arc<AccessList>,
    ) -> Self {
        ConnState {
            entry,
            proto: Proto::Resp2,
            db,
            user: trusted.then(|| (UserId::TRUSTED, "default".to_owned())),
            account: None,
            denied_since: None,
            unjudged: false,
            logins: 0,
            reply: ReplyMode::On,
            broken: None,
            watch_lost: false,
            access,
            login_turn: LoginTurn::None,
            in_transaction: false,
        }
    }

    pub(crate) fn user_id(&self) -> Option<UserId> {
        self.user.as_ref().map(|(id, _)| *id)
    }

    /// Where the client is, unless it is inside the process.
    pub(super) fn peer(&self) -> Option<IpAddr> {
        let addr: Option<SocketAddr> = self.entry.addr().parse().ok();
        addr.map(|addr| addr.ip())
    }

    /// Selects a database, for others to see as well.
    pub(crate) fn set_db(&mut self, db: u32) {
        self.db = db;
        self.entry.update(|facts| facts.db = db);
    }

    /// Changes the protocol version, for others to see as well.
    pub(crate) fn set_proto(&mut self, proto: Proto) {
        self.proto = proto;
        self.entry.update(|facts| facts.proto = proto);
    }

    /// Notes who the client is now; none after `RESET`.
    pub(crate) fn set_user(&mut self, user: Option<(UserId, String)>) {
        let name = user.as_ref().map_or("default", |(_, name)| name.as_str());
        self.entry.update(|facts| name.clone_into(&mut facts.user));
        self.logins = self.logins.wrapping_add(1);
        self.user = user;
        self.account = None;
    }

    /// Notes that the client is a user of the backing now.
    pub(super) fn set_account(&mut self, account: Arc<BackingUser>) {
        self.set_user(Some((UserId::OF_BACKING, account.shown_name())));
        self.account = Some(account);
    }

    /// With what login its commands travel.
    #[inline]
    pub(super) fn login(&self) -> LoginId {
        let account = self.account.as_ref();
        account.map_or(LoginId::OWN, |account| account.login)
    }
}
