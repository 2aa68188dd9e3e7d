//! `tidegate eval`: one policy, one input, its verdict.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tidegate::core::units::{parse_duration, show_duration};
use tidegate::core::{Failure, Fault, Request, Snapshot, Stats, View, Windows};
use tidegate::policy::{Loaded, PolicyKind, load_one};

use super::{Usage, answer, config_file, configuration};

/// Ask one policy for its verdict on one input.
#[derive(Args)]
pub struct Eval {
    /// The policy: a .rhai script or a .wasm component.
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// The input as JSON: a failure for a retry policy, a snapshot for an alert, a request to admit; - reads standard input.
    #[arg(value_name = "INPUT", default_value = "-")]
    input: PathBuf,
    /// What the policy decides; by its folder (retry/, alerts/ or admit/) unless said.
    #[arg(long)]
    kind: Option<Kind>,
    /// The configuration, for deadlines and limits.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer as JSON.
    #[arg(long)]
    json: bool,
}

/// What a policy decides.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// Whether a failed call is worth another attempt.
    Retry,
    /// Whether an alert condition holds.
    Alert,
    /// Whether and how a request goes.
    Admit,
}

/// The input of an alert: the snapshot, and what `window("1h")` answers.
#[derive(Deserialize)]
struct AlertInput {
    #[serde(flatten)]
    snapshot: Snapshot,
    #[serde(default)]
    windows: BTreeMap<String, Stats>,
}

impl Eval {
    /// Prints the verdict; 1 where the policy misbehaved.
    ///
    /// # Errors
    /// A policy or an input that cannot be read.
    pub fn run(self) -> Result<ExitCode, Usage> {
        let config = configuration(config_file(self.config.clone()).as_deref())?;
        let kind = self.kind.map(|kind| match kind {
            Kind::Retry => PolicyKind::Retry,
            Kind::Alert => PolicyKind::Alert,
            Kind::Admit => PolicyKind::Admit,
        });
        let policy = load_one(&self.policy, kind, &config.policies).map_err(Usage)?;
        let (verdict, text) = match policy {
            Loaded::Retry(policy) => {
                let failure: Failure = read(&self.input)?;
                told(policy.classify(&failure, &view(BTreeMap::new(), Stats::default())))
            }
            Loaded::Alert(policy) => {
                let input: AlertInput = read(&self.input)?;
                let windows = windows(&input)?;
                told(policy.evaluate(&input.snapshot, &view(windows, input.snapshot.stats.clone())))
            }
            Loaded::Admit(policy) => {
                let request: Request = read(&self.input)?;
                told(policy.admit(&request, &view(BTreeMap::new(), Stats::default())))
            }
        };
        answer(self.json, &verdict, &text);
        Ok(if verdict.get("fault").is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// Windows as the input gives them, else these figures.
fn view(windows: BTreeMap<Duration, Stats>, other: Stats) -> Arc<dyn View> {
    Arc::new(Windows(move |range: Duration| windows.get(&range).unwrap_or(&other).clone()))
}

/// The verdict as JSON and as a line of `name: value` pairs.
fn told(result: Result<impl serde::Serialize, Fault>) -> (Value, String) {
    let value = match result {
        Ok(verdict) => serde_json::to_value(verdict).unwrap_or_default(),
        Err(fault) => json!({ "fault": fault.kind.name(), "message": fault.message }),
    };
    let pairs = value.as_object().into_iter().flatten();
    let pairs =
        pairs.map(|(name, value)| format!("{name}: {}", value.as_str().map_or(value.to_string(), str::to_owned)));
    let text = pairs.collect::<Vec<_>>().join("\n");
    (value, text)
}

fn windows(input: &AlertInput) -> Result<BTreeMap<Duration, Stats>, Usage> {
    let named = input.windows.iter().map(|(name, stats)| Ok((parse_duration(name)?, stats.clone())));
    named
        .collect::<Result<_, String>>()
        .map_err(|error| Usage(format!("windows: {error}, as in {:?}", show_duration(Duration::from_secs(3_600)))))
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Usage> {
    let mut text = String::new();
    let name = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let read = if path == Path::new("-") {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|whole| text = whole)
    };
    read.map_err(|error| Usage(format!("{name}: {error}")))?;
    serde_json::from_str(&text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let message = error.to_string();
        // The position is told in front, as everywhere.
        let message = message.strip_suffix(&format!(" at line {line} column {column}")).unwrap_or(&message);
        Usage(format!("{name}:{line}:{column}: {message}"))
    })
}
