//! Reads the alert rules of `alerts.toml`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tidegate_core::config::ResolvedPolicyConfig;
use tidegate_core::config::reader::{
    self, Diagnostic, Section, SpannedString, duration, integer, list, parsed, string, with_suggestion,
};
use tidegate_core::{AlertPolicy, AlertTiming, BuiltinAlert, Severity, text_enum};

use crate::decisions::PolicyId;
use crate::engines::Engines;
use crate::tracked::{PolicyContext, TrackedPolicy};

/// The values of the keys that a rule may omit.
const DEFAULT_SEVERITY: Severity = Severity::Warning;
const DEFAULT_WINDOW: Duration = Duration::from_secs(300);
const DEFAULT_COOLDOWN: Duration = Duration::from_secs(300);
const DEFAULT_MIN_SAMPLES: u64 = 1;

/// What a rule is evaluated for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleScope {
    /// Each platform as a whole.
    Platform,
    /// Each endpoint of each platform.
    Endpoint,
}

text_enum!(RuleScope { Platform => "platform", Endpoint => "endpoint" });

/// One rule of `alerts.toml`.
#[non_exhaustive]
pub struct Rule {
    /// The name, as in `[rules.NAME]`.
    pub name: String,
    /// The severity of the alert.
    pub severity: Severity,
    /// How long the condition must be met before the alert fires, and the minimum time between notifications.
    pub timing: AlertTiming,
    /// The time window whose statistics the condition receives.
    pub window: Duration,
    /// The minimum number of calls in the window, refused calls included. With fewer calls the rule is quiet.
    pub min_samples: u64,
    /// The channels that are notified.
    pub channels: Vec<String>,
    /// What the rule is evaluated for.
    pub scope: RuleScope,
    /// The platforms that the rule applies to. Empty means all.
    pub platforms: Vec<String>,
    /// The text of the condition, or the path of the policy file.
    pub condition: String,
    /// The condition.
    pub policy: Arc<dyn AlertPolicy>,
}

impl Rule {
    /// Creates a rule that is evaluated for each platform, with the defaults of `alerts.toml`.
    #[must_use]
    pub fn new(name: impl Into<String>, condition: impl Into<String>, policy: Arc<dyn AlertPolicy>) -> Self {
        Self {
            name: name.into(),
            severity: DEFAULT_SEVERITY,
            timing: AlertTiming::new(Duration::ZERO, DEFAULT_COOLDOWN),
            window: DEFAULT_WINDOW,
            min_samples: DEFAULT_MIN_SAMPLES,
            channels: Vec::new(),
            scope: RuleScope::Platform,
            platforms: Vec::new(),
            condition: condition.into(),
            policy,
        }
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Rule");
        debug.field("name", &self.name).field("condition", &self.condition).field("scope", &self.scope);
        debug.finish_non_exhaustive()
    }
}

/// Reads the rules of a file.
pub struct RuleReader<'a> {
    /// Compiles inline conditions.
    pub engines: &'a Engines,
    /// The file name that errors use.
    pub file: &'a str,
    /// The file's path in the status, and the generation of inline conditions.
    pub id: PolicyId,
    /// The counters, fault threshold and decision log of inline conditions.
    pub context: PolicyContext,
    /// The configuration of inline conditions.
    pub config: &'a ResolvedPolicyConfig,
    /// The alert conditions by path. `None` if no version of the file was ever accepted.
    pub alerts: BTreeMap<&'a str, Option<Arc<dyn AlertPolicy>>>,
}

