//! Policies written as Rhai scripts. A script is parsed once and checked when it is loaded; limits apply while it runs.

mod admit;
mod alert;
mod bodies;
mod check;
mod common;
mod contract;
mod dates;
mod engine;
mod formula;
mod hints;
mod messages;
mod pitfalls;
mod retry;
mod review;
mod run;
mod script;
mod tokens;
mod types;
mod usage;

pub use self::review::review;

use std::sync::Arc;

use parking_lot::Mutex;
use rhai::Engine;
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::config::{Config, PolicyLimits, ResolvedPolicyConfig};
use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy};

use crate::origin::Origin;

/// The Rhai engines of a process. Scripts with the same limits share an engine, because Rhai takes the limits of a
/// script from the engine that parsed it.
pub struct RhaiEngines {
    functions: contract::FunctionArities,
    engines: Mutex<Vec<(PolicyLimits, Arc<Engine>)>>,
}

/// The engine that parses a script, and the functions of that engine.
type EngineParts<'a> = (Arc<Engine>, &'a contract::FunctionArities);

impl RhaiEngines {
    /// Creates an empty set of engines.
    pub fn new() -> Self {
        let functions = contract::functions(&engine::new(&Config::default().policies.limits));
        Self { functions, engines: Mutex::default() }
    }

    /// Loads a retry policy: parses and checks it, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load_retry(
        &self,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn RetryPolicy>, Vec<Diagnostic>> {
        Ok(Arc::new(retry::RetryScript::load(self.parts(config), text, origin, config)?))
    }

    /// Loads an alert condition: parses and checks it, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load_alert(
        &self,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn AlertPolicy>, Vec<Diagnostic>> {
        Ok(Arc::new(alert::AlertScript::load(self.parts(config), text, origin, config)?))
    }

    /// Loads an admission script: parses and checks it, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load_admit(
        &self,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Arc<dyn AdmitPolicy>, Vec<Diagnostic>> {
        Ok(Arc::new(admit::AdmitScript::load(self.parts(config), text, origin, config)?))
    }

    fn parts(&self, config: &ResolvedPolicyConfig) -> EngineParts<'_> {
        let mut engines = self.engines.lock();
        let known = engines.iter().find(|(limits, _)| *limits == config.limits).map(|(_, engine)| Arc::clone(engine));
        let engine = known.unwrap_or_else(|| {
            // Drop the engines that no script uses any more.
            engines.retain(|(_, engine)| Arc::strong_count(engine) > 1);
            let engine = Arc::new(engine::new(&config.limits));
            engines.push((config.limits, Arc::clone(&engine)));
            engine
        });
        (engine, &self.functions)
    }
}

#[cfg(test)]
mod tests;
