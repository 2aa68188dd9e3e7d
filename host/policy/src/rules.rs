//! Alert rules: `alerts.toml` as people write it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::Terms;
use tidegate_core::config::reader::{
    self, Problem, Section, Text, duration, integer, list, parsed, string, suggestion,
};
use tidegate_core::{AlertPolicy, Severity, Timing};

use crate::counted::{Care, Counted};
use crate::decisions::Author;
use crate::engines::Engines;

/// What a rule looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Each platform as a whole.
    Platform,
    /// Each endpoint of each platform.
    Endpoint,
}

/// One rule of `alerts.toml`.
pub struct Rule {
    /// Its name, as in `[rules.NAME]`.
    pub name: String,
    /// How bad it is when the rule fires.
    pub severity: Severity,
    /// When it may speak.
    pub timing: Timing,
    /// The window that the condition sees.
    pub window: Duration,
    /// With fewer calls (refused ones included) in the window, the rule is quiet.
    pub min_samples: u64,
    /// The channels it speaks to.
    pub channels: Vec<String>,
    /// What it looks at.
    pub scope: Scope,
    /// The platforms it looks at; all where it names none.
    pub platforms: Vec<String>,
    /// The condition in its own words, or the policy's file.
    pub condition: String,
    /// The condition.
    pub policy: Arc<dyn AlertPolicy>,
}

/// What the rules of a file may refer to.
pub struct Sources<'a> {
    /// Where in-line conditions are compiled.
    pub engines: &'a Engines,
    /// The file as errors name it.
    pub file: &'a str,
    /// The path that status and counts use, and the generation that in-line conditions come in.
    pub author: Author,
    /// What is kept of in-line conditions.
    pub care: Care,
    /// What in-line conditions may take.
    pub terms: &'a Terms,
    /// The conditions with files of their own; `None` where no version was ever good.
    pub alerts: BTreeMap<&'a str, Option<Arc<dyn AlertPolicy>>>,
}

impl Sources<'_> {
    /// Reads the rules, by name.
    ///
    /// # Errors
    /// Every problem as `file:line:column: message`, one a line.
    pub fn read(&self, text: &str) -> Result<Arc<[Rule]>, String> {
        if text.trim().is_empty() {
            // A writer that truncates first, or a full disk; it would take every rule out of force.
            let words = "the file is empty; to have no rules, delete it or leave a comment in it";
            return Err(format!("{}:1:1: {words}", self.file));
        }
        // What is wrong inside a condition has a place of its own, which the reader cannot know.
        let inside = RefCell::new(vec![]);
        let rules = reader::read(text, |file| {
            let tables = file.tables("rules").into_iter();
            let rules = tables.map(|(name, mut section)| self.rule(&name.value, &mut section, &inside));
            rules.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
        });
        rules.map(Into::into).map_err(|mut problems| {
            problems.extend(inside.take());
            problems.sort();
            self.show(&problems)
        })
    }

    fn show(&self, problems: &[Problem]) -> String {
        problems.iter().map(|problem| format!("{}:{problem}", self.file)).collect::<Vec<_>>().join("\n")
    }

    fn rule(&self, name: &str, section: &mut Section<'_>, inside: &RefCell<Vec<Problem>>) -> Option<Rule> {
        let judge = self.judge(name, section, inside);
        let severity = section.optional("severity", parsed(severity)).unwrap_or(Severity::Warning);
        let window = section.optional("window", duration).unwrap_or(Duration::from_secs(300));
        if window.is_zero() {
            section.refuse_value("window", "expected a window above zero such as \"5m\"");
        }
        let hold = section.optional("for", duration).unwrap_or(Duration::ZERO);
        let cooldown = section.optional("cooldown", duration).unwrap_or(Duration::from_secs(300));
        let min_samples = section.optional("min_samples", integer(0..=u64::MAX)).unwrap_or(1);
        let channels = section.optional("channels", list(string)).unwrap_or_default();
        let scope = section.optional("scope", parsed(scope)).unwrap_or(Scope::Platform);
        let platforms = section.optional("platforms", list(string)).unwrap_or_default();
        let (condition, policy) = judge?;
        let timing = Timing { hold, cooldown };
        let name = name.to_owned();
        Some(Rule { name, severity, timing, window, min_samples, channels, scope, platforms, condition, policy })
    }

    /// The condition with its words: in line, or in a file of its own.
    fn judge(
        &self,
        name: &str,
        section: &mut Section<'_>,
        inside: &RefCell<Vec<Problem>>,
    ) -> Option<(String, Arc<dyn AlertPolicy>)> {
        match (section.has("condition"), section.has("policy")) {
            (true, true) => {
                section.refuse("has both a `condition` and a `policy`; keep one");
                None
            }
            (false, true) => {
                let path = section.optional("policy", string)?;
                let policy = self.policy(&path).map_err(|message| section.refuse_value("policy", &message)).ok()?;
                Some((path, policy))
            }
            (in_line, false) => {
                if !in_line {
                    section.refuse("`condition` (or `policy`, a file) is missing");
                }
                let text = section.optional("condition", reader::text)?;
                let policy =
                    self.condition(name, &text).map_err(|problems| inside.borrow_mut().extend(problems)).ok()?;
                Some((text.value, policy))
            }
        }
    }

    fn condition(&self, rule: &str, text: &Text) -> Result<Arc<dyn AlertPolicy>, Vec<Problem>> {
        let policy = self.engines.condition(self.file, text, self.terms)?;
        let author = Author { rule: Some(rule.into()), ..self.author.clone() };
        Ok(Arc::new(Counted::new(author, policy, self.care.clone(), None)))
    }

    fn policy(&self, path: &str) -> Result<Arc<dyn AlertPolicy>, String> {
        match self.alerts.get(path) {
            Some(Some(policy)) => Ok(Arc::clone(policy)),
            Some(None) => Err(format!("{path} has problems of its own")),
            None => {
                let known: Vec<_> = self.alerts.keys().copied().collect();
                Err(format!("no such file {path:?} in the policies directory; {}", suggestion(path, &known)))
            }
        }
    }
}

fn severity(name: &str) -> Result<Severity, String> {
    let found = Severity::ALL.into_iter().find(|severity| severity.name() == name);
    found.ok_or_else(|| format!("expected \"info\", \"warning\" or \"critical\", not {name:?}"))
}

fn scope(name: &str) -> Result<Scope, String> {
    match name {
        "platform" => Ok(Scope::Platform),
        "endpoint" => Ok(Scope::Endpoint),
        other => Err(format!("expected \"platform\" or \"endpoint\", not {other:?}")),
    }
}
