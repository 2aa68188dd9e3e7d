//! What a script that is taken may still have wrong: it is tried on many samples, and its words are looked at.

mod constants;
mod fields;
mod samples;
mod trial;
mod weave;
mod weaver;
mod words;

use rhai::{Dynamic, OptimizationLevel, Position, Scope};
use tidegate_core::config::Terms;
use tidegate_core::config::reader::Problem;

use self::fields::Fields;
use self::samples::Samples;
use self::trial::{ABSTAINS, Trial};
use self::weave::{Probe, Woven};
use super::bodies;
use super::engine;
use super::kinds::Kinds;
use super::names::Contract;
use super::script::problem;
use super::tokens::Tokens;
use crate::load::PolicyKind;

/// Notes on a script that was taken, in the order of their places.
pub fn review(text: &str, kind: PolicyKind, terms: &Terms) -> Vec<Problem> {
    let contract = match kind {
        PolicyKind::Retry => Contract::retry(),
        PolicyKind::Alert => Contract::alert(),
        PolicyKind::Admit => Contract::admit(),
    };
    let engine = engine::new(&terms.bounds);
    let mut scope = Scope::new();
    for (name, _) in &contract.inputs {
        scope.push_dynamic(*name, Dynamic::UNIT);
    }
    let Ok(ast) = engine.compile_with_scope(&scope, text) else { return vec![] };
    let tokens = Tokens::of(&engine, text);
    let bodies = bodies::of(&ast);
    let mut kinds = Kinds::of_script(&bodies, &contract);
    let mut notes = words::notes(&bodies, &mut kinds);
    let folded = engine.optimize_ast(&Scope::new(), ast.clone(), OptimizationLevel::Simple);
    let fields = Fields::of(&ast, &folded, &tokens, &contract);
    if let Some(script) = Woven::new(engine, &ast) {
        let samples = Samples::new(contract, fields, terms.settings.clone());
        let trial = Trial::of(kind, script, samples);
        notes.extend(seen(&trial, &notes));
    }
    notes.sort_by_key(|(at, _)| *at);
    notes.dedup();
    notes.into_iter().map(|(at, message)| problem(at, message)).collect()
}

/// Notes with their places.
type Notes = Vec<(Position, String)>;

/// What the samples showed; what was said of a place in other words is not said again.
fn seen(trial: &Trial, said: &[(Position, String)]) -> Notes {
    let conditions = conditions(trial);
    let decided = conditions.is_empty() && said.is_empty() && trial.is_complete;
    let quotients = trial.odd.iter().map(|(at, sample)| {
        (*at, format!("divides by 0 {sample}: what comes out is no number; ask first, as in `count > 0 && …`"))
    });
    let mut notes: Notes = trial.faults.iter().cloned().chain(quotients).chain(conditions).collect();
    notes.retain(|(at, _)| !said.iter().any(|(known, _)| known == at));
    match trial.answers.first() {
        // To have no opinion at all may well be meant, and it changes nothing.
        Some(answer) if trial.answers.len() == 1 && decided && answer != ABSTAINS => {
            notes.push((trial.script.end(), format!("the answer is the same on every sample: {answer}")));
        }
        _ => {}
    }
    notes
}

/// Conditions with one answer, the innermost of each. Where the samples ran out, nobody knows what the next would
/// have shown.
fn conditions(trial: &Trial) -> Notes {
    if !trial.is_complete {
        return vec![];
    }
    trial.script.probes(|probes| {
        let innermost = |at: usize| !probes.iter().any(|inner| inner.is_constant() && is_within(probes, inner, at));
        let constant = probes.iter().enumerate().filter(|(at, probe)| probe.is_constant() && innermost(*at));
        let say = |(_, probe): (usize, &Probe)| {
            let holds = if probe.truths[1] { "holds on every sample" } else { "never holds on any sample" };
            (probe.at, format!("this condition {holds}"))
        };
        constant.map(say).collect()
    })
}

/// Whether a probe is a part of the one at a place.
fn is_within(probes: &[Probe], probe: &Probe, outer: usize) -> bool {
    let mut parent = probe.parent;
    while let Some(at) = parent {
        if at == outer {
            return true;
        }
        parent = probes.get(at).and_then(|probe| probe.parent);
    }
    false
}
