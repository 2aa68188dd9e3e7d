//! The fleet: all processes that share one Redis and prefix, and what this process says about itself to the others.

use std::sync::LazyLock;

use tidegate_core::{FleetProcess, ProcessInfo, StoreError};

use crate::Host;

/// The maximum number of quarantined policies in a heartbeat.
#[cfg(feature = "policies")]
const MAX_QUARANTINED: usize = 32;

/// The name of the machine or container; empty if it is unknown.
static HOST_NAME: LazyLock<String> = LazyLock::new(|| {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    let name = files.iter().find_map(|file| std::fs::read_to_string(file).ok());
    name.map(|name| name.trim().to_owned()).unwrap_or_default()
});

impl Host {
    /// Returns the processes that share the Redis of this host, with the hashes of their policies. Without Redis, this
    /// process is the only one.
    ///
    /// # Errors
    /// Returns an error if Redis is unavailable.
    pub async fn fleet(&self) -> Result<Vec<FleetProcess>, StoreError> {
        #[cfg(feature = "redis")]
        if let Some(redis) = self.redis() {
            return redis.fleet().await;
        }
        Ok(vec![FleetProcess::new("", true, self.process_info())])
    }

    /// Sends what this process says about itself with its heartbeats.
    #[cfg(feature = "redis")]
    pub(crate) fn announce(&self) {
        let Some(redis) = self.redis() else { return };
        let host = std::sync::Arc::downgrade(&self.0);
        redis.announce(move || host.upgrade().map(|host| Self(host).process_info()).unwrap_or_default());
    }

    fn process_info(&self) -> ProcessInfo {
        let info = ProcessInfo::new(HOST_NAME.as_str(), std::process::id(), env!("CARGO_PKG_VERSION"));
        #[cfg(feature = "policies")]
        let info = self.with_policy_info(info);
        info
    }

    #[cfg(feature = "policies")]
    fn with_policy_info(&self, mut info: ProcessInfo) -> ProcessInfo {
        info.is_config_stale = self.config_status().stale.is_some();
        if let Some(policies) = self.policies() {
            let generation = policies.generation();
            let quarantined = generation.status().into_iter().filter(|status| status.quarantined.is_some());
            info.policies_hash = Some(generation.hashes().policies.clone());
            info.rules_hash = Some(generation.hashes().rules.clone());
            info.quarantined = quarantined.map(|status| status.path).take(MAX_QUARANTINED).collect();
        }
        info
    }
}

#[cfg(all(test, feature = "policies"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stale_configuration_is_reported_without_policies() {
        let host = Host::builder().build().unwrap();
        for (stale, is_stale) in [(None, false), (Some("tidegate.toml:1:1: unknown key"), true)] {
            host.0.config_status.lock().stale = stale.map(str::to_owned);
            assert_eq!(host.fleet().await.unwrap()[0].info.is_config_stale, is_stale, "{stale:?}");
        }
    }
}
