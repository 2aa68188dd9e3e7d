//! From a configuration to servers that can be dialled.

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisResult, TlsCertificates,
};
use tidegate_core::Secret;
use tidegate_core::config::{RedisConfig, RedisKind};

/// Why Redis cannot even be tried: a mistake in the configuration, without any secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

impl OpenError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A server and how to speak with it; it shows no more than where the server is.
#[derive(Clone)]
pub struct Address(ConnectionInfo);

impl Address {
    /// The addresses of a configuration, in its order.
    pub fn all(config: &RedisConfig) -> Result<Vec<Self>, OpenError> {
        let ca = match &config.tls_ca {
            None => None,
            Some(path) => Some(
                std::fs::read(path)
                    .map_err(|error| OpenError::new(format!("tls_ca: cannot read {}: {error}", path.display())))?,
            ),
        };
        // More than one crate of a program may bring a TLS library; whichever was chosen first is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let addresses = config.url.iter().map(|url| Self::read(url, config, ca.as_deref()));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() { Err(OpenError::new("url: no address is given")) } else { Ok(addresses) }
    }

    fn read(url: &Secret, config: &RedisConfig, ca: Option<&[u8]>) -> Result<Self, OpenError> {
        // The category alone: what the library says of an address may repeat it.
        let unreadable = |error: redis::RedisError| {
            OpenError::new(format!(
                "url: expected such as redis://host:6379/0 or rediss://user:password@host:6379/0 ({})",
                error.category()
            ))
        };
        let info = url.expose().into_connection_info().map_err(unreadable)?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            return Err(OpenError::new("url: `#insecure` would trust anyone; name your authority in `tls_ca` instead"));
        }
        let encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if ca.is_some() && !encrypted {
            return Err(OpenError::new("tls_ca: the address is not encrypted; begin it with rediss://"));
        }
        let mut settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP2);
        if config.kind == RedisKind::Cluster && settings.db() != 0 {
            return Err(OpenError::new("url: a cluster has no databases but 0; leave the number out"));
        }
        // Sentinels have credentials of their own, those in the address.
        if config.kind != RedisKind::Sentinel {
            if let Some(username) = &config.username {
                settings = settings.set_username(username);
            }
            if let Some(password) = &config.password {
                settings = settings.set_password(password.expose());
            }
        }
        let info = quick(info.set_redis_settings(settings));
        let Some(ca) = ca else { return Ok(Self(info)) };
        let trusted = TlsCertificates { client_tls: None, root_cert: Some(ca.to_vec()) };
        let client = Client::build_with_tls(info, trusted)
            .map_err(|_| OpenError::new("tls_ca: expected certificates in PEM form"))?;
        Ok(Self(client.get_connection_info().clone()))
    }

    /// The server that Sentinels at this address lead to, before anyone has said where it is.
    pub fn behind_sentinel(&self, config: &RedisConfig) -> Self {
        let mut settings = redis::RedisConnectionInfo::default()
            .set_protocol(ProtocolVersion::RESP2)
            .set_db(self.0.redis_settings().db());
        if let Some(username) = &config.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &config.password {
            settings = settings.set_password(password.expose());
        }
        Self(self.0.clone().set_redis_settings(settings))
    }

    /// A Sentinel itself, which has no databases.
    pub fn of_sentinel(&self) -> Self {
        Self(self.0.clone().set_redis_settings(self.0.redis_settings().clone().set_db(0)))
    }

    /// Another server that is spoken with in the same way.
    pub fn at(&self, host: &str, port: u16) -> Self {
        let addr = match self.0.addr() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => ConnectionAddr::TcpTls {
                host: host.to_owned(),
                port,
                insecure: *insecure,
                tls_params: tls_params.clone(),
            },
            _ => ConnectionAddr::Tcp(host.to_owned(), port),
        };
        Self(self.0.clone().set_addr(addr))
    }

    /// The host, for servers that say "here" of themselves.
    pub fn host(&self) -> &str {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "",
        }
    }

    /// Where the server is, to tell servers apart; nobody is shown it who is not shown the configuration.
    pub fn place(&self) -> String {
        self.0.addr().to_string()
    }

    /// What dials the server; one that is to hear messages speaks RESP3, which has them beside replies.
    pub fn client(&self, protocol: ProtocolVersion) -> RedisResult<Client> {
        let settings = self.0.redis_settings().clone().set_protocol(protocol);
        Client::open(self.0.clone().set_redis_settings(settings))
    }
}

/// Small commands go at once.
fn quick(info: ConnectionInfo) -> ConnectionInfo {
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    info.set_tcp_settings(tcp)
}
