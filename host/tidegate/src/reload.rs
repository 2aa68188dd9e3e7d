//! Reloading of the configuration file when it changes.

use std::sync::Arc;

use tidegate_core::config::Config;
use tidegate_policy::Policies;
use tidegate_policy::watch::{Watch, watch};

use crate::alerts::Alerts;
use crate::config_error::ConfigError;
use crate::config_file::ConfigFile;
use crate::config_status::ConfigStatus;
use crate::host::Host;

impl Host {
    /// Returns the alerts of this host.
    #[must_use]
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// Returns the policies of this host; `None` if it was built without policies.
    #[must_use]
    pub fn policies(&self) -> Option<&Arc<Policies>> {
        self.call_context().policies.policies()
    }

    /// Returns the state of the configuration file.
    #[must_use]
    pub fn config_status(&self) -> ConfigStatus {
        self.0.config_status.lock().clone()
    }

    /// Reads the file and activates it if it changed. If it is rejected, the previous configuration stays active and
    /// [`Host::config_status`] has the reason.
    pub fn reload_config(&self, file: &ConfigFile) {
        let old = self.config();
        let error = self.activate(file, &old).err().map(|error| error.to_string());
        let changed = !Arc::ptr_eq(&old, &self.config());
        let mut status = self.0.config_status.lock();
        status.reloads += u64::from(changed);
        match &error {
            Some(error) if status.stale.as_ref() != Some(error) => {
                tracing::error!(file = %file.path().display(), %error, "configuration rejected, the previous one stays active");
            }
            None if changed => {
                tracing::info!(file = %file.path().display(), "configuration activated");
                status.needs_restart = needs_restart(&self.0.initial_config, &self.config());
                if !status.needs_restart.is_empty() {
                    tracing::warn!(settings = ?status.needs_restart, "changed settings take effect after a restart");
                }
            }
            _ => {}
        }
        status.stale = error;
    }

    /// Activates the file if it differs from the active configuration.
    fn activate(&self, file: &ConfigFile, active: &Config) -> Result<(), ConfigError> {
        let text = file.read_text()?;
        let config = file.parse(&text)?;
        if config == *active {
            return Ok(());
        }
        // An editor that truncates the file before it writes, or a full disk, leaves an empty file. It is not
        // activated, because it would reset every setting.
        let result = if text.trim().is_empty() { Err(ConfigError::empty()) } else { self.apply(config) };
        result.map_err(|error| error.in_file(file.path()))
    }

    /// Reloads the configuration whenever the file changes, until the returned guard is dropped.
    ///
    /// # Errors
    /// Returns an error if the watcher thread cannot be started.
    pub fn follow_config(&self, file: ConfigFile) -> std::io::Result<Watch> {
        let host = self.clone();
        watch(vec![file.path().to_owned()], move || host.reload_config(&file))
    }

    /// Reloads the policies whenever their directory changes, until the returned guard is dropped.
    ///
    /// # Errors
    /// Returns an error if the watcher thread cannot be started.
    pub fn follow_policies(&self) -> std::io::Result<Option<Watch>> {
        self.policies().map(Policies::watch).transpose()
    }
}

/// Returns the changed settings that take effect only after a restart.
fn needs_restart(initial: &Config, current: &Config) -> Vec<&'static str> {
    let (before, after) = (&initial.policies, &current.policies);
    let settings = [
        ("[server]", initial.server != current.server),
        ("[metrics]", initial.metrics != current.metrics),
        ("[redis]", initial.redis != current.redis),
        ("[policies] dir", before.dir != after.dir),
        ("[policies] cache", (&before.cache, before.cache_size) != (&after.cache, after.cache_size)),
    ];
    settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}
