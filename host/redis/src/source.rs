//! How a lane finds its server.

use redis::{Cmd, Value};
use tokio::time::Instant;

use crate::address::Address;
use crate::fault::Fault;
use crate::link::Link;

/// Where a lane's server is to be found.
pub enum Source {
    /// Always there.
    Fixed(Address),
    /// Where Sentinels say.
    Sentinels(Sentinels),
}

/// Those who know which server is the master now.
pub struct Sentinels {
    /// Asked in this order.
    pub sentinels: Vec<Address>,
    /// How the server itself is spoken with, wherever it is.
    pub server: Address,
    /// The name under which they know it.
    pub master: String,
    /// The connection to the one that answered last.
    pub kept: tokio::sync::Mutex<Option<Link>>,
}

impl Source {
    /// Where the server is now.
    pub async fn find(&self, deadline: Instant) -> Result<Address, String> {
        match self {
            Self::Fixed(address) => Ok(address.clone()),
            Self::Sentinels(sentinels) => sentinels.find(deadline).await,
        }
    }

    /// Whether it is the server that was looked for: Sentinels may be late to hear of a change.
    pub async fn verify(&self, link: &Link, deadline: Instant) -> Result<(), String> {
        if matches!(self, Self::Fixed(_)) {
            return Ok(());
        }
        match link.ask(&[redis::cmd("ROLE")], false, deadline).await.as_deref() {
            Ok([Value::Array(role)]) if role.first().and_then(text) == Some("master") => Ok(()),
            // A user who may not ask gets to know by the probe, which replicas refuse.
            Err(Fault::Refused(_)) => Ok(()),
            Ok(_) => Err("READONLY: the server that Sentinels name is not the master".to_owned()),
            Err(fault) => Err(fault.to_string()),
        }
    }

    /// Whether the server is still to be found there; where nobody can say, it is.
    pub async fn still(&self, address: &Address, deadline: Instant) -> Result<(), String> {
        match self.find(deadline).await {
            Ok(found) if found.place() != address.place() => Err("Sentinels name another server".to_owned()),
            _ => Ok(()),
        }
    }
}

impl Sentinels {
    async fn find(&self, deadline: Instant) -> Result<Address, String> {
        let mut kept = self.kept.lock().await;
        if let Some(link) = kept.take()
            && let Ok(address) = self.ask(&link, share(deadline, self.sentinels.len() + 1)).await
        {
            *kept = Some(link);
            return Ok(address);
        }
        let mut reason = "there are none".to_owned();
        for (index, sentinel) in self.sentinels.iter().enumerate() {
            // One that is silent must leave time for the others, and for the server.
            let deadline = share(deadline, self.sentinels.len() - index + 1);
            let asked = async {
                let link = Link::open(sentinel, deadline).await?;
                self.ask(&link, deadline).await.map(|address| (link, address))
            };
            match asked.await {
                Ok((link, address)) => {
                    *kept = Some(link);
                    return Ok(address);
                }
                Err(told) => reason = told,
            }
        }
        Err(format!("no Sentinel says where the server is: {reason}"))
    }

    async fn ask(&self, sentinel: &Link, deadline: Instant) -> Result<Address, String> {
        let mut question = Cmd::new();
        question.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.master);
        let answers = sentinel.ask(&[question], false, deadline).await.map_err(|fault| fault.to_string())?;
        let Some(Value::Array(place)) = answers.first() else {
            return Err(format!("the name `{}` is not known", self.master));
        };
        let host = place.first().and_then(text);
        let port = place.get(1).and_then(text).and_then(|port| port.parse().ok());
        let (Some(host), Some(port)) = (host, port) else { return Err("the answer is not an address".to_owned()) };
        Ok(self.server.at(host, port))
    }
}

/// One part of so many of the time that is left.
fn share(deadline: Instant, parts: usize) -> Instant {
    let now = Instant::now();
    now + (deadline - now) / u32::try_from(parts).unwrap_or(u32::MAX)
}

/// A text that a server sent.
pub fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}
