//! Who may run which command on which keys: the `[access]` users and the deny list.
//!
//! An [`AccessList`] is immutable; a reload makes a new one. Rules are worded as in Redis' ACLs
//!, refusals are Redis' own texts. [`Logins`] slows down those who guess, [`Denials`] keeps what was refused. Does not keep track of who is logged
//! in: a session holds its [`UserId`], looked up again by name after a reload.

mod acl;
mod denials;
mod embedded;
mod error;
mod list;
mod logins;
mod password;
mod patterns;
mod rules;
mod user;
mod verifier;

pub use acl::AclRules;
pub use denials::{
    Denials, Entry as DeniedEntry, Place as DeniedPlace, Reason as DeniedReason, Refusal,
};
pub use embedded::changes_access;
pub use error::Denied;
pub use list::{AccessList, Judged, UserId, UserSpec, denied_command};
pub use logins::{Logins, Place, Turn, Whom};
pub use password::{Password, hash_password};
pub use rules::Asked;
pub use verifier::{Attempt, Unjudged, Verdict, Verifier};
