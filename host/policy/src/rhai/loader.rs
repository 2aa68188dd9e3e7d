//! Loads and evaluates scripts of every kind. A [`ScriptKind`] says in what the kinds differ.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use rhai::{AST, Dynamic};
use tidegate_core::config::ResolvedPolicyConfig;
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::{Fault, HostView};

use super::engine::ScriptEngine;
use super::error::ScriptError;
use super::run::{CallContext, CallView};
use super::script::{SAMPLE_DEADLINE, Script};
use crate::origin::Origin;
use crate::paths::PolicyKind;
use crate::samples;

/// A kind of scripts: its inputs and results.
pub trait ScriptKind {
    /// What the script decides on.
    type Input;
    /// The result of the script.
    type Output;

    /// What the scripts of this kind decide.
    const KIND: PolicyKind;

    /// Returns named inputs for which every script of this kind must return a result.
    fn samples() -> Vec<(&'static str, Self::Input)>;

    /// Returns the windows and limits for a sample.
    fn sample_view(_sample: &Self::Input) -> Arc<dyn HostView> {
        samples::view()
    }

    /// Returns the value of the input variable at an index of the contract.
    fn variable(input: &Self::Input, index: usize) -> Dynamic;

    /// Returns the parts of the input that host functions use.
    fn call_input(input: &Self::Input) -> CallInput<'_>;

    /// Converts the last value of the script.
    ///
    /// # Errors
    /// Returns what was expected and what was found.
    fn output(value: Dynamic) -> Result<Self::Output, String>;
}

/// The parts of an input that host functions use.
#[derive(Default)]
pub struct CallInput<'a> {
    /// The platform, whose windows the script reads.
    pub platform: &'a str,
    /// The endpoint, if the script reads the windows of one endpoint.
    pub endpoint: Option<&'a str>,
    /// The selected HTTP headers.
    pub headers: &'a [(String, String)],
    /// The labels of the request.
    pub labels: Option<&'a BTreeMap<String, String>>,
}

/// A script of one kind.
pub struct ScriptPolicy<K> {
    script: Script,
    kind: PhantomData<fn() -> K>,
}

impl<K: ScriptKind> ScriptPolicy<K> {
    /// Parses and checks a script, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load(
        engine: &ScriptEngine,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Self, Vec<Diagnostic>> {
        let script = Script::load(engine, text, origin, K::KIND, config)?;
        let loaded = Self { script, kind: PhantomData };
        for (name, sample) in K::samples() {
            let result = loaded.run(&sample, &K::sample_view(&sample), Some(SAMPLE_DEADLINE));
            result.map_err(|error| vec![error.on_sample(name)])?;
        }
        Ok(loaded)
    }

    /// Runs the script on an input.
    ///
    /// # Errors
    /// Returns a fault if the script fails or its result is invalid.
    pub fn evaluate(&self, input: &K::Input, view: &Arc<dyn HostView>) -> Result<K::Output, Fault> {
        self.run(input, view, None).map_err(|error| self.script.fault(error))
    }

    /// Returns whether the script reads an input.
    pub fn reads(&self, input: &str) -> bool {
        self.script.reads(input)
    }

    /// Returns the syntax tree of the script.
    pub const fn ast(&self) -> &AST {
        self.script.ast()
    }

    fn run(
        &self,
        input: &K::Input,
        view: &Arc<dyn HostView>,
        deadline: Option<Duration>,
    ) -> Result<K::Output, ScriptError> {
        let call = self.script.call_context(|needs| {
            let CallInput { platform, endpoint, headers, labels } = K::call_input(input);
            let labels = labels.filter(|_| needs.labels).into_iter().flatten();
            let view = || CallView {
                host: Arc::clone(view),
                platform: platform.to_owned(),
                endpoint: endpoint.map(str::to_owned),
            };
            CallContext {
                headers: if needs.headers { headers.to_vec() } else { vec![] },
                labels: labels.map(|(name, value)| (name.clone(), value.clone())).collect(),
                view: needs.view.then(view),
                ..CallContext::default()
            }
        });
        self.script.run(|index| K::variable(input, index), call, deadline, K::output)
    }
}
