//! Policies as Rhai scripts: parsed once, checked for misspelt names at load, bounded while they run.

mod alert;
mod check;
mod engine;
mod kinds;
mod names;
mod retry;
mod script;

use std::sync::Arc;

use rhai::Engine;
use tidegate_core::config::PoliciesConfig;
use tidegate_core::config::reader::Problem;
use tidegate_core::{AlertPolicy, RetryPolicy};

use crate::origin::Origin;

/// The one engine of a process, which every script is parsed by and runs on.
pub struct Rhai(Arc<Shared>);

struct Shared {
    engine: Engine,
    functions: names::Functions,
    config: PoliciesConfig,
}

impl Rhai {
    /// An engine with the limits of the configuration.
    pub fn new(config: &PoliciesConfig) -> Self {
        let engine = engine::new(config.max_operations);
        let functions = names::functions(&engine);
        Self(Arc::new(Shared { engine, functions, config: config.clone() }))
    }

    /// Reads a retry classifier and tries it on samples.
    ///
    /// # Errors
    /// Every problem that was found, at its place in the script.
    pub fn retry(&self, text: &str, origin: Origin) -> Result<Arc<dyn RetryPolicy>, Vec<Problem>> {
        Ok(Arc::new(retry::RetryScript::load(Arc::clone(&self.0), text, origin)?))
    }

    /// Reads an alert condition and tries it on samples.
    ///
    /// # Errors
    /// Every problem that was found, at its place in the script.
    pub fn alert(&self, text: &str, origin: Origin) -> Result<Arc<dyn AlertPolicy>, Vec<Problem>> {
        Ok(Arc::new(alert::AlertScript::load(Arc::clone(&self.0), text, origin)?))
    }
}

#[cfg(test)]
mod tests;
