//! `tidegate eval`: evaluates one policy on one input.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate::response::{complete_failure, is_success};
use tidegate_core::text::one_line;
use tidegate_core::{Failure, Fault, FnHostView, HostView, Request, Stats};
use tidegate_policy::{LoadedPolicy, PolicyKind, load_policy};

use super::kind_option::KindOption;
use super::{UsageError, config_file, configuration, print_result};
use crate::cases::{self, AlertInput};
use crate::json::read_text;

/// The maximum length of a printed value, in characters.
const MAX_LINE: usize = 1_000;

const EXAMPLES: &str = r#"Examples:
  echo '{"status": 429}' | tidegate eval policies/retry/default.rhai
  tidegate eval policies/retry/taobao.rhai failure.json --json
  echo '{"status": 200, "body": "{\"error_response\": {\"code\": 7}}"}' |
      tidegate eval policies/retry/taobao.rhai
  echo '{"platform": "jd", "error_rate": 0.2, "count": 50}' |
      tidegate eval policies/alerts/burn_rate.rhai"#;

/// The options of `tidegate eval`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Eval {
    /// The policy: a .rhai script or a .wasm component.
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// A file with the input as JSON; `-` reads standard input.
    #[arg(value_name = "INPUT", default_value = "-")]
    input: PathBuf,
    /// The kind of the policy [default: from its folder, retry/, alerts/ or admit/].
    #[arg(long)]
    kind: Option<KindOption>,
    /// Read deadlines, limits, settings and error shapes from this configuration file [default: ./tidegate.toml if it
    /// exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print JSON instead of text.
    #[arg(long)]
    json: bool,
}

impl Eval {
    /// Prints the verdict. Returns exit status 1 if the policy faults.
    ///
    /// # Errors
    /// Returns an error if the policy or the input cannot be read.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let config = configuration(config_file(self.config.clone()).as_ref())?;
        let kind = self.kind.map(PolicyKind::from);
        let policy = load_policy(&self.policy, kind, &config.policies).map_err(|error| {
            let lacks_kind = kind.is_none() && PolicyKind::from_path(&self.policy).is_none();
            let hint = if lacks_kind && error.is_rejected() { "; set it with `--kind`" } else { "" };
            UsageError(format!("{error}{hint}"))
        })?;
        let (verdict, text) = match policy {
            LoadedPolicy::Retry(policy) => {
                let failure = self.failure()?;
                if is_success(&config, &failure) {
                    // As in test cases, a success is not evaluated.
                    format_value(json!({ "success": true, "reason": success_reason(&failure) }))
                } else {
                    format_verdict(policy.classify(&complete_failure(&config, failure), &empty_view()))
                }
            }
            LoadedPolicy::Alert(policy) => {
                let input: AlertInput = read_json(&self.input)?;
                format_verdict(policy.evaluate(&input.snapshot, &input.view().map_err(UsageError)?))
            }
            LoadedPolicy::Admit(policy) => {
                let request: Request = read_json(&self.input)?;
                format_verdict(policy.admit(&request, &empty_view()))
            }
        };
        print_result(self.json, &verdict, &text);
        Ok(if verdict.get("fault").is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

impl Eval {
    /// Reads the failure.
    fn failure(&self) -> Result<Failure, UsageError> {
        let mut failure: Failure = read_json(&self.input)?;
        if failure.platform.is_empty() {
            // As in test cases, the name of the policy is the platform.
            let name = self.policy.file_name().unwrap_or_default().to_string_lossy();
            failure.platform = name.split('.').next().unwrap_or_default().to_owned();
        }
        Ok(failure)
    }
}

/// Returns why a response is not a failure.
fn success_reason(failure: &Failure) -> String {
    let body = match failure.status {
        Some(status) => format!("the response has status {status}, and its body"),
        None => "the body of the response".to_owned(),
    };
    format!("{body} contains no error that [platforms.{}] error describes", failure.platform)
}

/// A view whose windows are empty.
fn empty_view() -> Arc<dyn HostView> {
    Arc::new(FnHostView(|_| Stats::default()))
}

/// Returns the verdict as JSON, and as text with one `name: value` pair per line.
fn format_verdict(result: Result<impl serde::Serialize, Fault>) -> (Value, String) {
    format_value(cases::verdict_json(result))
}

/// Returns a JSON object, and its fields as text.
fn format_value(value: Value) -> (Value, String) {
    let fields = value.as_object().into_iter().flatten();
    // A text may come from the input, so it must not control the terminal.
    let text = |value: &Value| value.as_str().map_or(value.to_string(), |text| one_line(text, MAX_LINE));
    let lines = fields.map(|(name, value)| format!("{name}: {}", text(value)));
    let text = lines.collect::<Vec<_>>().join("\n");
    (value, text)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, UsageError> {
    let is_standard_input = path == Path::new("-");
    let name = if is_standard_input { "standard input".to_owned() } else { path.display().to_string() };
    let read = if is_standard_input { read_input(std::io::stdin()) } else { File::open(path).and_then(read_input) };
    let text = read.map_err(|error| UsageError(format!("{name}: {error}")))?;
    read_text(&name, &text).map_err(UsageError)
}

/// Reads an input of at most 4 MiB. Without the limit, a device such as `/dev/zero` would be read forever.
fn read_input(input: impl Read) -> std::io::Result<String> {
    const MAX_INPUT: u64 = 4 << 20;
    let mut text = String::new();
    input.take(MAX_INPUT + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_INPUT {
        return Err(std::io::Error::new(std::io::ErrorKind::FileTooLarge, "the input is larger than 4 MiB"));
    }
    Ok(text)
}
