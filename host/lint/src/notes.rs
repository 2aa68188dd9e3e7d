//! Combines what the source of a script shows with what the samples show.

use rhai::{Engine, Position};
use tidegate_core::config::ResolvedPolicyConfig;
use tidegate_policy::PolicyKind;
use tidegate_policy::scripts::{ParsedScript, optimize};

use crate::explore::{ABSTAINS, Exploration};
use crate::fields::SampleFields;
use crate::instrumented::InstrumentedScript;
use crate::lints::{self, Notes};
use crate::probe::Probe;
use crate::samples::SampleGenerator;

/// Returns notes on a script that passed the checks, in the order of their positions.
pub fn find(engine: Engine, script: ParsedScript, kind: PolicyKind, config: &ResolvedPolicyConfig) -> Notes {
    let mut notes = lints::find(&script);
    let folded = optimize(&engine, script.ast.clone());
    let fields = SampleFields::of_script(&script, &folded);
    let samples = SampleGenerator::new(script.contract.clone(), fields, config.settings.clone());
    if let Some(script) = InstrumentedScript::new(engine, script) {
        let exploration = Exploration::run(kind, config.limits, script, samples);
        notes.extend(exploration_notes(&exploration, &notes));
    }
    notes.sort_by_key(|(at, _)| *at);
    notes.dedup();
    notes
}

/// Returns the notes that result from the samples, without those at a position that already has a note.
fn exploration_notes(exploration: &Exploration, known: &[(Position, String)]) -> Notes {
    let conditions = constant_conditions(exploration);
    let is_certain = conditions.is_empty() && known.is_empty() && exploration.is_complete;
    let divisions = exploration.divisions_by_zero.iter().map(|(at, sample)| {
        (*at, format!("divides by 0 {sample}: the result is not a number; check first, as in `count > 0 && …`"))
    });
    let mut notes: Notes = exploration.faults.iter().cloned().chain(divisions).chain(conditions).collect();
    notes.retain(|(at, _)| !known.iter().any(|(position, _)| position == at));
    match exploration.results.first() {
        // A script that always abstains may be intended, and changes nothing.
        Some(result) if exploration.results.len() == 1 && is_certain && result != ABSTAINS => {
            notes.push((exploration.script.end(), format!("the result is the same for every sample input: {result}")));
        }
        _ => {}
    }
    notes
}

/// Returns the conditions that had the same value on every sample; of nested ones, only the innermost. Returns none if
/// the exploration is not complete, because a further sample might have given the other value.
fn constant_conditions(exploration: &Exploration) -> Notes {
    if !exploration.is_complete {
        return vec![];
    }
    exploration.script.with_probes(|probes| {
        let is_innermost =
            |index: usize| !probes.iter().any(|inner| inner.is_constant() && is_within(probes, inner, index));
        let constant = probes.iter().enumerate().filter(|(index, probe)| probe.is_constant() && is_innermost(*index));
        let note = |(_, probe): (usize, &Probe)| {
            let message = if probe.results[1] {
                "this condition is true for every sample input"
            } else {
                "this condition is false for every sample input"
            };
            (probe.at, message.to_owned())
        };
        constant.map(note).collect()
    })
}

/// Returns whether a probe is part of the probe with the index `outer`.
fn is_within(probes: &[Probe], probe: &Probe, outer: usize) -> bool {
    let mut parent = probe.parent;
    while let Some(index) = parent {
        if index == outer {
            return true;
        }
        parent = probes.get(index).and_then(|probe| probe.parent);
    }
    false
}
