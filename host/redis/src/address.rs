//! From a configuration to servers that can be dialled.

use std::path::Path;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};
use tidegate_core::Secret;
use tidegate_core::config::{RedisConfig, RedisKind};

/// Why Redis cannot even be tried: a mistake in the configuration, without any secret.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct OpenError(String);

impl OpenError {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

const NOT_PEM: &str = "tls_ca: expected certificates in PEM form, each from BEGIN CERTIFICATE to END CERTIFICATE";

/// A server and how to speak with it; it shows no more than where the server is.
#[derive(Clone)]
pub struct Address(ConnectionInfo);

impl Address {
    /// The addresses of a configuration, in its order.
    pub fn all(config: &RedisConfig) -> Result<Vec<Self>, OpenError> {
        let ca = config.tls_ca.as_deref().map(certificates).transpose()?;
        // More than one crate of a program may bring a TLS library; whichever was chosen first is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let addresses = config.url.iter().map(|url| Self::read(url, config, ca.as_deref()));
        let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() { Err(OpenError::new("url: no address is given")) } else { Ok(addresses) }
    }

    fn read(url: &Secret, config: &RedisConfig, ca: Option<&str>) -> Result<Self, OpenError> {
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
        let mut settings = named(info.redis_settings().clone());
        if config.kind == RedisKind::Cluster && settings.db() != 0 {
            return Err(OpenError::new("url: a cluster has no databases but 0; leave the number out"));
        }
        // Sentinels have credentials of their own, those in the address.
        if config.kind != RedisKind::Sentinel {
            settings = with_credentials(settings, config);
        }
        let info = quick(info.set_redis_settings(settings));
        let Some(ca) = ca else { return Ok(Self(info)) };
        let trusted = TlsCertificates { client_tls: None, root_cert: Some(ca.as_bytes().to_vec()) };
        let client = Client::build_with_tls(info, trusted).map_err(|_| OpenError::new(NOT_PEM))?;
        Ok(Self(client.get_connection_info().clone()))
    }

    /// The server that Sentinels at this address lead to, before anyone has said where it is.
    pub fn behind_sentinel(&self, config: &RedisConfig) -> Self {
        let settings = named(RedisConnectionInfo::default()).set_db(self.0.redis_settings().db());
        Self(self.0.clone().set_redis_settings(with_credentials(settings, config)))
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

/// The text of a file of certificates; one without any would trust nobody, and nobody would know why.
fn certificates(path: &Path) -> Result<String, OpenError> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| OpenError::new(format!("tls_ca: cannot read {}: {error}", path.display())))?;
    if text.contains("-----BEGIN CERTIFICATE-----") { Ok(text) } else { Err(OpenError::new(NOT_PEM)) }
}

/// `CLIENT LIST` says whose connection it is.
fn named(settings: RedisConnectionInfo) -> RedisConnectionInfo {
    settings.set_lib_name("tidegate", env!("CARGO_PKG_VERSION"))
}

/// The credentials that stand beside the address, where there are any.
fn with_credentials(mut settings: RedisConnectionInfo, config: &RedisConfig) -> RedisConnectionInfo {
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    match &config.password {
        Some(password) => settings.set_password(password.expose()),
        None => settings,
    }
}

/// Small commands go at once.
fn quick(info: ConnectionInfo) -> ConnectionInfo {
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    info.set_tcp_settings(tcp)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn all(kind: RedisKind, url: &str, change: impl FnOnce(&mut RedisConfig)) -> Result<Vec<Address>, OpenError> {
        let mut config = RedisConfig { kind, ..RedisConfig::single(url) };
        change(&mut config);
        Address::all(&config)
    }

    #[test]
    fn what_cannot_be_dialled_is_refused_by_field_and_without_a_secret() {
        let (single, cluster) = (RedisKind::Single, RedisKind::Cluster);
        let nowhere = |config: &mut RedisConfig| config.tls_ca = Some(PathBuf::from("/nowhere/ca.pem"));
        let dir = tempfile::tempdir().unwrap();
        let ca = |text: &str| {
            let path = dir.path().join(format!("{}.pem", text.len()));
            std::fs::write(&path, text).unwrap();
            move |config: &mut RedisConfig| config.tls_ca = Some(path)
        };
        let broken = "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n";
        let none = |_: &mut RedisConfig| {};
        let rows = [
            (all(single, "redis://ann:geheim@host:port/0", none), "url: expected"),
            (all(single, "redis://ann:geheim@host/none", none), "url: expected"),
            (all(single, "redis://ann:geheim@/0", none), "url: expected"),
            (all(single, "rediss://ann:geheim@host/0#insecure", none), "url: `#insecure`"),
            (all(cluster, "redis://ann:geheim@host/1", none), "url: a cluster has no databases"),
            (all(single, "rediss://ann:geheim@host", nowhere), "tls_ca: cannot read /nowhere/ca.pem"),
            (all(single, "rediss://ann:geheim@host", ca("")), "tls_ca: expected certificates"),
            (all(single, "rediss://ann:geheim@host", ca(broken)), "tls_ca: expected certificates"),
            (all(single, "redis://ann:geheim@host", ca(broken)), "tls_ca: the address is not encrypted"),
            (all(single, "", none), "url: expected"),
            (all(single, "redis://host", |config| config.url.clear()), "url: no address"),
        ];
        for (refused, expected) in rows {
            let error = refused.err().map(|error| format!("{error} {error:?}")).unwrap();
            assert!(error.starts_with(expected) && !error.contains("geheim"), "{error}");
        }
    }

    /// User, password, database.
    fn login(address: &Address) -> (Option<&str>, Option<&str>, i64) {
        let settings = address.0.redis_settings();
        (settings.username(), settings.password(), settings.db())
    }

    #[test]
    fn credentials_beside_the_address_take_the_place_of_those_in_it() {
        let beside = |config: &mut RedisConfig| {
            config.username = Some("bob".to_owned());
            config.password = Some(Secret::new("beside"));
        };
        let url = "redis://ann:in%2Fside@host:1/3";
        let plain = all(RedisKind::Single, url, |_| {}).unwrap();
        assert_eq!(login(&plain[0]), (Some("ann"), Some("in/side"), 3));
        let replaced = all(RedisKind::Single, url, beside).unwrap();
        assert_eq!(login(&replaced[0]), (Some("bob"), Some("beside"), 3));
    }

    #[test]
    fn sentinels_have_the_credentials_of_their_addresses_and_the_server_those_beside() {
        let mut config = RedisConfig::single("redis://ann:inside@host:1/3");
        config.kind = RedisKind::Sentinel;
        config.password = Some(Secret::new("beside"));
        let address = Address::all(&config).unwrap().remove(0);
        assert_eq!(login(&address.of_sentinel()), (Some("ann"), Some("inside"), 0));
        let server = address.behind_sentinel(&config).at("10.0.0.1", 2);
        assert_eq!((login(&server), server.place()), ((None, Some("beside"), 3), "10.0.0.1:2".to_owned()));
    }
}
