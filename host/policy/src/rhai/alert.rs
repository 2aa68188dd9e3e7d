//! Alert conditions: the figures of a window as variables, true, false or a text as the last value.

use std::sync::Arc;
use std::time::Duration;

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString, Position, Scope};
use tidegate_core::config::reader::Problem;
use tidegate_core::units::parse_duration;
use tidegate_core::{AlertPolicy, AlertVerdict, Fault, Snapshot, Stats, Windows};

use super::Shared;
use super::engine::{Call, with_call};
use super::names::{Contract, FIGURES};
use super::retry::named;
use super::script::{Misstep, SAMPLE_DEADLINE, Script};
use crate::origin::Origin;

/// An alert condition.
pub struct AlertScript {
    script: Script,
    deadline: Duration,
}

impl AlertScript {
    /// Reads a condition and tries it on samples.
    ///
    /// # Errors
    /// Every problem, at its place in the script.
    pub fn load(shared: Arc<Shared>, text: &str, origin: Origin) -> Result<Self, Vec<Problem>> {
        let deadline = shared.config.alert_deadline;
        let script = Script::parse(shared, text, origin, &Contract::alert())?;
        let loaded = Self { script, deadline };
        for (name, sample) in samples() {
            let windows = |_: Duration| sample.stats.clone();
            loaded.run(&sample, &windows, SAMPLE_DEADLINE).map_err(|misstep| vec![misstep.on_sample(name)])?;
        }
        Ok(loaded)
    }

    fn run(&self, snapshot: &Snapshot, windows: &dyn Windows, deadline: Duration) -> Result<AlertVerdict, Misstep> {
        let windows = self.script.windows.iter().map(|range| (*range, windows.window(*range))).collect();
        self.script.run(scope(snapshot), Call { headers: vec![], windows }, deadline, verdict)
    }
}

impl AlertPolicy for AlertScript {
    fn evaluate(&self, snapshot: &Snapshot, windows: &dyn Windows) -> Result<AlertVerdict, Fault> {
        self.run(snapshot, windows, self.deadline).map_err(|misstep| self.script.fault(misstep))
    }
}

fn verdict(value: Dynamic) -> Result<AlertVerdict, String> {
    if let Ok(holds) = value.as_bool() {
        return Ok(if holds { AlertVerdict::Firing { detail: None } } else { AlertVerdict::Quiet });
    }
    match value.clone().try_cast::<ImmutableString>() {
        Some(detail) if !detail.is_empty() => Ok(AlertVerdict::Firing { detail: Some(detail.to_string()) }),
        Some(_) => Err("expected true, false or a text as the last value, not an empty text".to_owned()),
        None => Err(format!("expected true, false or a text as the last value, not {}", named(value.type_name()))),
    }
}

fn scope(snapshot: &Snapshot) -> Scope<'static> {
    let mut scope = Scope::new();
    scope.push("platform", snapshot.platform.clone()).push("endpoint", snapshot.endpoint.clone().unwrap_or_default());
    for (name, read) in FIGURES {
        scope.push(name, read(&snapshot.stats));
    }
    scope
}

/// The functions that conditions call.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Stats>("a window");
    for (name, read) in FIGURES {
        engine.register_get(name, move |stats: &mut Stats| read(stats));
    }
    engine.register_fn("window", |range: &str| -> Result<Stats, Box<EvalAltResult>> {
        let found = with_call(|call| {
            let range = parse_duration(range).ok()?;
            call.windows.iter().find(|(known, _)| *known == range).map(|(_, stats)| stats.clone())
        });
        found.ok_or_else(|| {
            let message = format!("the range {range:?} is not written out in the script, as in window(\"1h\")");
            Box::new(EvalAltResult::ErrorRuntime(message.into(), Position::NONE))
        })
    });
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
