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

    /// Reads the file and activates it if it changed. Returns whether the configuration changed.
    ///
    /// # Errors
    /// Returns an error if the file is rejected. The previous configuration stays active, and [`Host::config_status`]
    /// has the reason too.
    pub fn reload_config(&self, file: &ConfigFile) -> Result<bool, ConfigError> {
        let result = self.activate(file);
        let mut status = self.0.config_status.lock();
        let stale = result.as_ref().err().map(ToString::to_string);
        match &result {
            Err(error) if status.stale != stale => {
                tracing::error!(file = %file.path().display(), %error, "configuration rejected, the previous one stays active");
            }
            Ok(true) => {
                status.reloads += 1;
                tracing::info!(file = %file.path().display(), "configuration activated");
                status.needs_restart = needs_restart(&self.0.initial_config, &self.config());
                if !status.needs_restart.is_empty() {
                    tracing::warn!(settings = ?status.needs_restart, "changed settings take effect after a restart");
                }
            }
            _ => {}
        }
        status.stale = stale;
        result
    }

    /// Activates the file if it differs from the active configuration. Returns whether it does.
    fn activate(&self, file: &ConfigFile) -> Result<bool, ConfigError> {
        let text = file.read_changed_text()?;
        let config = file.parse(&text)?;
        if config == *self.config() {
            return Ok(false);
        }
        // An editor that truncates the file before it writes, or a full disk, leaves an empty file. It is not
        // activated, because it would reset every setting.
        let result = if text.trim().is_empty() { Err(ConfigError::empty()) } else { self.apply_config(config) };
        result.map(|()| true).map_err(|error| error.in_file(file.path()))
    }

    /// Reloads the configuration whenever the file changes, until the returned guard is dropped. Errors are logged, and
    /// [`Host::config_status`] has them. A file that does not exist yet is activated when it is created.
    ///
    /// # Errors
    /// Returns an error if the watcher thread cannot be started.
    pub fn follow_config(&self, file: &ConfigFile) -> std::io::Result<Watch> {
        let (host, file) = (self.clone(), file.clone());
        let mut has_existed = false;
        watch(vec![file.path().to_owned()], move || {
            has_existed |= file.path().exists();
            if has_existed {
                drop(host.reload_config(&file));
            }
        })
    }

    /// Reloads the policies whenever their directory changes, until the returned guard is dropped. Without policies,
    /// nothing is watched.
    ///
    /// # Errors
    /// Returns an error if the watcher thread cannot be started.
    pub fn follow_policies(&self) -> std::io::Result<Watch> {
        self.policies().map_or_else(|| Ok(Watch::none()), Policies::watch)
    }
}

/// Returns the changed settings that take effect only after a restart.
fn needs_restart(initial: &Config, current: &Config) -> Vec<String> {
    let (before, after) = (&initial.policies, &current.policies);
    let settings = [
        ("[server]", initial.server != current.server),
        ("[metrics]", initial.metrics != current.metrics),
        ("[redis]", initial.redis != current.redis),
        ("[policies] dir", before.dir != after.dir),
        ("[policies] cache", (&before.cache, before.cache_size) != (&after.cache, after.cache_size)),
    ];
    settings.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name.to_owned()).collect()
}
