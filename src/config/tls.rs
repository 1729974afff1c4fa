//! `[tls]`: the files that encrypted connections are set up from. They are read where they are used.

use super::{error::Problems, lists::path, raw};
use std::path::PathBuf;

/// The certificates for both sides of Respite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// For the listeners; without it, clients speak plain TCP.
    pub server: Option<ServerTls>,
    /// The CA certificates that a `rediss://` upstream is checked against; without it, the system's.
    pub upstream_ca: Option<PathBuf>,
}

/// What a TLS listener needs; all PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerTls {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// The private key of the certificate.
    pub key: PathBuf,
    /// The CA certificates that clients' certificates must come from; without it, clients need none.
    pub client_ca: Option<PathBuf>,
}

impl Tls {
    pub(super) fn validate(raw: &raw::Tls, problems: &mut Problems) -> Self {
        let client_ca = path(&raw.client_ca);
        let server = match (path(&raw.cert), path(&raw.key)) {
            (Some(cert), Some(key)) => Some(ServerTls {
                cert,
                key,
                client_ca,
            }),
            (None, None) => {
                if client_ca.is_some() {
                    problems.invalid("tls.client_ca", "needs tls.cert and tls.key");
                }
                None
            }
            (Some(_), None) => {
                problems.invalid("tls.key", "must be given with tls.cert");
                None
            }
            (None, Some(_)) => {
                problems.invalid("tls.cert", "must be given with tls.key");
                None
            }
        };
        Self {
            server,
            upstream_ca: path(&raw.upstream_ca),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::testing::{file, problems};
    use std::path::PathBuf;

    #[test]
    fn a_certificate_and_its_key_come_together() {
        assert_eq!(
            problems("tls.cert = \"c\""),
            ["tls.key: must be given with tls.cert"]
        );
        assert_eq!(
            problems("tls.key = \"k\""),
            ["tls.cert: must be given with tls.key"]
        );
        assert_eq!(
            problems("tls.client_ca = \"ca\""),
            ["tls.client_ca: needs tls.cert and tls.key"]
        );
    }

    #[test]
    fn paths_are_kept_as_they_are() {
        let config =
            file("[tls]\ncert = \"c\"\nkey = \"k\"\nclient_ca = \"ca\"\nupstream_ca = \"up\"");
        let tls = config.expect("valid").tls;
        let server = tls.server.expect("a certificate and a key");
        assert_eq!(server.cert, PathBuf::from("c"));
        assert_eq!(server.key, PathBuf::from("k"));
        assert_eq!(server.client_ca, Some(PathBuf::from("ca")));
        assert_eq!(tls.upstream_ca, Some(PathBuf::from("up")));
    }
}
