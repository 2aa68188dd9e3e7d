//! Turns the configuration into server addresses that a client can connect to.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use redis::{
    Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo, RedisResult,
    TlsCertificates,
};
use tidegate_core::Secret;
use tidegate_core::config::{RedisConfig, RedisKind};

use crate::error::Error;

const NOT_PEM: &str = "expected PEM certificates, each from BEGIN CERTIFICATE to END CERTIFICATE";

/// A server's address with credentials and TLS settings; it exposes only host and port.
#[derive(Clone)]
pub struct Address(ConnectionInfo);

impl Address {
    /// Checks a configuration, and returns its addresses, of which there is at least one, in their order.
    pub fn from_config(config: &RedisConfig) -> Result<Vec<Self>, Error> {
        config.validate().map_err(|problem| Error::invalid(&problem))?;
        let ca = config.tls_ca.as_deref().map(read_certificates).transpose()?;
        // Another crate of the program may have installed a TLS provider already; that one is kept.
        let _ = rustls::crypto::ring::default_provider().install_default();
        config.url.iter().map(|url| Self::parse(url, config, ca.as_deref())).collect()
    }

    fn parse(url: &Secret, config: &RedisConfig, ca: Option<&str>) -> Result<Self, Error> {
        // The message has only the category, because the library's full message may repeat the URL and its password.
        let invalid_url = |error: redis::RedisError| {
            Error::setting(
                "url",
                format!(
                    "expected a URL such as redis://host:6379/0 or rediss://user:password@host:6379/0 ({})",
                    error.category()
                ),
            )
        };
        let info = url.expose().into_connection_info().map_err(invalid_url)?;
        if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            return Err(Error::setting(
                "url",
                "`#insecure` accepts any certificate; name your certificate authority in `tls_ca` instead",
            ));
        }
        let encrypted = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        if ca.is_some() && !encrypted {
            return Err(Error::setting("tls_ca", "`url` is not encrypted; it must begin with rediss://"));
        }
        let mut settings = with_client_name(info.redis_settings().clone());
        if config.kind == RedisKind::Cluster && settings.db() != 0 {
            return Err(Error::setting("url", "a cluster has only database 0; remove the database number"));
        }
        // Sentinels use the credentials in the URL; `username` and `password` are those of the Redis server.
        if config.kind != RedisKind::Sentinel {
            settings = with_credentials(settings, config);
        }
        let info = with_nodelay(info.set_redis_settings(settings));
        let Some(ca) = ca else { return Ok(Self(info)) };
        let trusted = TlsCertificates { client_tls: None, root_cert: Some(ca.as_bytes().to_vec()) };
        let client = Client::build_with_tls(info, trusted).map_err(|_| Error::setting("tls_ca", NOT_PEM))?;
        Ok(Self(client.get_connection_info().clone()))
    }

    /// Returns the settings for the server that the Sentinels at this address monitor; its host is not known yet.
    pub fn monitored_server(&self, config: &RedisConfig) -> Self {
        let settings = with_client_name(RedisConnectionInfo::default()).set_db(self.0.redis_settings().db());
        Self(self.0.clone().set_redis_settings(with_credentials(settings, config)))
    }

    /// Returns the address of the Sentinel itself; a Sentinel has no databases.
    pub fn sentinel(&self) -> Self {
        Self(self.0.clone().set_redis_settings(self.0.redis_settings().clone().set_db(0)))
    }

    /// Returns the address of another server with the same credentials and TLS settings.
    pub fn with_host_port(&self, host: &str, port: u16) -> Self {
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

    /// Returns the host, for nodes that announce themselves without one. Empty for a Unix socket.
    pub fn host(&self) -> &str {
        match self.0.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host,
            _ => "",
        }
    }

    /// Returns host and port, such as `10.0.0.1:6379`. It contains no secret.
    pub fn server(&self) -> String {
        self.0.addr().to_string()
    }

    /// Returns a client for the server. Subscriptions need RESP3, which delivers messages between replies.
    pub fn client(&self, protocol: ProtocolVersion) -> RedisResult<Client> {
        let settings = self.0.redis_settings().clone().set_protocol(protocol);
        Client::open(self.0.clone().set_redis_settings(settings))
    }
}

/// The maximum size of a file of certificates, in bytes. The certificates of all public authorities together need a
/// quarter of it.
const MAX_CERTIFICATES_SIZE: u64 = 1 << 20;

/// Reads a file of certificates. A file without any is an error: every server would be rejected without a clear reason.
fn read_certificates(path: &Path) -> Result<String, Error> {
    let text = read_regular_file(path)
        .map_err(|error| Error::unreadable_file("tls_ca", format!("cannot read {}", path.display()), error))?;
    if text.contains("-----BEGIN CERTIFICATE-----") { Ok(text) } else { Err(Error::setting("tls_ca", NOT_PEM)) }
}

fn read_regular_file(path: &Path) -> io::Result<String> {
    let is_regular = std::fs::metadata(path)?.is_file();
    let mut text = String::new();
    if is_regular {
        File::open(path)?.take(MAX_CERTIFICATES_SIZE + 1).read_to_string(&mut text)?;
    }
    if !is_regular || text.len() as u64 > MAX_CERTIFICATES_SIZE {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a regular file of at most 1 MiB"));
    }
    Ok(text)
}

