//! Runs a script on samples until they show nothing new.
//!
//! The first sample is a typical call. A sample on which a condition has a new value becomes a seed. Each seed is
//! varied by one input at a time. In this way nested conditions are reached without trying all combinations of inputs.
//! Random samples then search for conditions that depend on several inputs at once. The random numbers are the same in
//! every review.

use std::collections::BTreeSet;

use rhai::{Dynamic, Position};
use tidegate_core::config::PolicyLimits;
use tidegate_core::{Action, Admission, Verdict};
use tidegate_policy::PolicyKind;
use tidegate_policy::scripts::error_diagnostic;

use crate::instrumented::InstrumentedScript;
use crate::probe::Probe;
use crate::samples::{Sample, SampleGenerator, SampleRng};

/// The name of the result of a policy that abstains.
pub const ABSTAINS: &str = "abstain";

/// The maximum number of operations of all samples that differ from a seed in one input.
const MAX_VARY_OPERATIONS: u64 = 5_000_000;
/// The maximum number of operations of all random samples. This is enough for five conditions on several inputs in a
/// long script.
const MAX_RANDOM_OPERATIONS: u64 = 2_500_000;
/// The maximum number of random samples.
const MAX_RANDOM_SAMPLES: usize = 20_000;
/// The maximum number of inputs in which a random sample differs from its seed.
const MAX_MUTATIONS: usize = 4;
/// The maximum number of seeds.
const MAX_SEEDS: usize = 500;
/// The maximum number of results that are kept: costs and labels may differ on every sample.
const MAX_RESULTS: usize = 16;

/// A script, and what the samples show about it.
pub struct Exploration {
    kind: PolicyKind,
    limits: PolicyLimits,
    /// The script, with the values of its conditions.
    pub script: InstrumentedScript,
    samples: SampleGenerator,
    /// The samples that showed something new.
    seeds: Vec<Sample>,
    /// The hashes of the paths through the script.
    paths: BTreeSet<u64>,
    /// The different results of the script.
    pub results: BTreeSet<String>,
    /// Where the script failed, and on which sample.
    pub faults: Vec<(Position, String)>,
    /// Where the script divided by 0, and on which sample.
    pub divisions_by_zero: Vec<(Position, String)>,
    /// Whether all samples were tried that differ from a seed in one input.
    pub is_complete: bool,
}

/// What a sample shows.
enum SampleOutcome {
    NothingNew,
    /// A new path through the script.
    NewPath,
    /// A new result of the script, or a new value of a condition.
    NewResult,
    Fault(Position, String),
}

impl Exploration {
    /// Runs a script on samples.
    pub fn run(kind: PolicyKind, limits: PolicyLimits, script: InstrumentedScript, samples: SampleGenerator) -> Self {
        let mut exploration = Self {
            kind,
            limits,
            script,
            samples,
            seeds: vec![],
            paths: BTreeSet::new(),
            results: BTreeSet::new(),
            faults: vec![],
            divisions_by_zero: vec![],
            is_complete: false,
        };
        exploration.vary();
        if exploration.is_complete && !exploration.is_exhausted() {
            exploration.randomize();
        }
        exploration
    }

    /// Tries the samples that differ from a seed in one input.
    fn vary(&mut self) {
        self.script.set_budget(MAX_VARY_OPERATIONS);
        let typical = self.samples.typical();
        self.try_sample(&typical);
        self.seeds = vec![typical];
        let mut next = 0;
        while let Some(seed) = self.seeds.get(next).cloned().filter(|_| !self.is_exhausted()) {
            next += 1;
            let neighbors: Vec<_> = self.samples.neighbors(&seed).collect();
            for sample in neighbors {
                if matches!(self.try_sample(&sample), SampleOutcome::NewResult) {
                    self.seeds.push(sample);
                }
                if self.script.is_budget_spent() {
                    return;
                }
            }
        }
        self.is_complete = true;
    }

    /// Tries random samples that differ from a seed in several inputs.
    fn randomize(&mut self) {
        self.script.set_budget(MAX_RANDOM_OPERATIONS);
        let mut rng = SampleRng::new();
        for _ in 0..MAX_RANDOM_SAMPLES {
            let mut sample = self.seeds[rng.below(self.seeds.len())].clone();
            for _ in 0..=rng.below(MAX_MUTATIONS) {
                self.samples.mutate(&mut sample, &mut rng);
            }
            let outcome = self.try_sample(&sample);
            if self.script.is_budget_spent() || matches!(outcome, SampleOutcome::NewResult) && self.is_exhausted() {
                return;
            }
            if !matches!(outcome, SampleOutcome::NothingNew) && self.seeds.len() < MAX_SEEDS {
                self.seeds.push(sample);
            }
        }
    }

