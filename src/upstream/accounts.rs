//! The logins of the backing's users, as long as somebody is logged in with them: what connections are opened with that
//! are not Respite's own.
//!
//! Passwords are in memory only, and are never shown. Who is logged in is not known here.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::link_key::LoginId;

/// The name and the password of a user of the backing. Never shows the password.
pub struct Credentials {
    /// The name, as it was sent.
    pub user: Box<[u8]>,
    /// The password that was found right last; none for whoever has not logged in (`default`).
    pub(super) password: Option<Box<[u8]>>,
}

/// All logins but Respite's own.
#[derive(Debug, Default)]
pub struct Accounts {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    last: u32,
    open: HashMap<LoginId, Known>,
}

#[derive(Debug)]
struct Known {
    credentials: Arc<Credentials>,
    /// The backing would refuse them: a connection that is open cannot be replaced.
    fading: bool,
}

// === impl Accounts ===

impl Accounts {
    /// A new login. Its number is no other's, as long as that one is there.
    #[must_use]
    pub fn add(&self, user: &[u8], password: Option<&[u8]>) -> LoginId {
        let mut inner = self.inner.lock();
        loop {
            inner.last = inner.last.wrapping_add(1);
            let login = LoginId(inner.last);
            if !login.is_own() && !inner.open.contains_key(&login) {
                inner.open.insert(login, Known::new(user, password));
                return login;
            }
        }
    }

    /// Takes another password for a login, which was found right just now.
    pub fn set_password(&self, login: LoginId, password: &[u8]) {
        if let Some(known) = self.inner.lock().open.get_mut(&login) {
            let user = known.credentials.user.clone();
            *known = Known::new(&user, Some(password));
        }
    }

    /// Forgets a login: no more connections are opened with it.
    pub fn remove(&self, login: LoginId) {
        self.inner.lock().open.remove(&login);
    }

    /// Whether connections may be opened with a login.
    #[must_use]
    pub fn knows(&self, login: LoginId) -> bool {
        login.is_own() || self.inner.lock().open.contains_key(&login)
    }

    /// Notes what the backing says of a user: whether anybody may log in as him, and the SHA-256 of his passwords in
    /// hexadecimal, none where any will do. Gives whether the password that is known is right.
    pub fn note_account(&self, login: LoginId, on: bool, passwords: Option<&[String]>) -> bool {
        let mut inner = self.inner.lock();
        let Some(known) = inner.open.get_mut(&login) else {
            return false;
        };
        let own = known.credentials.password.as_deref().map(Sha256::digest);
        let own = own.map(|own| hex(&own));
        let fits = |hash: &String| (own.as_ref()).is_some_and(|own| own.eq_ignore_ascii_case(hash));
        let is_right = passwords.is_none_or(|passwords| passwords.iter().any(fits));
        known.fading = !on || !is_right;
        is_right
    }

    /// Whether no more connections can be opened with a login, as far as is known.
    #[must_use]
    pub fn is_fading(&self, login: LoginId) -> bool {
        let inner = self.inner.lock();
        inner.open.get(&login).is_some_and(|known| known.fading)
    }

    /// What a connection is opened with.
    pub(super) fn credentials(&self, login: LoginId) -> Option<Arc<Credentials>> {
        let inner = self.inner.lock();
        let known = inner.open.get(&login)?;
        Some(Arc::clone(&known.credentials))
    }
}

impl Known {
    fn new(user: &[u8], password: Option<&[u8]>) -> Self {
        Known {
            credentials: Arc::new(Credentials {
                user: user.into(),
                password: password.map(Into::into),
            }),
            fading: false,
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("user", &String::from_utf8_lossy(&self.user))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_not_used_twice_and_a_password_is_never_shown() {
        let accounts = Accounts::default();
        accounts.inner.lock().last = u32::MAX - 1;
        let one = accounts.add(b"ann", Some(b"hush"));
        let two = accounts.add(b"bob", None);
        assert_eq!((one, two), (LoginId(u32::MAX), LoginId(1)));
        assert!(!format!("{accounts:?}").contains("hush"));
        accounts.remove(one);
        assert!(!accounts.knows(one) && accounts.credentials(one).is_none());
        assert!(accounts.knows(two) && accounts.knows(LoginId::OWN));
    }

    #[test]
    fn a_login_fades_when_nobody_can_log_in_with_it() {
        let accounts = Accounts::default();
        let login = accounts.add(b"ann", Some(b"password"));
        let hash = "5E884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8".to_owned();
        let other = "0".repeat(64);
        let both = [other.clone(), hash.clone()];
        let (hash, other) = ([hash], [other]);
        for (on, passwords, is_right, fades) in [
            (true, Some(&both[..]), true, false),
            (false, Some(&hash), true, true),
            (true, Some(&other), false, true),
            (true, Some(&[]), false, true),
            (true, None, true, false),
        ] {
            let told = accounts.note_account(login, on, passwords);
            let told = (told, accounts.is_fading(login));
            assert_eq!(told, (is_right, fades), "{on} {passwords:?}");
        }
        // Who has not logged in has no password that could be right.
        let stranger = accounts.add(b"default", None);
        assert!(accounts.note_account(stranger, true, None));
        assert!(!accounts.note_account(stranger, true, Some(&other)));
    }
}