/// Sets the library name that `CLIENT LIST` shows.
fn with_client_name(settings: RedisConnectionInfo) -> RedisConnectionInfo {
    settings.set_lib_name("tidegate", env!("CARGO_PKG_VERSION"))
}

/// Applies `username` and `password` of the configuration, if set; they replace those in the URL.
fn with_credentials(mut settings: RedisConnectionInfo, config: &RedisConfig) -> RedisConnectionInfo {
    if let Some(username) = &config.username {
        settings = settings.set_username(username);
    }
    match &config.password {
        Some(password) => settings.set_password(password.expose()),
        None => settings,
    }
}

/// Sends small commands at once (`TCP_NODELAY`).
fn with_nodelay(info: ConnectionInfo) -> ConnectionInfo {
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    info.set_tcp_settings(tcp)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn addresses(kind: RedisKind, url: &str, change: impl FnOnce(&mut RedisConfig)) -> Result<Vec<Address>, Error> {
        let mut config = RedisConfig::single(url);
        config.kind = kind;
        change(&mut config);
        Address::from_config(&config)
    }

    #[test]
    fn invalid_addresses_are_rejected_with_the_field_and_without_secrets() {
        let (single, cluster) = (RedisKind::Single, RedisKind::Cluster);
        let missing_file = |config: &mut RedisConfig| config.tls_ca = Some(PathBuf::from("/nowhere/ca.pem"));
        let dir = tempfile::tempdir().unwrap();
        let ca_file = |text: &str| {
            let path = dir.path().join(format!("{}.pem", text.len()));
            std::fs::write(&path, text).unwrap();
            move |config: &mut RedisConfig| config.tls_ca = Some(path)
        };
        let directory = |config: &mut RedisConfig| config.tls_ca = Some(dir.path().to_owned());
        let broken = "-----BEGIN CERTIFICATE-----\n?\n-----END CERTIFICATE-----\n";
        let unchanged = |_: &mut RedisConfig| {};
        let rows = [
            (addresses(single, "redis://ann:geheim@host:port/0", unchanged), "url: expected a URL such as"),
            (addresses(single, "redis://ann:geheim@host/none", unchanged), "url: expected a URL such as"),
            (addresses(single, "redis://ann:geheim@/0", unchanged), "url: expected a URL such as"),
            (addresses(single, "rediss://ann:geheim@host/0#insecure", unchanged), "url: `#insecure`"),
            (addresses(cluster, "redis://ann:geheim@host/1", unchanged), "url: a cluster has only database 0"),
            (addresses(single, "rediss://ann:geheim@host", missing_file), "tls_ca: cannot read /nowhere/ca.pem"),
            (addresses(single, "rediss://ann:geheim@host", directory), "tls_ca: cannot read /"),
            (addresses(single, "rediss://ann:geheim@host", ca_file("")), "tls_ca: expected PEM certificates"),
            (addresses(single, "rediss://ann:geheim@host", ca_file(broken)), "tls_ca: expected PEM certificates"),
            (addresses(single, "redis://ann:geheim@host", ca_file(broken)), "tls_ca: `url` is not encrypted"),
            (addresses(single, "", unchanged), "url: expected a URL that starts with redis://"),
            (addresses(single, "redis://host", |config| config.url.clear()), "url: expected a URL that starts with"),
            (addresses(single, "redis://host", |config| config.prefix = "{x}".to_owned()), "prefix: expected letters"),
        ];
        for (result, expected) in rows {
            let error = result.err().map(|error| format!("{error} {error:?}")).unwrap();
            assert!(error.starts_with(expected) && !error.contains("geheim"), "{error}");
        }
    }

    /// Returns user, password and database.
    fn credentials(address: &Address) -> (Option<&str>, Option<&str>, i64) {
        let settings = address.0.redis_settings();
        (settings.username(), settings.password(), settings.db())
    }

    #[test]
    fn configured_credentials_replace_those_in_the_url() {
        let configured = |config: &mut RedisConfig| {
            config.username = Some("bob".to_owned());
            config.password = Some(Secret::new("configured"));
        };
        let url = "redis://ann:in%2Furl@host:1/3";
        let plain = addresses(RedisKind::Single, url, |_| {}).unwrap();
        assert_eq!(credentials(&plain[0]), (Some("ann"), Some("in/url"), 3));
        let replaced = addresses(RedisKind::Single, url, configured).unwrap();
        assert_eq!(credentials(&replaced[0]), (Some("bob"), Some("configured"), 3));
    }

    #[test]
    fn sentinels_use_the_credentials_in_the_url_and_the_server_the_configured_ones() {
        let mut config = RedisConfig::single("redis://ann:in-url@host:1/3");
        (config.kind, config.master) = (RedisKind::Sentinel, "main".to_owned());
        config.password = Some(Secret::new("configured"));
        let address = Address::from_config(&config).unwrap().remove(0);
        assert_eq!(credentials(&address.sentinel()), (Some("ann"), Some("in-url"), 0));
        let server = address.monitored_server(&config).with_host_port("10.0.0.1", 2);
        assert_eq!((credentials(&server), server.server()), ((None, Some("configured"), 3), "10.0.0.1:2".to_owned()));
    }
}
