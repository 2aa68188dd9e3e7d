//! Alert conditions: the figures of a window as variables, true, false or a text as the last value.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, ImmutableString};
use tidegate_core::config::Terms;
use tidegate_core::config::reader::Problem;
use tidegate_core::{AlertPolicy, AlertVerdict, Fault, Snapshot, Stats, View};

use super::Tools;
use super::common::{named, text};
use super::formula::Formula;
use super::names::{Contract, FIGURES};
use super::run::Call;
use super::script::{Misstep, SAMPLE_DEADLINE, Script};
use crate::origin::Origin;
use crate::samples;

/// An alert condition.
pub struct AlertScript {
    script: Script,
    /// What it is where no interpreter is needed.
    formula: Option<Formula>,
}

impl AlertScript {
    /// Reads a condition and tries it on samples.
    ///
    /// # Errors
    /// Every problem, at its place in the script.
    pub fn load(tools: Tools<'_>, text: &str, origin: Origin, terms: &Terms) -> Result<Self, Vec<Problem>> {
        let script = Script::parse(tools, text, origin, &Contract::alert(), terms)?;
        let formula = Formula::of(script.ast());
        let loaded = Self { script, formula };
        for (name, sample) in samples() {
            let view = samples::view_of(sample.stats.clone());
            loaded.run(&sample, &view, Some(SAMPLE_DEADLINE)).map_err(|misstep| vec![misstep.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(
        &self,
        snapshot: &Snapshot,
        view: &Arc<dyn View>,
        deadline: Option<Duration>,
    ) -> Result<AlertVerdict, Misstep> {
        let sight = || (Arc::clone(view), snapshot.platform.clone(), snapshot.endpoint.clone());
        let call = self.script.call(|needs| Call { sight: needs.sight.then(sight), ..Call::default() });
        self.script.run(|at| input(snapshot, at), call, deadline, verdict)
    }
}

impl AlertPolicy for AlertScript {
    fn evaluate(&self, snapshot: &Snapshot, view: &Arc<dyn View>) -> Result<AlertVerdict, Fault> {
        match &self.formula {
            Some(formula) => Ok(fires(formula.holds(&snapshot.stats))),
            None => self.run(snapshot, view, None).map_err(|misstep| self.script.fault(misstep)),
        }
    }
}

const fn fires(holds: bool) -> AlertVerdict {
    if holds { AlertVerdict::Firing { detail: None } } else { AlertVerdict::Quiet }
}

/// The input at a place of the contract.
fn input(snapshot: &Snapshot, at: usize) -> Dynamic {
    match at {
        0 => text(&snapshot.platform),
        1 => text(snapshot.endpoint.as_deref().unwrap_or_default()),
        _ => FIGURES.get(at - 2).map_or(Dynamic::UNIT, |(_, read)| Dynamic::from_float(read(&snapshot.stats))),
    }
}

fn verdict(value: Dynamic) -> Result<AlertVerdict, String> {
    if let Ok(holds) = value.as_bool() {
        return Ok(fires(holds));
    }
    match value.clone().try_cast::<ImmutableString>() {
        Some(detail) if !detail.is_empty() => Ok(AlertVerdict::Firing { detail: Some(detail.to_string()) }),
        Some(_) => Err("expected true, false or a text as the last value, not an empty text".to_owned()),
        None => Err(format!("expected true, false or a text as the last value, not {}", named(value.type_name()))),
    }
}

/// Snapshots that every condition must have an answer to.
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
