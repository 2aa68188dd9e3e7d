//! Evaluates the lines of a decision log again, with the active policies and their candidates.

mod line;
mod policies;
mod summary;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use tidegate_core::HostView;
use tidegate_core::config::PoliciesConfig;

use crate::cases::PolicyUnderTest;
use line::DecisionLine;
use policies::{ReplayPolicies, ReplayPolicy};
pub use summary::VerdictSummary;

/// The result of a replay.
#[derive(Debug, Default, Serialize)]
pub struct ReplayReport {
    /// The number of decisions in the log.
    pub lines: u64,
    /// Lines that are not valid decisions, as `FILE:LINE:COLUMN: message`, or without the column if it is not known.
    pub invalid_lines: Vec<String>,
    /// The number of lines on which a policy read a window or limit that the line does not contain.
    pub lines_with_missing_data: u64,
    /// The result of each policy, sorted by path; the active policy comes before its candidates.
    pub policies: Vec<PolicyReport>,
}

/// The result of one policy.
#[derive(Debug, Serialize)]
pub struct PolicyReport {
    /// The policy's file.
    pub policy: String,
    /// The number of lines that the policy was evaluated on.
    pub lines: u64,
    /// The number of lines with the recorded verdict.
    pub same: u64,
    /// The number of lines with a different verdict.
    pub different: u64,
    /// The number of lines on which the policy faulted.
    pub faults: u64,
    /// The differences, most frequent first.
    pub differences: Vec<DifferenceGroup>,
}

/// Differences with the same rule, recorded outcome and current outcome. Their waits and labels may vary.
#[derive(Debug, Serialize)]
pub struct DifferenceGroup {
    /// The name of the rule, for rules of `alerts.toml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The number of lines in the group.
    pub count: u64,
    /// The number of the first line.
    pub line: u64,
    /// The input of the first line.
    pub input: Value,
    /// The recorded verdict of the first line.
    pub recorded: Value,
    /// The verdict of the policy on the first line now.
    pub current: Value,
}

/// A policy and its result so far.
struct PolicyRun {
    policy: ReplayPolicy,
    report: PolicyReport,
    groups: BTreeMap<(Option<String>, String, String), DifferenceGroup>,
}

/// Replays a log with the policies of the configured directory and these candidates. `name` is the log's name in
/// messages.
///
/// # Errors
/// Returns an error if the log, a policy or a candidate cannot be read, or if no line belongs to a candidate's policy.
pub fn replay(
    log: impl BufRead,
    name: &str,
    config: &PoliciesConfig,
    candidates: &[PathBuf],
) -> Result<ReplayReport, String> {
    let policies = ReplayPolicies::new(config, candidates)?;
    let (mut report, mut runs) = (ReplayReport::default(), BTreeMap::<String, Vec<PolicyRun>>::new());
    for (bytes, number) in log.split(b'\n').zip(1..) {
        let bytes = bytes.map_err(|error| format!("{name}: {error}"))?;
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let line = match DecisionLine::parse(&bytes) {
            Ok(line) => line,
            Err(error) => {
                report.invalid_lines.push(error.with_location(name, number));
                continue;
            }
        };
        if !runs.contains_key(&line.policy) {
            let loaded = policies.load(&line.policy)?.into_iter().map(PolicyRun::new).collect();
            runs.insert(line.policy.clone(), loaded);
        }
        runs.get_mut(&line.policy).into_iter().flatten().for_each(|run| run.evaluate(&line, number));
        report.lines += 1;
        report.lines_with_missing_data += u64::from(line.view.has_missing_read());
    }
    report.policies = runs.into_values().flatten().map(PolicyRun::finish).collect();
    for (policy, file) in policies.candidates() {
        if !report.policies.iter().any(|report| file.to_str() == Some(&report.policy)) {
            return Err(format!("{}: {name} contains no decisions of {policy}", file.display()));
        }
    }
    Ok(report)
}

impl ReplayReport {
    /// Returns whether all verdicts equal the recorded ones.
    #[must_use]
    pub fn is_unchanged(&self) -> bool {
        self.policies.iter().all(|policy| policy.different == 0)
    }
}

impl PolicyRun {
    fn new(policy: ReplayPolicy) -> Self {
        let (name, differences) = (policy.name.clone(), Vec::new());
        let report = PolicyReport { policy: name, lines: 0, same: 0, different: 0, faults: 0, differences };
        Self { policy, report, groups: BTreeMap::new() }
    }

    fn evaluate(&mut self, line: &DecisionLine, number: u64) {
        let view: Arc<dyn HostView> = Arc::clone(&line.view) as _;
        let evaluate = |policy: &PolicyUnderTest| policy.evaluate(&line.input, line.rule.as_deref(), &view).ok();
        // A policy or rule that no longer exists has no verdict.
        let current = self.policy.policy.as_ref().and_then(evaluate).unwrap_or_default();
        let (old, new) = (VerdictSummary::new(&line.verdict), VerdictSummary::new(&current));
        self.report.lines += 1;
        self.report.faults += u64::from(current.get("fault").is_some());
        if old == new {
            self.report.same += 1;
            return;
        }
        self.report.different += 1;
        let key = (line.rule.clone(), old.outcome, new.outcome);
        let group = self.groups.entry(key).or_insert_with(|| DifferenceGroup {
            rule: line.rule.clone(),
            count: 0,
            line: number,
            input: line.input_json.clone(),
            recorded: line.verdict.clone(),
            current,
        });
        group.count += 1;
    }

    fn finish(mut self) -> PolicyReport {
        self.report.differences = self.groups.into_values().collect();
        self.report.differences.sort_by_key(|group| (std::cmp::Reverse(group.count), group.line));
        self.report
    }
}
