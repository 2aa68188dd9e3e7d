//! Alert conditions: the variables are the statistics of a window; the last value is a boolean, or a string that
//! describes the alert.

use std::sync::Arc;

use rhai::{Dynamic, ImmutableString};
use tidegate_core::config::ResolvedPolicyConfig;
use tidegate_core::config::reader::Diagnostic;
use tidegate_core::{AlertPolicy, AlertVerdict, Fault, HostView, Snapshot, Stats};

use super::contract::STATS;
use super::engine::ScriptEngine;
use super::formula::Formula;
use super::loader::{CallInput, ScriptKind, ScriptPolicy};
use super::values::{string, string_or_empty, type_label};
use crate::origin::Origin;
use crate::paths::PolicyKind;
use crate::samples;

/// An alert condition.
pub struct AlertScript {
    policy: ScriptPolicy<AlertKind>,
    /// The condition as a formula, if it needs no interpreter.
    formula: Option<Formula>,
}

impl AlertScript {
    /// Parses and checks a condition, and runs it on the samples.
    ///
    /// # Errors
    /// Returns every problem with its position in the script.
    pub fn load(
        engine: &ScriptEngine,
        text: &str,
        origin: Origin,
        config: &ResolvedPolicyConfig,
    ) -> Result<Self, Vec<Diagnostic>> {
        let policy = ScriptPolicy::load(engine, text, origin, config)?;
        let formula = Formula::from_script(policy.ast());
        Ok(Self { policy, formula })
    }
}

impl AlertPolicy for AlertScript {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn HostView>) -> Result<AlertVerdict, Fault> {
        match &self.formula {
            Some(formula) => Ok(firing_if(formula.evaluate(&snapshot.stats))),
            None => self.policy.evaluate(snapshot, view),
        }
    }
}

/// The kind of alert conditions.
pub struct AlertKind;

impl ScriptKind for AlertKind {
    type Input = Snapshot;
    type Output = AlertVerdict;

    const KIND: PolicyKind = PolicyKind::Alert;

    fn samples() -> Vec<(&'static str, Snapshot)> {
        let empty = Stats::default();
        let mut busy = Stats::default();
        busy.count = 1_000;
        busy.success = 800;
        busy.errors = 200;
        busy.limited = 50;
        busy.total_ms = 250_000.0;
        busy.error_rate = 0.2;
        busy.success_rate = 0.8;
        busy.limited_rate = 50.0 / 1_050.0;
        busy.rps = 1_000.0 / 300.0;
        busy.p50 = 200.0;
        busy.p95 = 900.0;
        busy.p99 = 2_000.0;
        let snapshot = |stats| Snapshot::new("sample", stats).with_endpoint("orders");
        vec![("an empty window", snapshot(empty)), ("a busy window", snapshot(busy))]
    }

    fn sample_view(sample: &Snapshot) -> Arc<dyn HostView> {
        samples::view_of(sample.stats.clone())
    }

    fn variable(snapshot: &Snapshot, index: usize) -> Dynamic {
        match index {
            0 => string(&snapshot.platform),
            1 => string_or_empty(snapshot.endpoint.as_deref()),
            _ => STATS.get(index - 2).map_or(Dynamic::UNIT, |(_, read)| Dynamic::from_float(read(&snapshot.stats))),
        }
    }

    fn call_input(snapshot: &Snapshot) -> CallInput<'_> {
        let endpoint = snapshot.endpoint.as_deref();
        CallInput { platform: &snapshot.platform, endpoint, ..CallInput::default() }
    }

    fn output(value: Dynamic) -> Result<AlertVerdict, String> {
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
}

const fn firing_if(condition: bool) -> AlertVerdict {
    if condition { AlertVerdict::Firing { detail: None } } else { AlertVerdict::Quiet }
}
