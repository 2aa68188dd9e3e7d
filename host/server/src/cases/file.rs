//! Parses case files.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tidegate::Config;
use tidegate::response::complete_failure;
use tidegate_core::config::reader::{self, Section, parsed, scalar, spanned_string, string};
use tidegate_core::config::{PoliciesConfig, PolicyConfig, Settings};
use tidegate_core::{Failure, HostView, LimitStatus, Request, Stats};
use tidegate_policy::PolicyKind;

use super::fields;
use super::find::TestedPolicy;
use super::input::{AlertInput, PlatformResponse};
use super::view::FixedView;

/// The cases of one policy.
#[derive(Debug)]
pub struct CaseFile {
    /// The settings of the policy, which apply to all cases.
    pub settings: Option<Settings>,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// A test case.
#[derive(Debug)]
pub struct Case {
    /// The name, which says what the case shows.
    pub name: String,
    /// The line of the name in the case file.
    pub line: usize,
    /// The name of the rule to evaluate, for rules of `alerts.toml`.
    pub rule: Option<String>,
    /// The expected fields of the verdict.
    pub expect: Value,
    /// The input of the policy.
    pub(super) input: CaseInput,
    at_ms: u64,
    /// The windows that `window` returns, by range. For a condition, other windows equal the rule's own.
    windows: BTreeMap<String, Stats>,
    /// The limits that `limit` returns, by name.
    limits: BTreeMap<String, LimitStatus>,
}

/// The input of a policy.
#[derive(Debug)]
pub enum CaseInput {
    /// A failure, for a retry policy.
    Failure(Failure),
    /// An HTTP response, for a retry policy. The policy gets the failure that the response describes.
    Response(PlatformResponse),
    /// A request, for an admission policy.
    Request(Request),
    /// A snapshot, for an alert condition.
    Alert(AlertInput),
}

impl CaseFile {
    /// Parses the cases of a policy of this kind, or of the rules in `alerts.toml` if `kind` is `None`.
    ///
    /// # Errors
    /// Returns all errors as `file:line:column: message`, one per line.
    pub fn parse(file: &str, text: &str, kind: Option<PolicyKind>) -> Result<Self, String> {
        let read = reader::read(text, |top| {
            let settings = top.contains_key("settings").then(|| top.values("settings", scalar));
            let sections = top.table_array("case");
            if sections.is_empty() {
                top.reject("no cases; expected at least one [[case]] with `name`, `input` and `expect`");
            }
            let cases: Vec<_> = sections.into_iter().map(|mut section| case(&mut section, kind)).collect();
            Some(Self { settings, cases: cases.into_iter().collect::<Option<_>>()? })
        });
        let line = |diagnostic: &reader::Diagnostic| format!("{file}:{diagnostic}");
        read.map_err(|diagnostics| diagnostics.iter().map(line).collect::<Vec<_>>().join("\n"))
    }

    /// Returns the configuration with the settings of this case file.
    pub(super) fn with_settings(
        &self,
        tested: &TestedPolicy,
        kind: PolicyKind,
        config: &PoliciesConfig,
    ) -> PoliciesConfig {
        let mut config = config.clone();
        if let Some(settings) = &self.settings {
            let name = format!("{}/{}", kind.folder(), tested.platform());
            let default = PolicyConfig::new(config.limits);
            config.overrides.entry(name).or_insert(default).settings.clone_from(settings);
        }
        config
    }
}

fn case(section: &mut Section<'_>, kind: Option<PolicyKind>) -> Option<Case> {
    let name = section.required("name", spanned_string);
    let rule = if kind.is_none() { section.required("rule", string) } else { None };
    let at_ms = section.optional("at", parsed(unix_ms)).unwrap_or(0);
    let input = match kind {
        Some(PolicyKind::Retry) => failure(section),
        Some(PolicyKind::Admit) => {
            section.required_table("input").map(|mut table| CaseInput::Request(fields::request(&mut table)))
        }
        Some(PolicyKind::Alert) | None => alert(section),
    };
    let expect = section.required_table("expect").map(|mut table| fields::expected(&mut table, kind));
    let (windows, limits) = (fields::windows(section), fields::limits(section));
    let name = name?;
    Some(Case { line: name.at.line, name: name.value, rule, expect: expect?, input: input?, at_ms, windows, limits })
}

fn failure(section: &mut Section<'_>) -> Option<CaseInput> {
    let input = section.table("input").map(|mut table| CaseInput::Failure(fields::failure(&mut table)));
    let response = section.table("answer").map(|mut table| fields::response(&mut table).map(CaseInput::Response));
    match (input, response) {
        (Some(input), None) => Some(input),
        (None, Some(response)) => response,
        _ => {
            section.reject("expected either `input` or `answer`");
            None
        }
    }
}

fn alert(section: &mut Section<'_>) -> Option<CaseInput> {
    let snapshot = section.required_table("input").map(|mut table| fields::snapshot(&mut table));
    Some(CaseInput::Alert(AlertInput { snapshot: snapshot?, windows: BTreeMap::new() }))
}

impl Case {
    /// Creates the view that the policy reads windows and limits from.
    pub(super) fn view(&self) -> Result<Arc<dyn HostView>, String> {
        let default_window = match &self.input {
            CaseInput::Alert(input) => input.snapshot.stats.clone(),
            _ => Stats::default(),
        };
        Ok(Arc::new(FixedView::new(self.windows.clone(), self.limits.clone(), default_window)?))
    }

