//! `tidegate eval`: one policy, one input, its verdict.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tidegate::core::{Failure, Fault, Request, Stats, View, Windows};
use tidegate::policy::{Loaded, PolicyKind, load_one};

use super::{Usage, answer, config_file, configuration};
use crate::cases::{self, AlertInput};

/// Ask one policy for its verdict on one input.
#[derive(Args)]
pub struct Eval {
    /// The policy: a .rhai script or a .wasm component.
    #[arg(value_name = "POLICY")]
    policy: PathBuf,
    /// A file with the input as JSON: a failure for a retry policy, a snapshot for an alert, a request to admit; - reads
    /// standard input.
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
                let failure = tidegate::heed_headers(read::<Failure>(&self.input)?);
                told(policy.classify(&failure, &view()))
            }
            Loaded::Alert(policy) => {
                let input: AlertInput = read(&self.input)?;
                told(policy.evaluate(&input.snapshot, &input.view().map_err(Usage)?))
            }
            Loaded::Admit(policy) => {
                let request: Request = read(&self.input)?;
                told(policy.admit(&request, &view()))
            }
        };
        answer(self.json, &verdict, &text);
        Ok(if verdict.get("fault").is_none() { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }
}

/// A view of nothing.
fn view() -> Arc<dyn View> {
    Arc::new(Windows(|_| Stats::default()))
}

/// The verdict as JSON and as a line of `name: value` pairs.
fn told(result: Result<impl serde::Serialize, Fault>) -> (Value, String) {
    let value = cases::told(result);
    let pairs = value.as_object().into_iter().flatten();
    let pairs =
        pairs.map(|(name, value)| format!("{name}: {}", value.as_str().map_or(value.to_string(), str::to_owned)));
    let text = pairs.collect::<Vec<_>>().join("\n");
    (value, text)
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
