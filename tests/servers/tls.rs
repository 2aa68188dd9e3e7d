//! A Redis server with TLS and its own certificate authority.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tidegate_core::config::RedisConfig;

use super::{RedisServer, free_port};

pub struct TlsServer {
    server: RedisServer,
    tls_port: u16,
    dir: TempDir,
}

impl TlsServer {
    /// Starts a server with a certificate for `localhost` that its own certificate authority signed.
    pub fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: String| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        let ca = file("ca.pem", authority.pem());
        let certificate = file("server.pem", certificate.pem());
        let key = file("server.key", key.serialize_pem());
        let tls_port = free_port();
        let port = tls_port.to_string();
        let server = RedisServer::with_args(
            &[
                ["--tls-port", &port],
                ["--tls-cert-file", &certificate],
                ["--tls-key-file", &key],
                ["--tls-ca-cert-file", &ca],
                ["--tls-auth-clients", "no"],
            ]
            .concat(),
        );
        Self { server, tls_port, dir }
    }

    /// Returns a configuration that trusts the server's certificate authority.
    pub fn config(&self) -> RedisConfig {
        let url = format!("rediss://localhost:{}", self.tls_port);
        RedisConfig::single(url).with_tls_ca(self.file("ca.pem")).with_prefix(&self.server.prefix)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
