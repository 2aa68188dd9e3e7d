//! Alert conditions: the variables are the statistics of a window; the last value is a boolean, or a string that
//! describes the alert.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};
use tidegate_core::config::ResolvedPolicyConfig;
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::{AlertPolicy, AlertVerdict, Fault, HostView, Snapshot, Stats};

use super::EngineParts;
use super::common::{string, type_label};
use super::contract::{Contract, STATS};
use super::formula::Formula;
use super::run::CallContext;
use super::script::{SAMPLE_DEADLINE, Script, ScriptError};
use crate::origin::Origin;
use crate::samples;

/// An alert condition.
pub struct AlertScript {
    script: Script,
    /// The condition as a formula, if it needs no interpreter.
    formula: Option<Formula>,
}

impl AlertScript {
    /// Parses and checks a condition, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load(
        parts: EngineParts<'_>,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Self, Vec<Diagnostic>> {
        let script = Script::parse(parts, text, origin, &Contract::alert(), config)?;
        let formula = Formula::from_script(script.ast());
        let loaded = Self { script, formula };
        for (name, sample) in samples() {
            let view = samples::view_of(sample.stats.clone());
            loaded.run(&sample, &view, Some(SAMPLE_DEADLINE)).map_err(|error| vec![error.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(
        &self,
        snapshot: &Snapshot,
        view: &Arc<dyn HostView>,
        deadline: Option<Duration>,
    ) -> Result<AlertVerdict, ScriptError> {
        let view = || (Arc::clone(view), snapshot.platform.clone(), snapshot.endpoint.clone());
        let call =
            self.script.call_context(|needs| CallContext { view: needs.view.then(view), ..CallContext::default() });
        self.script.run(|index| input(snapshot, index), call, deadline, to_verdict)
    }
}

impl AlertPolicy for AlertScript {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault> {
        match &self.formula {
            Some(formula) => Ok(firing_if(formula.evaluate(&snapshot.stats))),
            None => self.run(snapshot, view, None).map_err(|error| self.script.fault(error)),
        }
    }
}

const fn firing_if(condition: bool) -> AlertVerdict {
    if condition { AlertVerdict::Firing { detail: None } } else { AlertVerdict::Quiet }
}

/// Returns the value of the input at an index of the contract.
fn input(snapshot: &Snapshot, index: usize) -> Dynamic {
    match index {
        0 => string(&snapshot.platform),
        1 => string(snapshot.endpoint.as_deref().unwrap_or_default()),
        _ => STATS.get(index - 2).map_or(Dynamic::UNIT, |(_, read)| Dynamic::from_float(read(&snapshot.stats))),
    }
}

/// Converts the last value of the script.
fn to_verdict(value: Dynamic) -> Result<AlertVerdict, String> {
    if let Ok(condition) = value.as_bool() {
        return Ok(firing_if(condition));
    }
    match value.clone().try_cast::<ImmutableString>() {
        Some(detail) if !detail.is_empty() => Ok(AlertVerdict::Firing { detail: Some(detail.to_string()) }),
        Some(_) => Err("expected true, false or a string as the last value, found an empty string".to_owned()),
        None => {
            let found = type_label(value.type_name());
            Err(format!("expected true, false or a string as the last value, found {found}"))
        }
    }
}

/// Returns the snapshots for which every condition must return a value.
fn samples() -> [(&'static str, Snapshot); 2] {
    let empty = Stats { success_rate: 1.0, ..Stats::default() };
    let busy = Stats {
        count: 1_000,
        success: 800,
        errors: 200,
        limited: 50,
        total_ms: 250_000.0,
        error_rate: 0.2,
        success_rate: 0.8,
        limited_rate: 50.0 / 1_050.0,
        rps: 1_000.0 / 300.0,
        p50: 200.0,
        p95: 900.0,
        p99: 2_000.0,
        ..Stats::default()
    };
    let snapshot = |stats| Snapshot { platform: "sample".into(), endpoint: Some("orders".into()), stats };
    [("an empty window", snapshot(empty)), ("a busy window", snapshot(busy))]
}
