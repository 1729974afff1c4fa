//! Certificates made on the spot, by openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A certificate authority with certificates for a server and a client, and a stranger's.
pub(crate) struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// Makes them all.
    pub(crate) fn make() -> Self {
        let certificates = Self {
            dir: tempfile::tempdir().expect("temp dir"),
        };
        certificates.self_signed("ca");
        certificates.self_signed("stranger-ca");
        certificates.signed("server", "ca");
        certificates.signed("client", "ca");
        certificates.signed("stranger", "stranger-ca");
        certificates
    }

    /// Where a file of theirs is: `ca.pem`, `server.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The directory that they are in.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn self_signed(&self, name: &str) {
        self.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN={name} -keyout {name}.key -out {name}.pem"
        ));
    }

    fn signed(&self, name: &str, ca: &str) {
        self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={name} \
             -addext subjectAltName=DNS:localhost -keyout {name}.key -out {name}.csr"
        ));
        self.openssl(&format!(
            "x509 -req -in {name}.csr -CA {ca}.pem -CAkey {ca}.key -CAcreateserial -days 2 \
             -copy_extensions copy -out {name}.pem"
        ));
    }

    fn openssl(&self, arguments: &str) {
        let output = Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(self.dir.path())
            .output()
            .expect("run openssl");
        assert!(output.status.success(), "openssl {arguments}: {output:?}");
    }
}
