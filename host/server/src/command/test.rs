//! `tidegate test`: runs the test cases of policies.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate::Config;
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

/// The test results of one policy.
struct TestReport {
    tested: TestedPolicy,
    results: Result<Vec<CaseResult>, String>,
}

impl Test {
    /// Runs the cases and prints the results. Returns exit status 1 if a case fails.
    ///
    /// # Errors
    /// Returns an error if the configuration or a path cannot be read.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let config = configuration(config_file(self.config.clone()).as_ref())?;
        let paths = if self.paths.is_empty() { vec![config.policies.dir.clone()] } else { self.paths.clone() };
        if self.watch {
            return run_on_changes(&paths, &config);
        }
        let (ok, value, text) = run_tests(&paths, &config)?;
        print_result(self.json, &value, &text);
        Ok(if ok { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Runs all cases now and whenever the contents of a file have changed.
fn run_on_changes(paths: &[PathBuf], config: &Config) -> Result<ExitCode, UsageError> {
    let (sender, changes) = mpsc::channel();
    let on_change = move || {
        let _ = sender.send(()); // fails only after the loop below has ended
    };
    let _watch = watch(paths.to_vec(), on_change).map_err(|error| UsageError(error.to_string()))?;
    let mut last = None;
    while changes.recv().is_ok() {
        let current = fingerprint(paths);
        if last.as_ref() == Some(&current) {
            continue;
        }
        last = Some(current);
        let text = run_tests(paths, config).map_or_else(|UsageError(message)| message, |(_, _, text)| text);
        print(&format!("\n{text}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a hash of the names and contents of all policies and case files.
fn fingerprint(paths: &[PathBuf]) -> Vec<u8> {
    let (tested, untested) = collect(paths).unwrap_or_default();
    let files = tested.iter().flat_map(|tested| [&tested.policy, &tested.cases]).chain(&untested);
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.as_os_str().as_encoded_bytes());
        digest.update(std::fs::read(file).unwrap_or_default());
    }
    digest.finalize().to_vec()
}

/// Returns the policies that have cases, and the paths of those that have none.
fn collect(paths: &[PathBuf]) -> Result<(Vec<TestedPolicy>, Vec<PathBuf>), UsageError> {
    let (mut tested, mut untested) = (vec![], vec![]);
    for path in paths {
        if path.is_dir() {
            let (with_cases, without_cases) =
                cases::find(path).map_err(|error| UsageError(format!("{}: {error}", path.display())))?;
            tested.extend(with_cases);
            untested.extend(without_cases);
        } else {
            tested.extend(TestedPolicy::from_file(path).map_err(UsageError)?);
        }
    }
    Ok((tested, untested))
}

/// Runs all cases. Returns whether all passed, and the results as JSON and as text.
fn run_tests(paths: &[PathBuf], config: &Config) -> Result<(bool, Value, String), UsageError> {
    let (tested, untested) = collect(paths)?;
    if tested.is_empty() && untested.is_empty() {
        let paths: Vec<_> = paths.iter().map(|path| path.display().to_string()).collect();
        return Err(UsageError(format!("{}: no policies found in retry/, alerts/ or admit/", paths.join(", "))));
    }
    let report = |tested: TestedPolicy| TestReport { results: cases::run(&tested, config), tested };
    let reports: Vec<_> = tested.into_iter().map(report).collect();
    let (passed, failed) =
        reports.iter().map(TestReport::count).fold((0, 0), |sum, (passed, failed)| (sum.0 + passed, sum.1 + failed));
    let mut lines: Vec<_> = reports.iter().flat_map(TestReport::lines).collect();
    lines.extend(untested.iter().map(|policy| format!("note: {} has no cases", short_name(policy))));
    lines.push(format!("{passed} passed, {failed} failed"));
    let value = json!({
        "passed": passed,
        "failed": failed,
        "policies": reports.iter().map(TestReport::json).collect::<Vec<_>>(),
        "without_cases": untested.iter().map(|policy| short_name(policy)).collect::<Vec<_>>(),
    });
    Ok((failed == 0, value, lines.join("\n")))
}

impl TestReport {
    /// Returns the number of passed and failed cases. A policy whose cases cannot be run counts as one failed case.
    fn count(&self) -> (usize, usize) {
        match &self.results {
            Err(_) => (0, 1),
            Ok(results) => {
                let failed = results.iter().filter(|result| !result.differences.is_empty()).count();
                (results.len() - failed, failed)
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let name = short_name(&self.tested.policy);
        let results = match &self.results {
            Err(error) => return vec![format!("{name:<32} cannot run"), indented(error, 2)],
            Ok(results) => results,
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
        lines
    }

    fn json(&self) -> Value {
        let name = short_name(&self.tested.policy);
        match &self.results {
            Err(error) => json!({ "policy": name, "error": error }),
            Ok(results) => json!({ "policy": name, "cases": results }),
        }
    }
}

/// Returns the last two parts of a path, such as `retry/taobao.rhai`.
fn short_name(policy: &Path) -> String {
    let name = policy.file_name().unwrap_or_default().to_string_lossy();
    let folder = policy.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    if name == "alerts.toml" { name.into_owned() } else { format!("{folder}/{name}") }
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
