//! The configuration file, followed while it is edited.

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;
use tidegate_core::config::{Config, SystemEnv};
use tidegate_policy::Policies;
use tidegate_policy::watch::{Watch, watch};

use crate::{Alerts, Host};

/// Whether the configuration file is in force.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConfigStatus {
    /// How often a new configuration was put in force since the start.
    pub reloads: u64,
    /// Why the file as it is now is not in force: `file:line:column: message`, one a line.
    pub stale: Option<String>,
    /// What was edited and takes a restart to be in force.
    pub needs_restart: Vec<&'static str>,
}

impl Host {
    /// The alerts of this host.
    #[must_use]
    pub fn alerts(&self) -> &Alerts {
        &self.0.alerts
    }

    /// The policies of this host.
    #[must_use]
    pub fn policies(&self) -> Option<&Arc<Policies>> {
        self.0.policies.as_ref()
    }

    /// Whether the configuration file is in force.
    #[must_use]
    pub fn config_status(&self) -> ConfigStatus {
        self.0.config_status.lock().clone()
    }

    /// Puts the file in force if it says anything new; on any error the old configuration stays and the status says why.
    pub fn reload_config(&self, path: &Path) {
        let old = self.config();
        // A writer that truncates first, or a full disk; it would put every default in force.
        let empty = std::fs::read_to_string(path).is_ok_and(|text| text.trim().is_empty());
        let problem = match read_config(path) {
            Ok(config) if config == *old => None,
            Ok(_) if empty => Some(format!("{}:1:1: the file is empty; a comment means the defaults", path.display())),
            Ok(config) => self.apply(config).err(),
            Err(problem) => Some(problem),
        };
        let changed = !Arc::ptr_eq(&old, &self.config());
        let mut status = self.0.config_status.lock();
        status.reloads += u64::from(changed);
        match &problem {
            Some(problem) if status.stale.as_ref() != Some(problem) => {
                tracing::error!("configuration refused, the old one stays:\n{problem}");
            }
            None if changed => {
                tracing::info!(file = %path.display(), "configuration in force");
                status.needs_restart = needs_restart(&self.0.begun, &self.config());
                if !status.needs_restart.is_empty() {
                    tracing::warn!(parts = ?status.needs_restart, "these take a restart to be in force");
                }
            }
            _ => {}
        }
        status.stale = problem;
    }

    /// Reloads the configuration whenever the file changes, until the guard is dropped.
    ///
    /// # Errors
    /// Where the thread that watches cannot be started.
    pub fn follow_config(&self, path: &Path) -> std::io::Result<Watch> {
        let (host, file) = (self.clone(), path.to_owned());
        watch(vec![path.to_owned()], move || host.reload_config(&file))
    }

    /// Reloads the policies whenever their directory changes, until the guard is dropped.
    ///
    /// # Errors
    /// Where the thread that watches cannot be started.
    pub fn follow_policies(&self) -> std::io::Result<Option<Watch>> {
        self.policies().map(Policies::watch).transpose()
    }
}

/// What is read at the start alone and is another now.
fn needs_restart(begun: &Config, now: &Config) -> Vec<&'static str> {
    let (before, after) = (&begun.policies, &now.policies);
    let parts = [
        ("[server]", begun.server != now.server),
        ("[metrics]", begun.metrics != now.metrics),
        ("[redis]", begun.redis != now.redis),
        ("[policies] dir", before.dir != after.dir),
        ("[policies] cache", (&before.cache, before.cache_size) != (&after.cache, after.cache_size)),
    ];
    parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

/// Reads a configuration file; the directory of policies, the file of decisions and `tls_ca` become relative to it.
///
/// # Errors
/// Every problem as `file:line:column: message`, one a line.
pub fn read_config(path: &Path) -> Result<Config, String> {
    let file = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| format!("{file}: {error}"))?;
    let base = path.parent().unwrap_or_else(|| Path::new(""));
    let mut config = Config::parse(&text, &SystemEnv { dir: base.to_owned() }).map_err(|problems| {
        problems.iter().map(|problem| format!("{file}:{problem}")).collect::<Vec<_>>().join("\n")
    })?;
    config.policies.dir = base.join(&config.policies.dir);
    config.policies.cache = config.policies.cache.map(|cache| base.join(cache));
    config.decisions.file = config.decisions.file.map(|file| base.join(file));
    if let Some(ca) = config.redis.as_mut().and_then(|redis| redis.tls_ca.as_mut()) {
        *ca = base.join(&*ca);
    }
    Ok(config)
}
