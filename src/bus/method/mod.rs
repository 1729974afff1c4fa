//! Methods as they are registered, and the arguments of a call as its method takes them.
//!
//! Used by all who call, fetch or list.

mod binding;
mod body;
mod options;
mod registry;
mod template;

pub(super) use binding::{Given, Param};
pub(super) use body::Body;
pub(super) use options::{BoundCall, Method, Options, whole};
pub(super) use registry::{MOST_METHODS, Registry, any_matches};
