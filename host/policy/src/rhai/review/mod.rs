//! What a script that is taken may still have wrong: it is tried on many samples, and its words are looked at.
//!
//! The samples begin with an everyday call. Whatever sample brings a condition to an answer that it never gave is
//! itself varied, one input at a time, so conditions inside conditions are found without trying all combinations.

mod fields;
mod samples;
mod weave;
mod words;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rhai::{Dynamic, OptimizationLevel, Position, Scope};
use tidegate_core::config::Terms;
use tidegate_core::config::reader::Problem;
use tidegate_core::{Action, Admission, Verdict};

use self::fields::Fields;
use self::samples::{Sample, Samples};
use self::weave::{Probe, Woven};
use super::bodies;
use super::engine;
use super::kinds::Kinds;
use super::names::Contract;
use super::run::during;
use super::script::{misstep, problem};
use super::tokens::Tokens;
use crate::load::PolicyKind;

/// The most samples of one script.
const MAX_SAMPLES: usize = 200_000;
/// The answers that change nothing.
const ABSTAINS: &str = "abstain";
const QUIET: &str = "is quiet";

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
        let samples = Samples::new(contract, fields);
        let mut trial = Trial { kind, script, samples, answers: BTreeSet::new(), odd: vec![], tried: 0 };
        let faults = trial.run();
        notes.extend(trial.notes(faults, &notes));
    }
    notes.sort_by_key(|(at, _)| *at);
    notes.dedup();
    notes.into_iter().map(|(at, message)| problem(at, message)).collect()
}

/// Notes with their places.
type Notes = Vec<(Position, String)>;

struct Trial {
    kind: PolicyKind,
    script: Woven,
    samples: Samples,
    /// The answers that it gave, as far as they are told apart.
    answers: BTreeSet<String>,
    /// Where it divided by 0, and on what sample.
    odd: Notes,
    tried: usize,
}

/// What a sample brought.
enum Brought {
    Nothing,
    /// An answer of the script, or of a condition, that was not seen before.
    News,
    Fault(Position, String),
}

impl Trial {
    /// Tries samples until nothing more is to be learnt; the answer is where the script failed.
    fn run(&mut self) -> Notes {
        let mut faults = Notes::new();
        let first = self.samples.first();
        self.one(&first, &mut faults);
        let mut queue = VecDeque::from([first]);
        while let Some(sample) = queue.pop_front() {
            let around: Vec<_> = self.samples.around(&sample).collect();
            for other in around {
                if self.is_over() {
                    return faults;
                }
                if self.one(&other, &mut faults) {
                    queue.push_back(other);
                }
            }
            if self.is_clear() {
                break;
            }
        }
        faults
    }

    /// Whether the sample brought anything new.
    fn one(&mut self, sample: &Sample, faults: &mut Notes) -> bool {
        self.tried += 1;
        match self.ask(sample) {
            Brought::Nothing => false,
            Brought::News => {
                self.note_odd(sample);
                true
            }
            Brought::Fault(at, message) => {
                let new = !faults.iter().any(|(known, _)| *known == at) && !self.script.is_spent();
                if new {
                    faults.push((at, format!("fails {}: {message}", self.samples.describe(sample))));
                }
                new
            }
        }
    }

    fn note_odd(&mut self, sample: &Sample) {
        let known: Vec<_> = self.odd.iter().map(|(at, _)| *at).collect();
        let odd = |probe: &&Probe| probe.is_odd && !known.contains(&probe.at);
        let new = self.script.probes(|probes| probes.iter().filter(odd).map(|probe| probe.at).collect::<Vec<_>>());
        self.odd.extend(new.into_iter().map(|at| (at, self.samples.describe(sample))));
    }