impl RuleReader<'_> {
    /// Reads the rules, by name.
    ///
    /// # Errors
    /// Returns every error as `file:line:column: message`, one per line.
    pub fn read(&self, text: &str) -> Result<Arc<[Rule]>, String> {
        if text.trim().is_empty() {
            // An editor may truncate the file before it writes, and a full disk may leave it empty. An empty file must
            // not deactivate every rule.
            let hint = "to have no rules, delete the file or add a comment line";
            return Err(format!("{}:1:1: the file is empty; {hint}", self.file));
        }
        // The reader does not know the positions of errors inside a condition, so they are collected separately.
        let condition_errors = RefCell::new(vec![]);
        let rules = reader::read(text, |file| {
            let tables = file.tables("rules").into_iter();
            let rules = tables.map(|(name, mut section)| self.rule(&name.value, &mut section, &condition_errors));
            Some(rules.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>())
        });
        let errors = match rules {
            Ok(Some(rules)) => return Ok(rules.into()),
            Ok(None) => None,
            Err(errors) => Some(errors),
        };
        let mut errors: Vec<_> = errors.into_iter().flatten().chain(condition_errors.take()).collect();
        errors.sort();
        Err(self.format_lines(&errors))
    }

    fn format_lines(&self, errors: &[Diagnostic]) -> String {
        errors.iter().map(|error| format!("{}:{error}", self.file)).collect::<Vec<_>>().join("\n")
    }

    fn rule(&self, name: &str, section: &mut Section<'_>, condition_errors: &RefCell<Vec<Diagnostic>>) -> Option<Rule> {
        if name.parse::<BuiltinAlert>().is_ok() {
            section.reject("this is the name of a built-in alert; choose another name");
        }
        let condition = self.condition(name, section, condition_errors);
        let severity = section.optional("severity", parsed(str::parse::<Severity>)).unwrap_or(DEFAULT_SEVERITY);
        let window = section.optional("window", duration).unwrap_or(DEFAULT_WINDOW);
        if window.is_zero() {
            section.reject_value("window", "expected a window above zero, such as \"5m\"");
        }
        let hold = section.optional("for", duration).unwrap_or(Duration::ZERO);
        let cooldown = section.optional("cooldown", duration).unwrap_or(DEFAULT_COOLDOWN);
        let min_samples = section.optional("min_samples", integer(0..=u64::MAX)).unwrap_or(DEFAULT_MIN_SAMPLES);
        let channels = section.optional("channels", list(string)).unwrap_or_default();
        let scope = section.optional("scope", parsed(str::parse::<RuleScope>)).unwrap_or(RuleScope::Platform);
        let platforms = section.optional("platforms", list(string)).unwrap_or_default();
        let (condition, policy) = condition?;
        let timing = AlertTiming::new(hold, cooldown);
        let name = name.to_owned();
        Some(Rule { name, severity, timing, window, min_samples, channels, scope, platforms, condition, policy })
    }

    /// Reads the condition of a rule, which is inline or an alert condition in a file. Returns it with its text or
    /// path.
    fn condition(
        &self,
        name: &str,
        section: &mut Section<'_>,
        condition_errors: &RefCell<Vec<Diagnostic>>,
    ) -> Option<(String, Arc<dyn AlertPolicy>)> {
        match (section.contains_key("condition"), section.contains_key("policy")) {
            (true, true) => {
                section.reject("has both `condition` and `policy`; remove one");
                None
            }
            (false, true) => {
                let path = section.optional("policy", string)?;
                let policy =
                    self.policy_file(&path).map_err(|message| section.reject_value("policy", &message)).ok()?;
                Some((path, policy))
            }
            (has_condition, false) => {
                if !has_condition {
                    section.reject("`condition` is missing; add `condition`, or `policy` with the path of a file");
                }
                let text = section.optional("condition", reader::spanned_string)?;
                let policy = self
                    .inline_condition(name, &text)
                    .map_err(|errors| condition_errors.borrow_mut().extend(errors))
                    .ok()?;
                Some((text.value, policy))
            }
        }
    }

    fn inline_condition(&self, rule: &str, text: &SpannedString) -> Result<Arc<dyn AlertPolicy>, Vec<Diagnostic>> {
        let policy = self.engines.condition(self.file, text, self.config)?;
        let id = PolicyId { rule: Some(rule.into()), ..self.id.clone() };
        Ok(Arc::new(TrackedPolicy::new(id, policy, self.context.clone(), None)))
    }

    fn policy_file(&self, path: &str) -> Result<Arc<dyn AlertPolicy>, String> {
        match self.alerts.get(path) {
            Some(Some(policy)) => Ok(Arc::clone(policy)),
            Some(None) => Err(format!("the policy {path} was rejected")),
            None => {
                let known: Vec<_> = self.alerts.keys().copied().collect();
                let message = format!("no such file {path:?} in the policy directory");
                if known.is_empty() {
                    return Err(format!("{message}; `alerts/` contains no policies"));
                }
                Err(with_suggestion(message, path, &known))
            }
        }
    }
}
