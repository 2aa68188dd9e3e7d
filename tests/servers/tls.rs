//! A server that speaks TLS, and the authority that vouches for it.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tidegate::core::Secret;
use tidegate::core::config::RedisConfig;

use super::{Server, free_port};

pub struct Tls {
    server: Server,
    tls_port: u16,
    dir: TempDir,
}

impl Tls {
    /// A server for `localhost` whose certificate an authority of its own has signed.
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
        let server = Server::with(
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

    /// How to speak with it, trusting its authority.
    pub fn config(&self) -> RedisConfig {
        let url = vec![Secret::new(format!("rediss://localhost:{}", self.tls_port))];
        RedisConfig { url, tls_ca: Some(self.file("ca.pem")), ..self.server.config() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}
