//! `tidegate test`: runs the test cases of policies.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate::Config;
use tidegate_policy::PolicyKind;
use tidegate_policy::watch::watch;

use super::{UsageError, config_file, configuration, print, print_result};
use crate::cases::{self, CaseResult, TestedPolicy};

const EXAMPLES: &str = "\
Examples:
  tidegate test                               run all cases of the configured policy directory
  tidegate test policies/retry/taobao.rhai    run the cases of one policy
  tidegate test --watch                       run the cases again after each change

Example case file, policies/retry/shop.test.toml:
  [[case]]
  name = \"too many calls\"
  input = { status = 429 }
  expect = { action = \"retry\", class = \"throttled\" }";

/// The options of `tidegate test`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Test {
    /// Policies, case files, or policy directories [default: `[policies] dir` in the configuration].
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Run the cases again whenever a policy or case file changes, until interrupted.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Read deadlines, limits, settings and error shapes from this configuration file [default: ./tidegate.toml if it
    /// exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

/// What to test: the arguments of the command.
struct TestPlan {
    paths: Vec<PathBuf>,
    config: Config,
    /// The configuration file, if there is one.
    config_file: Option<PathBuf>,
}

/// The policies that the paths of the command select.
#[derive(Default)]
struct SelectedPolicies {
    /// Policies with cases.
    tested: Vec<SelectedPolicy>,
    /// The paths of policies without cases.
    untested: Vec<PathBuf>,
}

struct SelectedPolicy {
    tested: TestedPolicy,
    /// Whether a path of the command names the policy or its case file, and not only a directory. Such a policy is
    /// always tested.
    is_named: bool,
}

/// The test results of one policy.
struct TestReport {
    tested: TestedPolicy,
    outcome: TestOutcome,
    /// A possible reason for failed cases.
    hint: Option<String>,
}

enum TestOutcome {
    Finished(Vec<CaseResult>),
    /// Why the cases cannot be run.
    Invalid(String),
    /// Why the cases are not run.
    Skipped(String),
}

impl Test {
    /// Runs the cases and prints the results. Returns exit status 1 if a case fails.
    ///
    /// # Errors
    /// Returns an error if the configuration or a path cannot be read.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let file = config_file(self.config.clone());
        let config = configuration(file.as_ref())?;
        let paths = if self.paths.is_empty() { vec![config.policies.dir.clone()] } else { self.paths.clone() };
        let plan = TestPlan { paths, config, config_file: file.map(|file| file.path().to_owned()) };
        if self.watch {
            return run_on_changes(&plan);
        }
        let (ok, value, text) = run_tests(&plan)?;
        print_result(self.json, &value, &text);
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Runs all cases now and whenever the contents of a file have changed.
fn run_on_changes(plan: &TestPlan) -> Result<ExitCode, UsageError> {
    let (sender, changes) = mpsc::channel();
    let on_change = move || {
        let _ = sender.send(()); // fails only after the loop below has ended
    };
    let _watch = watch(plan.paths.clone(), on_change).map_err(|error| UsageError(error.to_string()))?;
    let mut last = None;
    while changes.recv().is_ok() {
        let current = fingerprint(&plan.paths);
        if last.as_ref() == Some(&current) {
            continue;
        }
        last = Some(current);
        let text = run_tests(plan).map_or_else(|UsageError(message)| message, |(_, _, text)| text);
        print(&format!("\n{text}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a hash of the names and contents of all policies and case files.
fn fingerprint(paths: &[PathBuf]) -> Vec<u8> {
    let SelectedPolicies { tested, untested } = select(paths).unwrap_or_default();
    let files = tested.iter().flat_map(|policy| [&policy.tested.policy, &policy.tested.cases]).chain(&untested);
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.as_os_str().as_encoded_bytes());
        digest.update(std::fs::read(file).unwrap_or_default());
    }
    digest.finalize().to_vec()
}

/// Returns the policies that the paths select.
fn select(paths: &[PathBuf]) -> Result<SelectedPolicies, UsageError> {
    let mut selected = SelectedPolicies::default();
    for path in paths {
        if path.is_dir() {
            let (with_cases, without_cases) =
                cases::find(path).map_err(|error| UsageError(format!("{}: {error}", path.display())))?;
            selected.tested.extend(with_cases.into_iter().map(|tested| SelectedPolicy { tested, is_named: false }));
            selected.untested.extend(without_cases);
        } else {
            let tested = TestedPolicy::from_file(path).map_err(UsageError)?;
            selected.tested.extend(tested.into_iter().map(|tested| SelectedPolicy { tested, is_named: true }));
        }
    }
    Ok(selected)
}

/// Runs all cases. Returns whether none failed, and the results as JSON and as text.
fn run_tests(plan: &TestPlan) -> Result<(bool, Value, String), UsageError> {
    let SelectedPolicies { tested, untested } = select(&plan.paths)?;
    if tested.is_empty() && untested.is_empty() {
        let paths: Vec<_> = plan.paths.iter().map(|path| path.display().to_string()).collect();
        return Err(UsageError(format!("{}: no policies found in retry/, alerts/ or admit/", paths.join(", "))));
    }
    let reports: Vec<_> = tested.into_iter().map(|policy| plan.report(policy)).collect();
    let (passed, failed) =
        reports.iter().map(TestReport::count).fold((0, 0), |sum, (passed, failed)| (sum.0 + passed, sum.1 + failed));
    let skipped = reports.iter().filter(|report| matches!(report.outcome, TestOutcome::Skipped(_))).count();
    let mut lines: Vec<_> = reports.iter().flat_map(TestReport::lines).collect();
    lines.extend(untested.iter().map(|policy| format!("note: {} has no cases", short_name(policy))));
    let skipped_policies = if skipped == 0 { String::new() } else { format!(", {} skipped", policies(skipped)) };
    lines.push(format!("{passed} passed, {failed} failed{skipped_policies}"));
    let value = json!({
        "passed": passed,
        "failed": failed,
        "skipped_policies": skipped,
        "policies": reports.iter().map(TestReport::json).collect::<Vec<_>>(),
        "without_cases": untested.iter().map(|policy| short_name(policy)).collect::<Vec<_>>(),
    });
    Ok((failed == 0, value, lines.join("\n")))
}

impl TestPlan {
    /// Runs the cases of one policy, unless no call uses it with this configuration.
    fn report(&self, SelectedPolicy { tested, is_named }: SelectedPolicy) -> TestReport {
        let (outcome, hint) = match self.reason_to_skip(&tested).filter(|_| !is_named) {
            Some(reason) => (TestOutcome::Skipped(reason), None),
            None => match cases::run(&tested, &self.config) {
                Ok(results) => (TestOutcome::Finished(results), self.hint(&tested)),
                Err(error) => (TestOutcome::Invalid(error), None),
            },
        };
        TestReport { tested, outcome, hint }
    }

    /// Returns why no call uses the policy: the configuration file does not have its platform. Without a file, it is
    /// unknown which platforms exist.
    fn reason_to_skip(&self, tested: &TestedPolicy) -> Option<String> {
        let (file, platform) = (self.config_file.as_ref()?, tested.only_platform()?);
        let is_unknown = !self.config.limits.contains_key(&platform);
        is_unknown.then(|| format!("{} has no [limits.{platform}]", file.display()))
    }

    /// Returns a possible reason for failed cases: the host does not find the errors in the platform's responses.
    fn hint(&self, tested: &TestedPolicy) -> Option<String> {
        let platform = tested.only_platform().filter(|_| tested.kind == Some(PolicyKind::Retry))?;
        let has_no_shape = self.config.error_shapes(&platform).is_empty();
        has_no_shape.then(|| {
            format!(
                "without `error` in [platforms.{platform}], only the HTTP status of an `answer` reports an error; the \
                 preset `platforms` has `error` for its platforms"
            )
        })
    }
}

impl TestReport {
    /// Returns the number of passed and failed cases. A policy whose cases cannot be run counts as one failed case.
    fn count(&self) -> (usize, usize) {
        match &self.outcome {
            TestOutcome::Invalid(_) => (0, 1),
            TestOutcome::Skipped(_) => (0, 0),
            TestOutcome::Finished(results) => {
                let failed = results.iter().filter(|result| !result.differences.is_empty()).count();
                (results.len() - failed, failed)
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let name = short_name(&self.tested.policy);
        let results = match &self.outcome {
            TestOutcome::Invalid(error) => return vec![format!("{name:<32} cannot run"), indented(error, 2)],
            TestOutcome::Skipped(reason) => return vec![format!("{name:<32} skipped: {reason}")],
            TestOutcome::Finished(results) => results,
        };
        let (passed, failed) = self.count();
        let mut lines = vec![format!("{name:<32} {passed:>3} passed {failed:>3} failed")];
        for result in results.iter().filter(|result| !result.differences.is_empty()) {
            lines.push(format!("  {}:{}: {}", self.tested.cases.display(), result.line, result.name));
            for (field, expected, actual) in &result.differences {
                let (expected, actual) = (plain_text(expected), plain_text(actual));
                lines.push(format!("    {field:<10} expected {expected}, found {actual}"));
            }
        }
        lines.extend(self.hint.iter().filter(|_| failed > 0).map(|hint| format!("  note: {hint}")));
        lines
    }

    fn json(&self) -> Value {
        let name = short_name(&self.tested.policy);
        match &self.outcome {
            TestOutcome::Invalid(error) => json!({ "policy": name, "error": error }),
            TestOutcome::Skipped(reason) => json!({ "policy": name, "skipped": reason }),
            TestOutcome::Finished(results) => json!({ "policy": name, "cases": results }),
        }
    }
}

/// Returns the last two parts of a path, such as `retry/taobao.rhai`.
fn short_name(policy: &Path) -> String {
    let name = policy.file_name().unwrap_or_default().to_string_lossy();
    let folder = policy.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    if name == "alerts.toml" { name.into_owned() } else { format!("{folder}/{name}") }
}

/// Formats a number of policies, such as `1 policy`.
fn policies(number: usize) -> String {
    if number == 1 { "1 policy".to_owned() } else { format!("{number} policies") }
}

fn indented(text: &str, spaces: usize) -> String {
    text.lines().map(|line| format!("{:spaces$}{line}", "")).collect::<Vec<_>>().join("\n")
}

/// Formats a JSON value as text: strings without quotes, null as `nothing`.
fn plain_text(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
