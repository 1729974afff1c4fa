//! Certificates are renewed while clients speak TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{Comers, Load};
use crate::support::{Certificates, Client, DEADLINE, RedisServer, Respite, wait_until};

/// Speaks TLS for clients that do not: a port in front of another one.
struct Plain {
    port: u16,
    _runtime: tokio::runtime::Runtime,
}

impl Plain {
    /// Trusts these authorities.
    fn before(port: u16, certificates: &Certificates, authorities: &[&str]) -> Self {
        let mut roots = RootCertStore::empty();
        for name in authorities {
            let pem = CertificateDer::pem_file_iter(certificates.path(name)).expect("a file");
            for certificate in pem {
                let certificate = certificate.expect("a certificate");
                roots.add(certificate).expect("an authority");
            }
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(TcpListener::bind(any)).expect("bound");
        let own = listener.local_addr().expect("an address").port();
        runtime.spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let connector = connector.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
                    let name = ServerName::try_from("localhost").expect("a name");
                    let mut server = connector.connect(name, server).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
        Plain {
            port: own,
            _runtime: runtime,
        }
    }

    fn connect(&self) -> Client {
        Client::connect(self.port)
    }
}

#[test]
fn certificates_are_renewed_under_load() {
    let redis = RedisServer::start();
    let certificates = Certificates::make();
    let copy = |from: &str, to: &str| {
        std::fs::copy(certificates.path(from), certificates.path(to)).expect("copied");
    };
    for end in ["pem", "key"] {
        copy(&format!("server.{end}"), &format!("first.{end}"));
    }
    let file = |name: &str| certificates.path(name).display().to_string();
    let toml = format!(
        "[tls]\ncert = \"{}\"\nkey = \"{}\"\n",
        file("server.pem"),
        file("server.key")
    );
    let mut respite = Respite::builder()
        .upstream(&redis.url())
        .config(&toml)
        .tls()
        .start();
    respite.allow_log("the certificates before stay in force");
    let either = Plain::before(
        respite.port(),
        &certificates,
        &["ca.pem", "stranger-ca.pem"],
    );
    let by = |authority: &str| Plain::before(respite.port(), &certificates, &[authority]);
    let (by_first, by_second) = (by("ca.pem"), by("stranger-ca.pem"));
    let load = Load::start(|| either.connect());
    let comers = Comers::start(either.port);
    load.goes_on();
    let is_served = |plain: &Plain| {
        let mut client = plain.connect();
        let sent = client.try_send_raw(b"PING\r\n");
        sent.is_ok() && client.try_read_reply_raw().is_ok()
    };
    assert!(is_served(&by_first) && !is_served(&by_second));
    for (name, new, old) in [
        ("stranger", &by_second, &by_first),
        ("first", &by_first, &by_second),
    ] {
        // One after the other, with a mismatch and half a file in between: nobody is served with those.
        copy(&format!("{name}.key"), "server.key");
        load.goes_on();
        std::fs::write(certificates.path("server.pem"), "-----BEGIN CERT").expect("written");
        load.goes_on();
        copy(&format!("{name}.pem"), "server.pem");
        wait_until("the new certificate", DEADLINE, || is_served(new));
        assert!(!is_served(old));
        load.goes_on();
    }
    // A reload with a key that is another certificate's is refused.
    copy("stranger.key", "server.key");
    let refused = either.connect().call(&["RESPITE.RELOAD"]);
    refused.assert_error("ERR the old configuration stays: tls: ");
    assert!(is_served(&by_first));
    comers.go_on();
    comers.end();
    load.end();
}
