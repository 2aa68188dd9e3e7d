//! The source from which a [`NodeConnection`](crate::node_connection::NodeConnection) gets the address of its server.

use redis::{Cmd, Value};
use tokio::time::Instant;

use crate::address::Address;
use crate::codec::reply_text;
use crate::connection::Connection;
use crate::node_error::NodeError;

/// The source of a server's address.
pub enum AddressSource {
    /// The address is fixed.
    Fixed(Address),
    /// Sentinels provide the address.
    Sentinels(Sentinels),
}

/// The Sentinels that provide the address of the current master.
pub struct Sentinels {
    /// The Sentinels, in the order in which they are queried.
    pub sentinels: Vec<Address>,
    /// The credentials and TLS settings of the server. Its host and port are placeholders.
    pub server: Address,
    /// The name of the master that the Sentinels monitor.
    pub master: String,
    /// A connection to the Sentinel that replied last.
    pub last_used: tokio::sync::Mutex<Option<Connection>>,
}

impl AddressSource {
    /// Returns the server's current address.
    pub async fn resolve(&self, deadline: Instant) -> Result<Address, String> {
        match self {
            Self::Fixed(address) => Ok(address.clone()),
            Self::Sentinels(sentinels) => sentinels.resolve(deadline).await,
        }
    }

    /// Checks that the connected server is a master, since Sentinels may learn of a failover late.
    pub async fn verify_role(&self, connection: &Connection, deadline: Instant) -> Result<(), String> {
        if matches!(self, Self::Fixed(_)) {
            return Ok(());
        }
        match connection.send(&[redis::cmd("ROLE")], false, deadline).await.as_deref() {
            Ok([Value::Array(role)]) if role.first().and_then(reply_text) == Some("master") => Ok(()),
            // The user is not allowed to run `ROLE`. The probe then detects a replica, because replicas reject it.
            Err(NodeError::Refused(_)) => Ok(()),
            Ok(_) => Err("READONLY: the server that Sentinels report is not the master".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Returns an error if the server now has another address. If the address cannot be resolved, it counts as
    /// unchanged.
    pub async fn verify_address(&self, address: &Address, deadline: Instant) -> Result<(), String> {
        match self.resolve(deadline).await {
            Ok(current) if current.server() != address.server() => Err("Sentinels report another server".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Sentinels {
    async fn resolve(&self, deadline: Instant) -> Result<Address, String> {
        let mut last_used = self.last_used.lock().await;
        if let Some(connection) = last_used.take()
            && let Ok(address) = self.query(&connection, split_time(deadline, self.sentinels.len() + 1)).await
        {
            *last_used = Some(connection);
            return Ok(address);
        }
        let mut reason = "none is configured".to_owned();
        for (index, sentinel) in self.sentinels.iter().enumerate() {
            // A Sentinel that does not reply must leave time for the others, and for the server.
            let deadline = split_time(deadline, self.sentinels.len() - index + 1);
            let attempt = async {
                let connection = Connection::open(sentinel, deadline).await?;
                self.query(&connection, deadline).await.map(|address| (connection, address))
            };
            match attempt.await {
                Ok((connection, address)) => {
                    *last_used = Some(connection);
                    return Ok(address);
                }
                Err(error) => reason = error,
            }
        }
        Err(format!("no Sentinel knows the master's address: {reason}"))
    }

    /// Queries one Sentinel for the master's address.
    async fn query(&self, sentinel: &Connection, deadline: Instant) -> Result<Address, String> {
        let mut command = Cmd::new();
        command.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let replies = sentinel.send(&[command], false, deadline).await.map_err(|error| error.to_string())?;
        let Some(Value::Array(host_port)) = replies.first() else {
            return Err(format!("unknown master `{}`", self.master));
        };
        let host = host_port.first().and_then(reply_text);
        let port = host_port.get(1).and_then(reply_text).and_then(|port| port.parse().ok());
        let (Some(host), Some(port)) = (host, port) else { return Err("the reply is not an address".to_owned()) };
        Ok(self.server.with_host_port(host, port))
    }
}

/// Divides the time that is left into `parts` equal parts and returns the end of the first.
fn split_time(deadline: Instant, parts: usize) -> Instant {
    let now = Instant::now();
    now + (deadline - now) / u32::try_from(parts).unwrap_or(u32::MAX)
}