    /// Returns the failure, with the platform and time of the case filled in.
    pub(super) fn failure(&self, config: &Config, failure: &Failure, platform: &str) -> Failure {
        let platform = if failure.platform.is_empty() { platform } else { &failure.platform };
        let at_ms = failure.at_ms.max(self.at_ms);
        let failure = failure.clone().with_platform(platform).with_at_ms(at_ms);
        complete_failure(config, failure)
    }

    /// Returns the failure that a response describes, or `None` if the call succeeded.
    pub(super) fn response_failure(
        &self,
        config: &Config,
        response: &PlatformResponse,
        platform: &str,
    ) -> Option<Failure> {
        response.failure(config, platform, self.at_ms)
    }

    /// Returns the request, with the platform and time of the case filled in.
    pub(super) fn request(&self, request: &Request, platform: &str) -> Request {
        let platform = if request.platform.is_empty() { platform } else { &request.platform };
        let mut request = request.clone().with_at_ms(request.at_ms.max(self.at_ms));
        request.platform = platform.to_owned();
        request
    }
}

fn unix_ms(text: &str) -> Result<u64, String> {
    let time: Option<jiff::Timestamp> = text.parse().ok();
    let ms = time.and_then(|time| u64::try_from(time.as_millisecond()).ok());
    ms.ok_or_else(|| format!("expected a time such as \"2026-11-23T15:59:00Z\", found {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RETRY: Option<PolicyKind> = Some(PolicyKind::Retry);

    fn errors(text: &str, kind: Option<PolicyKind>) -> Vec<String> {
        let errors = CaseFile::parse("x", text, kind).unwrap_err();
        errors.lines().map(str::to_owned).collect()
    }

    #[test]
    fn every_error_is_reported_with_its_position() {
        let text = "[[case]]\nname = 'a'\nat = 'noon'\ninput = { statsu = 3, status = '200', headers = { a = 1 } }\n\
                    expect = { action = 'rety', after_ms = -1 }\n[[case]]\ninput = {}\nexpect = {}\n";
        assert_eq!(
            errors(text, RETRY),
            [
                "x:3:6: case.at: expected a time such as \"2026-11-23T15:59:00Z\", found \"noon\"",
                "x:4:11: case.input: unknown key `statsu` (did you mean `status`?)",
                "x:4:32: case.input.status: expected a whole number from 100 to 999, found a string",
                "x:4:55: case.input.headers.a: expected a string in quotes, found an integer",
                "x:5:21: case.expect.action: expected \"retry\", \"give_up\" or \"default\", found \"rety\"",
                "x:5:40: case.expect.after_ms: expected a whole number of at least 0, found -1",
                "x:6:1: case: `name` is missing",
                "x:8:1: case.expect: expected at least one field, because a case without expected fields cannot fail",
            ]
        );
    }

    #[test]
    fn case_has_exactly_one_input_that_fits_its_policy_kind() {
        let case = |rest: &str, kind| errors(&format!("[[case]]\nname = 'a'\n{rest}"), kind);
        let rows = [
            ("expect = { action = 'retry' }", RETRY, "x:1:1: case: expected either `input` or `answer`"),
            (
                "input = {}\nanswer = { status = 200 }\nexpect = { action = 'retry' }",
                RETRY,
                "x:1:1: case: expected either `input` or `answer`",
            ),
            (
                "answer = { status = 200, headers = { 'a b' = 'c' } }\nexpect = { action = 'retry' }",
                RETRY,
                "x:3:36: case.answer.headers: expected valid HTTP header names and values",
            ),
            ("input = {}\nexpect = { state = 'quiet' }", None, "x:1:1: case: `rule` is missing"),
            (
                "input = { headers = { 'a b' = 'c' } }\nexpect = { action = 'retry' }",
                RETRY,
                "x:3:21: case.input.headers: expected a valid header name such as `retry-after`, found `a b`",
            ),
            (
                "input = {}\nwindows = { 0h = {} }\nexpect = { state = 'quiet' }",
                Some(PolicyKind::Alert),
                "x:4:13: case.windows.0h: expected a duration such as \"1h\" as the key",
            ),
            (
                "input = { error_rte = 0.5 }\nexpect = { state = 'quiet' }",
                Some(PolicyKind::Alert),
                "x:3:11: case.input: unknown key `error_rte` (did you mean `error_rate`?)",
            ),
            (
                "input = {}\nwindows = { soon = {} }\nexpect = { state = 'quiet' }",
                Some(PolicyKind::Alert),
                "x:4:13: case.windows.soon: expected a duration such as \"1h\" as the key",
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
        assert_eq!(
            errors("", RETRY),
            ["x:1:1: no cases; expected at least one [[case]] with `name`, `input` and `expect`"]
        );
    }
}
