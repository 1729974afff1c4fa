//! TLS towards the backing.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A connector that trusts the system's authorities, or only those in `ca` when it is given.
///
/// # Errors
/// When `ca` cannot be read or holds no certificate, or the system has no authorities.
pub fn client_connector(ca: Option<&Path>) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = ca {
        let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        for cert in CertificateDer::pem_file_iter(path).map_err(|e| bad(e.to_string()))? {
            let cert = cert.map_err(|e| bad(e.to_string()))?;
            roots.add(cert).map_err(|e| bad(e.to_string()))?;
        }
    } else {
        for cert in rustls_native_certs::load_native_certs().certs {
            // A system store may hold certificates that rustls does not take; the rest serves.
            let _ = roots.add(cert);
        }
    }
    if roots.is_empty() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "no certificate authorities found",
        ));
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
