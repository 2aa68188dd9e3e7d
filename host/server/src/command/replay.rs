//! `tidegate replay`: evaluates the decisions of a log again with the current policies.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};
use tidegate_core::config::PoliciesConfig;

use super::{UsageError, config_file, configuration, output, print_error, print_result};
use crate::replay::{DifferenceGroup, PolicyReport, ReplayReport, VerdictSummary, replay};

/// The maximum number of invalid lines that are reported one by one.
const MAX_REPORTED_LINES: usize = 20;
/// The maximum length of an input in the table, in characters.
const MAX_INPUT_CHARS: usize = 100;
/// The input fields that are shown first, because they identify a failure.
const FIRST_FIELDS: [&str; 3] = ["status", "code", "sub_code"];
/// The input field that is shown last, because it may be long.
const LAST_FIELD: &str = "body";
/// The input fields that are not shown: the log line has the time.
const TIME_FIELDS: [&str; 4] = ["at_ms", "elapsed_ms", "from_ms", "to_ms"];

const EXAMPLES: &str = "\
Examples:
  tidegate replay decisions.ndjson
  tidegate replay decisions.ndjson --candidate new/retry/taobao.rhai
  cat decisions.ndjson.1 decisions.ndjson | tidegate replay - --json";

/// The options of `tidegate replay`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Replay {
    /// The decision log; `-` reads standard input.
    #[arg(value_name = "LOG")]
    log: PathBuf,
    /// Evaluate this file as a candidate (may be repeated).
    ///
    /// Its folder and file name say which policy it is a candidate for: new/retry/jd.rhai is a candidate for retry/jd.
    /// A file named alerts.toml is a candidate for the alert rules.
    #[arg(long = "candidate", value_name = "FILE")]
    candidates: Vec<PathBuf>,
    /// Load policies from this directory [default: `[policies] dir` in the configuration].
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Read deadlines, limits and settings from this configuration file [default: ./tidegate.toml if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Replay {
    /// Prints the differences. Returns exit status 1 if there are any, and 2 if a line is invalid.
    ///
    /// # Errors
    /// Returns an error if the configuration, the log or a policy cannot be read.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let config = configuration(config_file(self.config.clone()).as_ref())?.policies;
        let dir = self.policies.clone().unwrap_or_else(|| config.dir.clone());
        if !dir.is_dir() {
            return Err(UsageError(format!("{}: policy directory not found", dir.display())));
        }
        let report = self.replay(&config.with_dir(dir)).map_err(UsageError)?;
        report.invalid_lines.iter().take(MAX_REPORTED_LINES).for_each(|message| print_error(message));
        if let Some(more @ 1..) = report.invalid_lines.len().checked_sub(MAX_REPORTED_LINES) {
            print_error(&output::count(more, "more invalid line"));
        }
        if report.lines == 0 && report.invalid_lines.is_empty() {
            let name =
                if self.log == Path::new("-") { "standard input".into() } else { self.log.display().to_string() };
            return Err(UsageError(format!("{name}: the log contains no decisions")));
        }
        print_result(self.json, &json!(report), &format_report(&report));
        Ok(match (report.invalid_lines.is_empty(), report.is_unchanged()) {
            (false, _) => ExitCode::from(2),
            (true, false) => ExitCode::from(1),
            (true, true) => ExitCode::SUCCESS,
        })
    }

    fn replay(&self, config: &PoliciesConfig) -> Result<ReplayReport, String> {
        if self.log == Path::new("-") {
            return replay(io::stdin().lock(), "standard input", config, &self.candidates);
        }
        let name = self.log.display().to_string();
        let log = File::open(&self.log).map_err(|error| format!("{name}: {error}"))?;
        replay(BufReader::new(log), &name, config, &self.candidates)
    }
}

fn format_report(report: &ReplayReport) -> String {
    let totals = report.policies.iter().map(|policy| {
        let counts = [policy.lines, policy.same, policy.different, policy.faults].map(|count| count.to_string());
        std::iter::once(policy.policy.clone()).chain(counts).collect()
    });
    let mut sections = vec![output::table(&["policy", "lines", "same", "different", "faults"], totals)];
    if !report.is_unchanged() {
        let policies = report.policies.iter();
        let groups = policies.flat_map(|policy| policy.differences.iter().map(move |group| group_row(policy, group)));
        sections.push(output::table(&["policy", "recorded", "current", "count", "first line", "input"], groups));
    }
    if report.lines_with_missing_data > 0 {
        sections.push(format!(
            "note: lines without a window or limit that a policy read: {}; for them, an alert condition got the values \
             of its own window, and everything else was empty",
            report.lines_with_missing_data
        ));
    }
    sections.join("\n\n")
}

fn group_row(policy: &PolicyReport, group: &DifferenceGroup) -> Vec<String> {
    let name = &policy.policy;
    let summary = |verdict| VerdictSummary::new(verdict).to_string();
    vec![
        group.rule.as_ref().map_or_else(|| name.clone(), |rule| format!("{name}: {rule}")),
        summary(&group.recorded),
        summary(&group.current),
        group.count.to_string(),
        group.line.to_string(),
        format_input(&group.input),
    ]
}

/// Formats an input as `name value` pairs. Omits times and default values.
fn format_input(input: &Value) -> String {
    let is_default = |name: &str, value: &Value| match value {
        Value::Number(number) => number.as_f64() == Some(if name == "attempt" { 1.0 } else { 0.0 }),
        Value::String(text) => ["", "response", "GET"].contains(&text.as_str()),
        _ => false,
    };
    let fields = input.as_object().into_iter().flatten();
    let mut fields: Vec<_> =
        fields.filter(|(name, value)| !TIME_FIELDS.contains(&name.as_str()) && !is_default(name, value)).collect();
    fields.sort_by_key(|(name, _)| {
        let position = FIRST_FIELDS.iter().position(|first| first == name).unwrap_or(FIRST_FIELDS.len());
        (*name == LAST_FIELD, position)
    });
    let plain = |value: &Value| value.as_str().map_or_else(|| value.to_string(), output::text);
    let pairs: Vec<_> = fields.into_iter().map(|(name, value)| format!("{name} {}", plain(value))).collect();
    let mut text = pairs.join(", ");
    if let Some((end, _)) = text.char_indices().nth(MAX_INPUT_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}
