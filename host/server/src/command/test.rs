//! `tidegate test`: policies against their cases.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;

use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tidegate::core::config::PoliciesConfig;
use tidegate::policy::watch::watch;

use super::{Usage, answer, config_file, configuration, say};
use crate::cases::{self, Outcome, Tested};

/// Run policies against the cases beside them.
#[derive(Args)]
pub struct Test {
    /// Directories of policies, policies, or their case files; the configured directory unless given.
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Run again whenever something changes.
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// The configuration, for deadlines and limits.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What became of one policy's cases.
struct Report {
    tested: Tested,
    outcomes: Result<Vec<Outcome>, String>,
}

impl Test {
    /// Prints what passed and what did not; 1 where anything did not.
    ///
    /// # Errors
    /// A configuration or a path that cannot be read.
    pub fn run(self) -> Result<ExitCode, Usage> {
        let config = configuration(config_file(self.config.clone()).as_deref())?.policies;
        let paths = if self.paths.is_empty() { vec![config.dir.clone()] } else { self.paths.clone() };
        if self.watch {
            return follow(&paths, &config);
        }
        let (good, value, text) = run(&paths, &config)?;
        answer(self.json, &value, &text);
        Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Runs all again whenever the contents of a file have changed.
fn follow(paths: &[PathBuf], config: &PoliciesConfig) -> Result<ExitCode, Usage> {
    let (tell, told) = mpsc::channel();
    let notice = move || {
        let _ = tell.send(()); // the loop below listens as long as there is a watch
    };
    let _watch = watch(paths.to_vec(), notice).map_err(|error| Usage(error.to_string()))?;
    let mut last = None;
    while told.recv().is_ok() {
        let now = fingerprint(paths);
        if last.as_ref() == Some(&now) {
            continue;
        }
        last = Some(now);
        let text = run(paths, config).map_or_else(|Usage(problem)| problem, |(_, _, text)| text);
        say(&format!("\n{text}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What the files hold, in a few bytes.
fn fingerprint(paths: &[PathBuf]) -> Vec<u8> {
    let (tested, untested) = collect(paths).unwrap_or_default();
    let files = tested.iter().flat_map(|one| [&one.policy, &one.cases]).chain(&untested);
    let mut digest = Sha256::new();
    for file in files {
        digest.update(file.as_os_str().as_encoded_bytes());
        digest.update(std::fs::read(file).unwrap_or_default());
    }
    digest.finalize().to_vec()
}

fn collect(paths: &[PathBuf]) -> Result<(Vec<Tested>, Vec<PathBuf>), Usage> {
    let (mut tested, mut untested) = (vec![], vec![]);
    for path in paths {
        if path.is_dir() {
            let found = cases::find(path).map_err(|error| Usage(format!("{}: {error}", path.display())))?;
            tested.extend(found.0);
            untested.extend(found.1);
        } else {
            tested.extend(Tested::of(path).map_err(Usage)?);
        }
    }
    Ok((tested, untested))
}

fn run(paths: &[PathBuf], config: &PoliciesConfig) -> Result<(bool, Value, String), Usage> {
    let (tested, untested) = collect(paths)?;
    if tested.is_empty() && untested.is_empty() {
        return Err(Usage("no policy is here to be tested".to_owned()));
    }
    let report = |tested: Tested| Report { outcomes: cases::run(&tested, config), tested };
    let reports: Vec<_> = tested.into_iter().map(report).collect();
    let (passed, failed) = reports.iter().fold((0, 0), |(passed, failed), report| {
        let (good, bad) = report.count();
        (passed + good, failed + bad)
    });
    let mut lines: Vec<_> = reports.iter().flat_map(Report::lines).collect();
    lines.extend(untested.iter().map(|policy| format!("note: {} has no cases", shown(policy))));
    lines.push(format!("{passed} passed, {failed} failed"));
    let value = json!({
        "passed": passed,
        "failed": failed,
        "policies": reports.iter().map(Report::value).collect::<Vec<_>>(),
        "without_cases": untested.iter().map(|policy| shown(policy)).collect::<Vec<_>>(),
    });
    Ok((failed == 0, value, lines.join("\n")))
}

impl Report {
    /// How many cases passed and failed; what cannot be run at all counts as one that failed.
    fn count(&self) -> (usize, usize) {
        match &self.outcomes {
            Err(_) => (0, 1),
            Ok(outcomes) => {
                let failed = outcomes.iter().filter(|outcome| !outcome.differences.is_empty()).count();
                (outcomes.len() - failed, failed)
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let name = shown(&self.tested.policy);
        let outcomes = match &self.outcomes {
            Err(problem) => return vec![format!("{name:<32} cannot be tested"), indented(problem, 2)],
            Ok(outcomes) => outcomes,
        };
        let (passed, failed) = self.count();
        let mut lines = vec![format!("{name:<32} {passed:>3} passed {failed:>3} failed")];
        for outcome in outcomes.iter().filter(|outcome| !outcome.differences.is_empty()) {
            lines.push(format!("  {}:{}: {}", self.tested.cases.display(), outcome.line, outcome.name));
            for (field, expected, given) in &outcome.differences {
                lines.push(format!("    {field:<10} expected {}, given {}", plain(expected), plain(given)));
            }
        }
        lines
    }

    fn value(&self) -> Value {
        let name = shown(&self.tested.policy);
        match &self.outcomes {
            Err(problem) => json!({ "policy": name, "problem": problem }),
            Ok(outcomes) => json!({ "policy": name, "cases": outcomes }),
        }
    }
}

/// The last two parts of a path, as in `retry/taobao.rhai`.
fn shown(policy: &Path) -> String {
    let name = policy.file_name().unwrap_or_default().to_string_lossy();
    let folder = policy.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    if name == "alerts.toml" { name.into_owned() } else { format!("{folder}/{name}") }
}

fn indented(text: &str, by: usize) -> String {
    text.lines().map(|line| format!("{:by$}{line}", "")).collect::<Vec<_>>().join("\n")
}

/// A value for people: texts without quotes, nothing as a word.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
