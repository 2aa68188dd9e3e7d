//! A case file as people write it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tidegate::core::config::reader::{self, Section, parsed, scalar, string, text};
use tidegate::core::config::{PoliciesConfig, PolicyConfig, Settings};
use tidegate::core::{Failure, LimitState, Request, Stats, View};
use tidegate::policy::PolicyKind;

use super::fields;
use super::find::Tested;
use super::given::Given;
use super::input::{AlertInput, Answer};

/// The cases of one policy.
#[derive(Debug)]
pub struct CaseFile {
    /// What the policy is set to, for all cases.
    pub settings: Option<Settings>,
    /// The cases, in their order.
    pub cases: Vec<Case>,
}

/// One case.
#[derive(Debug)]
pub struct Case {
    /// What it shows.
    pub name: String,
    /// The line that its name stands in.
    pub line: usize,
    /// The rule that is asked, where it is one of `alerts.toml`.
    pub rule: Option<String>,
    /// What must be answered, by field.
    pub expect: Value,
    /// What is asked.
    pub(super) asked: Asked,
    at_ms: u64,
    /// What `window` answers, by range; a condition's other windows are as the rule's own.
    windows: BTreeMap<String, Stats>,
    /// What `limit` answers, by name.
    limits: BTreeMap<String, LimitState>,
}

/// What a policy is asked.
#[derive(Debug)]
pub enum Asked {
    /// A retry policy, about a failure.
    Failure(Failure),
    /// A retry policy, about the failure that an answer holds.
    Answer(Answer),
    /// An admission policy.
    Request(Request),
    /// A condition.
    Alert(AlertInput),
}

