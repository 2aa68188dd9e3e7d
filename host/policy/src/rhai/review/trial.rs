//! Tries a script on samples until nothing more is to be learnt.
//!
//! The samples begin with an everyday call. Whatever sample brings a condition to an answer that it never gave is
//! itself varied, one input at a time, so conditions inside conditions are found without trying all combinations. What
//! takes several inputs at once is then looked for by throwing dice, from the same seed each time.

use std::collections::BTreeSet;
use std::time::Duration;

use rhai::{Dynamic, Position};
use tidegate_core::{Action, Admission, Verdict};

use super::samples::{Dice, Sample, Samples};
use super::weave::{Probe, Woven};
use crate::load::PolicyKind;
use crate::rhai::run::during;
use crate::rhai::script::misstep;

/// The answer that changes nothing.
pub const ABSTAINS: &str = "abstain";

/// The operations of all samples that differ in one input from one that was known.
const OPERATIONS: u64 = 5_000_000;
/// The operations of all samples that differ in several; as many are enough for five such conditions in a long script.
const COMBINED_OPERATIONS: u64 = 2_500_000;
/// The most samples that differ in several inputs.
const COMBINED: usize = 20_000;
/// The most inputs that differ in one of them.
const CHANGES: usize = 4;
/// The most samples that others are made from.
const MAX_SEEDS: usize = 500;
/// The answers that are told apart: costs and labels may differ on every sample.
const MAX_ANSWERS: usize = 16;

/// A script with what the samples showed of it.
pub struct Trial {
    kind: PolicyKind,
    /// The script with what its conditions came to.
    pub script: Woven,
    samples: Samples,
    /// The samples that brought something new.
    seeds: Vec<Sample>,
    /// The ways through the script that were seen, as numbers.
    paths: BTreeSet<u64>,
    /// The answers that it gave, as far as they are told apart.
    pub answers: BTreeSet<String>,
    /// Where it failed, and on what sample.
    pub faults: Vec<(Position, String)>,
    /// Where it divided by 0, and on what sample.
    pub odd: Vec<(Position, String)>,
    /// Whether all samples were tried that differ in one input.
    pub is_complete: bool,
}

/// What a sample brought.
enum Brought {
    Nothing,
    /// A way through the script that was not seen before.
    Path,
    /// An answer of the script, or of a condition, that was not seen before.
    News,
    Fault(Position, String),
}

impl Trial {
    /// Tries a script.
    pub fn of(kind: PolicyKind, script: Woven, samples: Samples) -> Self {
        let (seeds, paths, answers) = (vec![], BTreeSet::new(), BTreeSet::new());
        let mut trial =
            Self { kind, script, samples, seeds, paths, answers, faults: vec![], odd: vec![], is_complete: false };
        trial.vary();
        if trial.is_complete && !trial.is_clear() {
            trial.combine();
        }
        trial
    }

    /// Samples that differ in one input from one that brought something new.
    fn vary(&mut self) {
        self.script.grant(OPERATIONS);
        let first = self.samples.first();
        self.one(&first);
        self.seeds = vec![first];
        let mut next = 0;
        while let Some(seed) = self.seeds.get(next).cloned().filter(|_| !self.is_clear()) {
            next += 1;
            let around: Vec<_> = self.samples.around(&seed).collect();
            for sample in around {
                if matches!(self.one(&sample), Brought::News) {
                    self.seeds.push(sample);
                }
                if self.script.is_spent() {
                    return;
                }
            }
        }
        self.is_complete = true;
    }

    /// Samples that differ in several inputs.
    fn combine(&mut self) {
        self.script.grant(COMBINED_OPERATIONS);
        let mut dice = Dice::new();
        for _ in 0..COMBINED {
            let mut sample = self.seeds[dice.below(self.seeds.len())].clone();
            for _ in 0..=dice.below(CHANGES) {
                self.samples.change(&mut sample, &mut dice);
            }
            let brought = self.one(&sample);
            if self.script.is_spent() || matches!(brought, Brought::News) && self.is_clear() {
                return;
            }
            if !matches!(brought, Brought::Nothing) && self.seeds.len() < MAX_SEEDS {
                self.seeds.push(sample);
            }
        }
    }

    fn one(&mut self, sample: &Sample) -> Brought {
        let brought = self.ask(sample);
        let Brought::Fault(at, message) = brought else { return brought };
        if !self.samples.is_as_set(sample) || self.script.is_spent() || is_known(&self.faults, at) {
            return Brought::Nothing;
        }
        self.faults.push((at, format!("fails {}: {message}", self.samples.describe(sample))));
        Brought::News
    }

    fn ask(&mut self, sample: &Sample) -> Brought {
        let mut scope = self.samples.scope(sample);
        let call = self.samples.call(sample);
        let ran = during(Some(call), Duration::MAX, || self.script.run(&mut scope));
        let odd = self.note_odd(ran.odd, sample);
        match ran.answer {
            Err(error) => {
                let found = misstep(*error, Duration::MAX).into_problem();
                let column = u16::try_from(found.column).unwrap_or(u16::MAX);
                let line = u16::try_from(found.line).unwrap_or(u16::MAX);
                Brought::Fault(Position::new(line, column), found.message)
            }
            Ok(value) => {
                let Some(name) = self.named(&value) else {
                    return Brought::Fault(self.script.end(), "what comes out is no answer".to_owned());
                };
                let answered = self.answers.len() < MAX_ANSWERS && self.answers.insert(name);
                let path = self.paths.insert(ran.path);
                match (answered || ran.fresh || odd, path) {
                    (true, _) => Brought::News,
                    (false, true) => Brought::Path,
                    (false, false) => Brought::Nothing,
                }
            }
        }
    }

    /// Notes divisions by 0; those under settings that nobody made are no mistake.
    fn note_odd(&mut self, mut odd: Vec<Position>, sample: &Sample) -> bool {
        odd.retain(|at| !is_known(&self.odd, *at) && self.samples.is_as_set(sample));
        self.odd.extend(odd.iter().map(|at| (*at, self.samples.describe(sample))));
        !odd.is_empty()
    }

    /// An answer in words; `None` where it is none.
    fn named(&self, value: &Dynamic) -> Option<String> {
        let verdict = value.clone().try_cast::<Verdict>();
        match self.kind {
            PolicyKind::Retry => verdict.map(|verdict| named(&verdict)),
            PolicyKind::Alert if value.is_string() => Some("fires".to_owned()),
            PolicyKind::Alert => value.as_bool().ok().map(|holds| if holds { "fires" } else { "is quiet" }.to_owned()),
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
        self.answers.len() > 1 && self.script.probes(|probes| !probes.iter().any(Probe::is_constant))
    }
}

fn is_known(places: &[(Position, String)], at: Position) -> bool {
    places.iter().any(|(known, _)| *known == at)
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
