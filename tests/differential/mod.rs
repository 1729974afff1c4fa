//! The differential test: whatever a client sends, Respite and a plain Redis reply byte for byte alike.
//!
//! Each scenario of `scenarios/*.txt` runs against a Redis directly and through a Respite against a
//! second, equally started Redis: in RESP2 and RESP3, step by step and, where one connection does it
//! all, once more as a single packet. [`random`] does the same with random commands, [`clustered`] with a cluster
//! behind Respite.
//! What is Respite's own by design (`INFO`, `CLIENT LIST`, its command families) is not compared here.

mod clustered;
mod generator;
mod normalise;
mod pair;
mod random;
mod run;
mod scenario;

/// Which version of the protocol a pass speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Resp2,
    Resp3,
}

/// Runs one file of scenarios; its failures are all reported before the test fails.
macro_rules! scenarios {
    ($($name:ident),*) => {
        /// All files, by name.
        const FILES: &[(&str, &str)] = &[$(
            (stringify!($name), include_str!(concat!("scenarios/", stringify!($name), ".txt"))),
        )*];
    $(
        #[test]
        fn $name() {
            run::file(stringify!($name), include_str!(concat!("scenarios/", stringify!($name), ".txt")));
        }
    )*};
}

scenarios!(
    blocking,
    connection,
    data,
    errors,
    hashes,
    keys,
    lists,
    protocol,
    pubsub,
    scripts,
    sets,
    streams,
    strings,
    transactions,
    zsets
);
