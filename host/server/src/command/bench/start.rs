//! Measures how long a host with many components takes to load them: compiled, and from the cache.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tidegate_core::config::PoliciesConfig;
use tidegate_policy::Policies;

use super::reload::with_unique_section;
use crate::command::{UsageError, config_file, configuration};

/// The options of `tidegate bench start`.
#[derive(Args)]
pub struct Start {
    /// The component to load. Each copy gets an extra section, so that its bytes differ.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    /// The number of copies to load.
    #[arg(long, value_name = "COUNT", default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    components: u64,
}

impl Start {
    /// Loads all copies twice: without a cache, and with the cache that the first run has filled.
    ///
    /// # Errors
    /// Returns an error if a file cannot be read or written, or if the component is rejected.
    pub fn measure(&self) -> Result<Value, UsageError> {
        let failed = |error: std::io::Error| UsageError(format!("{}: {error}", self.component.display()));
        let component = fs::read(&self.component).map_err(failed)?;
        let dir = tempfile::tempdir().map_err(failed)?;
        let policies = dir.path().join("policies");
        fs::create_dir_all(policies.join("retry")).map_err(failed)?;
        for number in 0..self.components {
            let file = policies.join("retry").join(format!("platform_{number}.wasm"));
            fs::write(file, with_unique_section(&component, number)).map_err(failed)?;
        }
        let configured = configuration(config_file(None).as_ref())?.policies;
        let mut config = configured.with_dir(policies).with_cache(dir.path().join("cache"));
        config.cache_size = u64::MAX;
        let (compiled_ms, cached_ms) = (load_ms(&config)?, load_ms(&config)?);
        Ok(json!({ "components": self.components, "compiled_ms": compiled_ms, "cached_ms": cached_ms }))
    }
}

/// Returns how long it takes to load all policies, in milliseconds.
fn load_ms(config: &PoliciesConfig) -> Result<f64, UsageError> {
    let started_at = Instant::now();
    let policies = Policies::open(config);
    let elapsed_ms = started_at.elapsed().as_secs_f64() * 1e3;
    match policies.status().into_iter().find_map(|status| status.stale) {
        Some(error) => Err(UsageError(error)),
        None => Ok((elapsed_ms * 10.0).round() / 10.0),
    }
}
