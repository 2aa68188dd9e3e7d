//! A lock taken and given back.

use std::time::Duration;

use serde_json::Value;
use tidegate::{Config, Host};

use super::measure;
use super::server::Server;
use crate::command::Usage;

/// Each caller has a lock of its own: what is measured is the lock, not the wait for another.
async fn measured(config: Config, lasting: Duration) -> Result<Value, Usage> {
    let told = |error: &dyn std::fmt::Display| Usage(error.to_string());
    let host = Host::builder().config(config).build().map_err(|error| told(&error))?;
    let locks = (0..measure::CALLERS).map(|caller| host.locks().lock(&format!("bench {caller}")));
    let locks: Vec<_> = locks.collect::<Result<_, _>>().map_err(|error| told(&error))?;
    // A first round says whether it works at all; a figure of failures would be none.
    let _ = locks[0].try_acquire().await.map_err(|error| told(&error))?.ok_or_else(|| told(&"the lock is held"))?;
    let once = move |caller: usize| {
        let lock = locks[caller].clone();
        async move {
            if let Ok(Some(lease)) = lock.acquire(lasting).await {
                let _ = lease.release().await;
            }
        }
    };
    Ok(measure::together(lasting, "pairs", once).await)
}

pub async fn memory(lasting: Duration) -> Result<Value, Usage> {
    measured(Config::default(), lasting).await
}

pub async fn redis(server: &Server, lasting: Duration) -> Result<Value, Usage> {
    measured(server.config(), lasting).await
}
