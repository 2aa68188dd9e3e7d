//! Reloading of the configuration file when it changes.

use std::path::Path;
use std::sync::Arc;

use tidegate_core::config::reader::{Diagnostic, EffectiveValue};
use tidegate_core::config::{Config, SystemEnv};
use tidegate_policy::Policies;
use tidegate_policy::watch::{Watch, watch};

use crate::alerts::Alerts;
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
    pub fn reload_config(&self, path: &Path) {
        let old = self.config();
        // An editor that truncates the file before it writes, or a full disk, leaves an empty file. It is not
        // activated, because it would reset every setting.
        let empty = std::fs::read_to_string(path).is_ok_and(|text| text.trim().is_empty());
        let error = match read_config(path) {
            Ok(config) if config == *old => None,
            Ok(_) if empty => {
                Some(format!("{}:1:1: the file is empty; to use the defaults, write a comment into it", path.display()))
            }
            Ok(config) => self.apply(config).err(),
            Err(error) => Some(error),
        };
        let changed = !Arc::ptr_eq(&old, &self.config());
        let mut status = self.0.config_status.lock();
        status.reloads += u64::from(changed);
        match &error {
            Some(error) if status.stale.as_ref() != Some(error) => {
                tracing::error!(file = %path.display(), %error, "configuration rejected, the previous one stays active");
            }
            None if changed => {
                tracing::info!(file = %path.display(), "configuration activated");
                status.needs_restart = needs_restart(&self.0.initial_config, &self.config());
                if !status.needs_restart.is_empty() {
                    tracing::warn!(settings = ?status.needs_restart, "changed settings take effect after a restart");
                }
            }
            _ => {}
        }
        status.stale = error;
    }

    /// Reloads the configuration whenever the file changes, until the returned guard is dropped.
    ///
    /// # Errors
    /// Returns an error if the watcher thread cannot be started.
    pub fn follow_config(&self, path: &Path) -> std::io::Result<Watch> {
        let (host, file) = (self.clone(), path.to_owned());
        watch(vec![path.to_owned()], move || host.reload_config(&file))
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

/// Reads a configuration file. Relative paths in it (the policy directory and cache, the decision log, `tls_ca`) are
/// resolved against the directory of the file.
///
/// # Errors
/// Returns all errors of the file, as lines of `file:line:column: message`.
pub fn read_config(path: &Path) -> Result<Config, String> {
    let text = read_text(path)?;
    let env = environment(path);
    let mut config = Config::parse(&text, &env).map_err(|diagnostics| in_file(path, &diagnostics))?;
    let base = env.dir;
    config.policies.dir = base.join(&config.policies.dir);
    config.policies.cache = config.policies.cache.map(|cache| base.join(cache));
    config.decisions.file = config.decisions.file.map(|file| base.join(file));
    if let Some(ca) = config.redis.as_mut().and_then(|redis| redis.tls_ca.as_mut()) {
        *ca = base.join(&*ca);
    }
    Ok(config)
}

/// Returns every value of a configuration file with its origin; without a file, those of [`Config::shipped`].
///
/// # Errors
/// Returns all errors of the file, as lines of `file:line:column: message`.
pub fn effective_values(path: Option<&Path>) -> Result<Vec<EffectiveValue>, String> {
    let text = path.map(read_text).transpose()?;
    let path = path.unwrap_or_else(|| Path::new(""));
    Config::effective_values(text.as_deref(), &environment(path)).map_err(|diagnostics| in_file(path, &diagnostics))
}

fn read_text(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the environment of the configuration in a file: secret files are relative to the directory of the file.
fn environment(path: &Path) -> SystemEnv {
    SystemEnv { dir: path.parent().unwrap_or_else(|| Path::new("")).to_owned() }
}

fn in_file(path: &Path, diagnostics: &[Diagnostic]) -> String {
    let lines = diagnostics.iter().map(|diagnostic| format!("{}:{diagnostic}", path.display()));
    lines.collect::<Vec<_>>().join("\n")
}
