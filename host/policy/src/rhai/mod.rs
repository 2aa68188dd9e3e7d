//! Policies written as Rhai scripts. A script is parsed once and checked when it is loaded; limits apply while it runs.

mod admit;
mod alert;
mod bodies;
mod check;
mod contract;
mod engine;
mod error;
mod formula;
mod functions;
mod hints;
mod loader;
mod messages;
mod parsed;
mod pitfalls;
mod retry;
mod run;
mod script;
mod tokens;
mod types;
mod usage;
mod values;

pub use self::engine::new_engine;
#[cfg(feature = "scripts")]
pub use self::exports::*;

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::AlertPolicy;
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::config::{Config, PolicyLimits, ResolvedPolicyConfig};

use self::admit::AdmitKind;
use self::alert::AlertScript;
use self::engine::ScriptEngine;
use self::loader::ScriptPolicy;
use self::retry::RetryKind;
use crate::loaded::LoadedPolicy;
use crate::origin::Origin;
use crate::paths::PolicyKind;

/// The Rhai engines of a process. Scripts with the same limits share an engine, because Rhai takes the limits of a
/// script from the engine that parsed it.
pub struct RhaiEngines {
    functions: Arc<contract::FunctionArities>,
    engines: Mutex<Vec<(PolicyLimits, ScriptEngine)>>,
}

impl RhaiEngines {
    /// Creates an empty set of engines.
    pub fn new() -> Self {
        let functions = contract::functions(&new_engine(&Config::default().policies.limits));
        Self { functions: Arc::new(functions), engines: Mutex::default() }
    }

    /// Loads a script of any kind: parses and checks it, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load(
        &self,
        kind: PolicyKind,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<LoadedPolicy, Vec<Diagnostic>> {
        let engine = self.engine(&config.limits);
        Ok(match kind {
            PolicyKind::Retry => {
                LoadedPolicy::Retry(Arc::new(ScriptPolicy::<RetryKind>::load(&engine, text, origin, config)?))
            }
            PolicyKind::Alert => LoadedPolicy::Alert(Arc::new(AlertScript::load(&engine, text, origin, config)?)),
            PolicyKind::Admit => {
                LoadedPolicy::Admit(Arc::new(ScriptPolicy::<AdmitKind>::load(&engine, text, origin, config)?))
            }
        })
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
        Ok(Arc::new(AlertScript::load(&self.engine(&config.limits), text, origin, config)?))
    }

    fn engine(&self, limits: &PolicyLimits) -> ScriptEngine {
        let mut engines = self.engines.lock();
        if let Some((_, engine)) = engines.iter().find(|(known, _)| known == limits) {
            return engine.clone();
        }
        // Drop the engines that no script uses any more.
        engines.retain(|(_, known)| Arc::strong_count(&known.engine) > 1);
        let engine = ScriptEngine { engine: Arc::new(new_engine(limits)), functions: Arc::clone(&self.functions) };
        engines.push((*limits, engine.clone()));
        engine
    }
}

/// What the module `scripts` of this crate shows of scripts.
#[cfg(feature = "scripts")]
mod exports {
    pub use super::bodies::FunctionBody;
    pub use super::contract::{Contract, LIMIT_FIELDS, STATS, StatGetter, ValueType};
    pub use super::error::{diagnostic, error_diagnostic};
    pub use super::parsed::{ParsedScript, optimize};
    pub use super::run::{CallContext, CallView};
    pub use super::tokens::{Literal, Tokens};
    pub use super::types::InferredTypes;
    pub use super::values::truncate;
}

#[cfg(test)]
mod tests;
