//! Servers that are spoken to over TLS: by a certificate that the system trusts, or not at all.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::Rig;
use crate::support::{Certificates, get};

fn acceptor(certificate: &Path, key: &Path) -> TlsAcceptor {
    let chain = CertificateDer::pem_file_iter(certificate).expect("a certificate");
    let chain = chain.collect::<Result<_, _>>().expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(chain, key).expect("they fit");
    TlsAcceptor::from(Arc::new(config))
}

/// Answers every request with 200 and the same body.
async fn serve(listener: TcpListener, acceptor: TlsAcceptor) {
    while let Ok((stream, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            let mut buffer = [0; 4096];
            while stream.read(&mut buffer).await.is_ok_and(|bytes| bytes > 0) {
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret";
                if stream.write_all(answer).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn rig(certificates: &Certificates, name: &str) -> (Rig, tokio::runtime::Runtime, u16) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let address = (Ipv4Addr::LOCALHOST, 0);
    let listener = runtime.block_on(TcpListener::bind(address)).expect("bind");
    let port = listener.local_addr().expect("an address").port();
    let certificate = certificates.path(&format!("{name}.pem"));
    let key = certificates.path(&format!("{name}.key"));
    runtime.spawn(serve(listener, acceptor(&certificate, &key)));
    let services = format!(
        "app:\n  server: https://localhost:{port}\n  polling: {{method: ping, frequency: 1h}}\n  apis: [/]\n"
    );
    let ca = certificates.path("ca.pem").display().to_string();
    let rig = Rig::with(&services, "", |builder| builder.env("SSL_CERT_FILE", &ca));
    (rig, runtime, port)
}

#[test]
fn a_server_with_a_trusted_certificate_gets_requests() {
    let certificates = Certificates::make();
    let (rig, _runtime, _) = rig(&certificates, "server");
    rig.wait_healthy(1);
    for _ in 0..3 {
        assert_eq!(get(rig.port(), "/"), (200, "secret".to_owned()));
    }
}

#[test]
fn a_stranger_gets_none() {
    let certificates = Certificates::make();
    let (rig, _runtime, port) = rig(&certificates, "stranger");
    let stats = || rig.respite.call(&["GATEWAY.STATS", "app"]);
    crate::support::wait_until("it was polled", crate::support::DEADLINE, || {
        stats().items()[0].field("instances").items()[0]
            .field("polls")
            .int()
            > 0
    });
    assert_eq!(get(rig.port(), "/").0, 503, "{port}");
}