impl CaseFile {
    /// Reads the cases of a policy of a kind; of rules, where there is none.
    ///
    /// # Errors
    /// Every mistake as `file:line:column: message`, one a line.
    pub fn parse(file: &str, text: &str, kind: Option<PolicyKind>) -> Result<Self, String> {
        let read = reader::read(text, |top| {
            let settings = top.has("settings").then(|| top.values("settings", scalar));
            let sections = top.sections("case");
            if sections.is_empty() {
                top.refuse("no case; expected [[case]] with a name, an input and what to expect");
            }
            let cases: Vec<_> = sections.into_iter().map(|mut section| case(&mut section, kind)).collect();
            Some(Self { settings, cases: cases.into_iter().collect::<Option<_>>()? })
        });
        let line = |problem: &reader::Problem| format!("{file}:{problem}");
        read.map_err(|problems| problems.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    /// The configuration with the settings of this file.
    pub(super) fn with_settings(&self, tested: &Tested, kind: PolicyKind, config: &PoliciesConfig) -> PoliciesConfig {
        let mut config = config.clone();
        if let Some(settings) = &self.settings {
            let name = format!("{}/{}", kind.folder(), tested.platform());
            let own = PolicyConfig { deadline: None, bounds: config.bounds, settings: Settings::new() };
            config.each.entry(name).or_insert(own).settings.clone_from(settings);
        }
        config
    }
}

fn case(section: &mut Section<'_>, kind: Option<PolicyKind>) -> Option<Case> {
    let name = section.required("name", text);
    let rule = if kind.is_none() { section.required("rule", string) } else { None };
    let at_ms = section.optional("at", parsed(milliseconds)).unwrap_or(0);
    let asked = match kind {
        Some(PolicyKind::Retry) => failure(section),
        Some(PolicyKind::Admit) => {
            section.required_table("input").map(|mut it| Asked::Request(fields::request(&mut it)))
        }
        Some(PolicyKind::Alert) | None => alert(section),
    };
    let expect = section.required_table("expect").map(|mut it| fields::expected(&mut it, kind));
    let (windows, limits) = (fields::windows(section), fields::limits(section));
    let name = name?;
    Some(Case { line: name.at.line, name: name.value, rule, expect: expect?, asked: asked?, at_ms, windows, limits })
}

fn failure(section: &mut Section<'_>) -> Option<Asked> {
    let input = section.table("input").map(|mut it| Asked::Failure(fields::failure(&mut it)));
    let answer = section.table("answer").map(|mut it| fields::answer(&mut it).map(Asked::Answer));
    match (input, answer) {
        (Some(input), None) => Some(input),
        (None, Some(answer)) => answer,
        _ => {
            section.refuse("expected an `input` or an `answer`, and not both");
            None
        }
    }
}

fn alert(section: &mut Section<'_>) -> Option<Asked> {
    let snapshot = section.required_table("input").map(|mut it| fields::snapshot(&mut it));
    Some(Asked::Alert(AlertInput { snapshot: snapshot?, windows: BTreeMap::new() }))
}

impl Case {
    /// What the policy finds where it looks.
    pub(super) fn view(&self) -> Result<Arc<dyn View>, String> {
        let otherwise = match &self.asked {
            Asked::Alert(input) => input.snapshot.stats.clone(),
            _ => Stats::default(),
        };
        Ok(Arc::new(Given::new(self.windows.clone(), self.limits.clone(), otherwise)?))
    }

    /// The failure that a classifier is asked about; `None` where the answer holds none.
    pub(super) fn failure(&self, failure: &Failure, platform: &str) -> Failure {
        let platform = if failure.platform.is_empty() { platform } else { &failure.platform };
        let at_ms = failure.at_ms.max(self.at_ms);
        tidegate::heed_headers(Failure { platform: platform.to_owned(), at_ms, ..failure.clone() })
    }

    /// The failure that the body reader finds in an answer; `None` where there is none.
    pub(super) fn found(&self, answer: &Answer, platform: &str) -> Option<Failure> {
        answer.failure(platform, self.at_ms)
    }

    /// The request that an admission policy is asked about.
    pub(super) fn request(&self, request: &Request, platform: &str) -> Request {
        let platform = if request.platform.is_empty() { platform } else { &request.platform };
        Request { platform: platform.to_owned(), at_ms: request.at_ms.max(self.at_ms), ..request.clone() }
    }
}

fn milliseconds(text: &str) -> Result<u64, String> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    let ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    ms.ok_or_else(|| format!("expected a time such as \"2026-11-23T15:59:00Z\", not {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Option<PolicyKind> = Some(PolicyKind::Retry);

    fn refused(text: &str, kind: Option<PolicyKind>) -> Vec<String> {
        let problems = CaseFile::parse("x", text, kind).unwrap_err();
        problems.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_mistake_is_told_at_its_place() {
        let text = "[[case]]\nname = 'a'\nat = 'noon'\ninput = { statsu = 3, status = '200', headers = { a = 1 } }\n\
                    expect = { action = 'rety', after_ms = -1 }\n[[case]]\ninput = {}\nexpect = {}\n";
        assert_eq!(
            refused(text, RETRY),
            [
                "x:3:6: case.at: expected a time such as \"2026-11-23T15:59:00Z\", not \"noon\"",
                "x:4:11: case.input.statsu: no such key; did you mean `status`?",
                "x:4:32: case.input.status: expected a whole number from 100 to 999, found a string",
                "x:4:55: case.input.headers.a: expected a string in quotes, found an integer",
                "x:5:21: case.expect.action: expected \"retry\" or \"give_up\" or \"default\", not \"rety\"",
                "x:5:40: case.expect.after_ms: expected a whole number of at least 0, not -1",
                "x:6:1: case: `name` is missing",
                "x:8:1: case.expect: it is empty, so the case cannot fail",
            ]
        );
    }

    #[test]
    fn a_case_asks_one_thing_that_a_policy_of_its_kind_is_asked() {
        let case = |rest: &str, kind| refused(&format!("[[case]]\nname = 'a'\n{rest}"), kind);
        let rows = [
            ("expect = { action = 'retry' }", RETRY, "x:1:1: case: expected an `input` or an `answer`, and not both"),
            (
                "input = {}\nanswer = { status = 200 }\nexpect = { action = 'retry' }",
                RETRY,
                "x:1:1: case: expected an `input` or an `answer`, and not both",
            ),
            (
                "answer = { status = 200, headers = { 'a b' = 'c' } }\nexpect = { action = 'retry' }",
                RETRY,
                "x:3:36: case.answer.headers: expected names and values that HTTP can carry",
            ),
            ("input = {}\nexpect = { state = 'quiet' }", None, "x:1:1: case: `rule` is missing"),
            (
                "input = { error_rte = 0.5 }\nexpect = { state = 'quiet' }",
                Some(PolicyKind::Alert),
                "x:3:11: case.input.error_rte: no such key; did you mean `error_rate`?",
            ),
            (
                "input = {}\nwindows = { soon = {} }\nexpect = { state = 'quiet' }",
                Some(PolicyKind::Alert),
                "x:4:13: case.windows.soon: expected a duration such as \"1h\" as its name",
            ),
            (
                "input = {}\nexpect = { action = 'allow', cost = 'two' }",
                Some(PolicyKind::Admit),
                "x:4:37: case.expect.cost: expected a whole number of at least 0, found a string",
            ),
        ];
        for (rest, kind, expected) in rows {
            assert_eq!(case(rest, kind), [expected], "{rest}");
        }
        assert_eq!(refused("", RETRY), ["x:1:1: no case; expected [[case]] with a name, an input and what to expect"]);
    }
}