    fn ask(&mut self, sample: &Sample) -> Brought {
        let mut scope = self.samples.scope(sample);
        let call = self.samples.call(sample);
        let (answer, fresh) = during(Some(call), Duration::MAX, || self.script.run(&mut scope));
        match answer {
            Err(error) => {
                let found = misstep(*error, Duration::MAX).into_problem();
                let column = u16::try_from(found.column).unwrap_or(u16::MAX);
                let line = u16::try_from(found.line).unwrap_or(u16::MAX);
                Brought::Fault(Position::new(line, column), found.message)
            }
            Ok(value) => match self.named(&value) {
                None => Brought::Fault(self.script.end(), "what comes out is no answer".to_owned()),
                Some(name) => {
                    if self.answers.insert(name) || fresh {
                        Brought::News
                    } else {
                        Brought::Nothing
                    }
                }
            },
        }
    }

    /// An answer in words; `None` where it is none.
    fn named(&self, value: &Dynamic) -> Option<String> {
        let verdict = value.clone().try_cast::<Verdict>();
        match self.kind {
            PolicyKind::Retry => verdict.map(|verdict| named(&verdict)),
            PolicyKind::Alert if value.is_string() => Some("fires".to_owned()),
            PolicyKind::Alert => value.as_bool().ok().map(|holds| if holds { "fires" } else { QUIET }.to_owned()),
            PolicyKind::Admit => match value.clone().try_cast::<Admission>() {
                Some(Admission::Allow { cost, scope }) => Some(format!("allow at cost {cost} {scope:?}")),
                Some(Admission::Deny { status, .. }) => Some(format!("deny with {status}")),
                Some(Admission::Default) => Some(ABSTAINS.to_owned()),
                None => verdict.map(|verdict| named(&verdict)),
            },
        }
    }

    /// Whether every condition came to both answers, and the script to more than one.
    fn is_clear(&self) -> bool {
        let decided = |probe: &Probe| probe.truths[0] == probe.truths[1];
        self.answers.len() > 1 && self.script.probes(|probes| probes.iter().all(decided))
    }

    fn is_over(&self) -> bool {
        self.tried >= MAX_SAMPLES || self.script.is_spent()
    }

    /// What the samples showed; what was said of a place in other words is not said again.
    fn notes(&self, faults: Notes, said: &[(Position, String)]) -> Notes {
        let conditions = self.conditions();
        let decided = conditions.is_empty() && said.is_empty() && !self.is_over();
        let mut notes = faults;
        notes.extend(self.quotients());
        notes.extend(conditions);
        notes.retain(|(at, _)| !said.iter().any(|(known, _)| known == at));
        match self.answers.first() {
            // To have no opinion at all may well be meant, and it changes nothing.
            Some(answer) if self.answers.len() == 1 && decided && answer != ABSTAINS => {
                notes.push((self.script.end(), format!("the answer is the same on every sample: {answer}")));
            }
            _ => {}
        }
        notes
    }

    /// Conditions with one answer, the innermost of each. Where the samples ran out, nobody knows what the next would
    /// have shown.
    fn conditions(&self) -> Notes {
        if self.is_over() {
            return vec![];
        }
        self.script.probes(|probes| {
            let is_constant = |probe: &Probe| probe.truths[0] != probe.truths[1];
            let innermost = |at: usize| !probes.iter().any(|inner| is_constant(inner) && is_within(probes, inner, at));
            let constant = probes.iter().enumerate().filter(|(at, probe)| is_constant(probe) && innermost(*at));
            let say = |(_, probe): (usize, &Probe)| {
                let holds = if probe.truths[1] { "holds on every sample" } else { "never holds on any sample" };
                (probe.at, format!("this condition {holds}"))
            };
            constant.map(say).collect()
        })
    }

    fn quotients(&self) -> Notes {
        let say = |(at, sample): &(Position, String)| {
            (*at, format!("divides by 0 {sample}: what comes out is no number; ask first, as in `count > 0 && …`"))
        };
        self.odd.iter().map(say).collect()
    }
}

fn named(verdict: &Verdict) -> String {
    let action = match verdict.action {
        Action::Retry => "retry",
        Action::GiveUp => "give up",
        Action::Default => ABSTAINS,
    };
    let class = verdict.class.map(|class| format!(", {class:?}").to_lowercase()).unwrap_or_default();
    let wait = if verdict.after_ms.is_some() { ", with a wait" } else { "" };
    format!("{action}{class}{wait}")
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
