//! How soon a host with many components is ready: compiled anew, and from the cache.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde_json::{Value, json};
use tidegate::core::config::PoliciesConfig;
use tidegate::policy::Policies;

use super::reload::noted;
use crate::command::{Usage, config_file, configuration};

/// Measure a start.
#[derive(Args)]
pub struct Start {
    /// The component that they all are, each with a note that changes its bytes.
    #[arg(value_name = "FILE")]
    component: PathBuf,
    /// How many.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    components: u64,
}

impl Start {
    /// Starts twice.
    ///
    /// # Errors
    /// Where a file cannot be read or written, or a component is refused.
    pub fn measure(&self) -> Result<Value, Usage> {
        let told = |error: std::io::Error| Usage(format!("{}: {error}", self.component.display()));
        let component = fs::read(&self.component).map_err(told)?;
        let dir = tempfile::tempdir().map_err(told)?;
        let policies = dir.path().join("policies");
        fs::create_dir_all(policies.join("retry")).map_err(told)?;
        for number in 0..self.components {
            let file = policies.join("retry").join(format!("platform_{number}.wasm"));
            fs::write(file, noted(&component, number)).map_err(told)?;
        }
        let shipped = configuration(config_file(None).as_deref())?.policies;
        let (cache, cache_size) = (Some(dir.path().join("cache")), u64::MAX);
        let config = PoliciesConfig { dir: policies, cache, cache_size, ..shipped };
        let (compiled_ms, cached_ms) = (opened(&config)?, opened(&config)?);
        Ok(json!({ "components": self.components, "compiled_ms": compiled_ms, "cached_ms": cached_ms }))
    }
}

/// How long opening takes, in milliseconds.
fn opened(config: &PoliciesConfig) -> Result<f64, Usage> {
    let begun = Instant::now();
    let policies = Policies::open(config);
    let took = begun.elapsed().as_secs_f64() * 1e3;
    match policies.status().into_iter().find_map(|status| status.stale) {
        Some(problem) => Err(Usage(problem)),
        None => Ok((took * 10.0).round() / 10.0),
    }
}