    fn try_sample(&mut self, sample: &Sample) -> SampleOutcome {
        let outcome = self.evaluate(sample);
        let SampleOutcome::Fault(at, message) = outcome else { return outcome };
        // A fault under settings that are not configured is not a mistake.
        if !self.samples.has_configured_settings(sample) || self.script.is_budget_spent() || is_known(&self.faults, at)
        {
            return SampleOutcome::NothingNew;
        }
        self.faults.push((at, format!("fails {}: {message}", self.samples.describe(sample))));
        SampleOutcome::NewResult
    }

    fn evaluate(&mut self, sample: &Sample) -> SampleOutcome {
        let mut scope = self.samples.scope(sample);
        let call = self.samples.call_context(sample);
        let run = call.provide(|| self.script.run(&mut scope));
        let has_new_division = self.record_divisions(run.divisions_by_zero, sample);
        match run.value {
            Err(error) => {
                let diagnostic = error_diagnostic(&error, &self.limits);
                let column = u16::try_from(diagnostic.position.column).unwrap_or(u16::MAX);
                let line = u16::try_from(diagnostic.position.line).unwrap_or(u16::MAX);
                SampleOutcome::Fault(Position::new(line, column), diagnostic.message)
            }
            Ok(value) => {
                let Some(result) = self.result_label(&value) else {
                    return SampleOutcome::Fault(self.script.end(), "the last value is not a valid result".to_owned());
                };
                let is_new_result = self.results.len() < MAX_RESULTS && self.results.insert(result);
                let is_new_path = self.paths.insert(run.path);
                match (is_new_result || run.has_new_value || has_new_division, is_new_path) {
                    (true, _) => SampleOutcome::NewResult,
                    (false, true) => SampleOutcome::NewPath,
                    (false, false) => SampleOutcome::NothingNew,
                }
            }
        }
    }

    /// Records divisions by 0, unless the sample has settings that are not configured; returns whether one is new.
    fn record_divisions(&mut self, mut divisions: Vec<Position>, sample: &Sample) -> bool {
        divisions.retain(|at| !is_known(&self.divisions_by_zero, *at) && self.samples.has_configured_settings(sample));
        self.divisions_by_zero.extend(divisions.iter().map(|at| (*at, self.samples.describe(sample))));
        !divisions.is_empty()
    }

    /// Returns a description of the script's result; `None` if the value is not a valid result.
    fn result_label(&self, value: &Dynamic) -> Option<String> {
        let verdict = value.clone().try_cast::<Verdict>();
        match self.kind {
            PolicyKind::Retry => verdict.map(|verdict| verdict_label(&verdict)),
            PolicyKind::Alert if value.is_string() => Some("fires".to_owned()),
            PolicyKind::Alert => {
                value.as_bool().ok().map(|firing| if firing { "fires" } else { "does not fire" }.to_owned())
            }
            PolicyKind::Admit => match value.clone().try_cast::<Admission>() {
                Some(Admission::Allow { cost, scope }) => Some(format!("allow with cost {cost} {scope:?}")),
                Some(Admission::Deny { status, .. }) => Some(format!("deny with status {status}")),
                Some(Admission::Default) => Some(ABSTAINS.to_owned()),
                None => verdict.map(|verdict| verdict_label(&verdict)),
            },
        }
    }

    /// Returns whether every condition was both true and false, and the script had several results.
    fn is_exhausted(&self) -> bool {
        self.results.len() > 1 && self.script.with_probes(|probes| !probes.iter().any(Probe::is_constant))
    }
}

fn is_known(positions: &[(Position, String)], at: Position) -> bool {
    positions.iter().any(|(known, _)| *known == at)
}

fn verdict_label(verdict: &Verdict) -> String {
    let action = match verdict.action {
        Action::Retry => "retry",
        Action::GiveUp => "give up",
        Action::Default => ABSTAINS,
    };
    let class = verdict.class.map(|class| format!(", {class}")).unwrap_or_default();
    let wait = if verdict.after_ms.is_some() { ", with a wait" } else { "" };
    format!("{action}{class}{wait}")
}
