//! Policies as Rhai scripts: parsed once, checked for misspelt names at load, bounded while they run.

mod admit;
mod alert;
mod bodies;
mod check;
mod common;
mod dates;
mod engine;
mod findings;
mod formula;
mod hints;
mod kinds;
mod names;
mod retry;
mod review;
mod run;
mod script;
mod tokens;
mod traps;

pub use self::review::review;

use std::sync::Arc;

use parking_lot::Mutex;
use rhai::Engine;
use tidegate_core::config::reader::Problem;
use tidegate_core::config::{Bounds, Config, Terms};
use tidegate_core::{AdmitPolicy, AlertPolicy, RetryPolicy};

use crate::origin::Origin;

/// The engines of a process, one for all scripts of the same bounds: a script keeps to those of the engine that parsed it.
pub struct Rhai {
    functions: names::Functions,
    engines: Mutex<Vec<(Bounds, Arc<Engine>)>>,
}

/// What a script is parsed with.
type Tools<'a> = (Arc<Engine>, &'a names::Functions);

impl Rhai {
    /// No engine yet.
    pub fn new() -> Self {
        let functions = names::functions(&engine::new(&Config::default().policies.bounds));
        Self { functions, engines: Mutex::default() }
    }

    /// Reads a retry classifier and tries it on samples.
    ///
    /// # Errors
    /// Every problem that was found, at its place in the script.
    pub fn retry(&self, text: &str, origin: Origin, terms: &Terms) -> Result<Arc<dyn RetryPolicy>, Vec<Problem>> {
        Ok(Arc::new(retry::RetryScript::load(self.tools(terms), text, origin, terms)?))
    }

    /// Reads an alert condition and tries it on samples.
    ///
    /// # Errors
    /// Every problem that was found, at its place in the script.
    pub fn alert(&self, text: &str, origin: Origin, terms: &Terms) -> Result<Arc<dyn AlertPolicy>, Vec<Problem>> {
        Ok(Arc::new(alert::AlertScript::load(self.tools(terms), text, origin, terms)?))
    }

    /// Reads an admission script and tries it on samples.
    ///
    /// # Errors
    /// Every problem that was found, at its place in the script.
    pub fn admit(&self, text: &str, origin: Origin, terms: &Terms) -> Result<Arc<dyn AdmitPolicy>, Vec<Problem>> {
        Ok(Arc::new(admit::AdmitScript::load(self.tools(terms), text, origin, terms)?))
    }

    fn tools(&self, terms: &Terms) -> Tools<'_> {
        let mut engines = self.engines.lock();
        let known = engines.iter().find(|(bounds, _)| *bounds == terms.bounds).map(|(_, engine)| Arc::clone(engine));
        let engine = known.unwrap_or_else(|| {
            // One that no script holds any more has had its time.
            engines.retain(|(_, engine)| Arc::strong_count(engine) > 1);
            let engine = Arc::new(engine::new(&terms.bounds));
            engines.push((terms.bounds, Arc::clone(&engine)));
            engine
        });
        (engine, &self.functions)
    }
}

#[cfg(test)]
mod tests;
