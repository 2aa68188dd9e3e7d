//! Measures the evaluation time of one policy, through the same code as in a server.

use std::fs;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tidegate_core::config::{Isolation, PoliciesConfig};
use tidegate_core::{Failure, FnHostView, HostView, Request, Snapshot, Stats};
use tidegate_policy::{Policies, PolicyKind, PolicyLanguage, PolicyStatus};

use super::measure::{MeasuredTime, each};
use crate::cases::AlertInput;
use crate::command::{UsageError, config_file, configuration};
use crate::json::read_text;

/// The message lengths that a retry policy is also measured with, in bytes.
const MESSAGE_LENGTHS: [usize; 4] = [100, 1_000, 10_000, 60_000];
/// The code of the default failure, which has four strings: platform, endpoint, code and message.
const CODE: &str = "52101";

/// The options of `tidegate bench policy`.
#[derive(Args)]
pub struct Policy {
    /// The policy: a .rhai script or a .wasm component in a folder named retry, alerts or admit.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Read the input from this JSON file [default: a small failure, snapshot or request].
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// How instances of a Wasm component are used [default: `[policies] isolation` in the configuration].
    #[arg(long)]
    isolation: Option<IsolationOption>,
    /// Read deadlines, limits and settings from this configuration file [default: ./tidegate.toml if it exists].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    time: MeasuredTime,
}

#[derive(Clone, Copy, ValueEnum)]
enum IsolationOption {
    /// One instance serves many evaluations.
    Reuse,
    /// Each evaluation gets a new instance.
    Fresh,
}

impl Policy {
    /// Measures a copy of the policy in a temporary directory.
    ///
    /// # Errors
    /// Returns an error if the policy or the input cannot be read.
    pub fn measure(&self) -> Result<Value, UsageError> {
        let failed = |error: std::io::Error| UsageError(format!("{}: {error}", self.file.display()));
        let kind = PolicyKind::from_path(&std::path::absolute(&self.file).map_err(failed)?).ok_or_else(|| {
            UsageError(format!("{}: expected a file in a folder named retry, alerts or admit", self.file.display()))
        })?;
        let mut config = configuration(config_file(self.config.clone()).as_ref())?.policies;
        if let Some(isolation) = self.isolation {
            config.limits.isolation = match isolation {
                IsolationOption::Reuse => Isolation::Reuse,
                IsolationOption::Fresh => Isolation::Fresh,
            };
        }
        let dir = tempfile::tempdir().map_err(failed)?;
        fs::create_dir(dir.path().join(kind.folder())).map_err(failed)?;
        fs::copy(&self.file, dir.path().join(kind.folder()).join(self.name())).map_err(failed)?;
        let config = config.with_dir(dir.path());
        self.run(kind, &config, self.time.duration())
    }

    fn run(&self, kind: PolicyKind, config: &PoliciesConfig, duration: Duration) -> Result<Value, UsageError> {
        if kind == PolicyKind::Alert {
            let rule = format!("[rules.bench]\npolicy = \"alerts/{}\"\n", self.name());
            fs::write(config.dir.join("alerts.toml"), rule).map_err(|error| UsageError(error.to_string()))?;
        }
        let policies = Policies::open(config);
        if let Some(error) = policies.reload().rejected.into_values().next() {
            return Err(UsageError(error));
        }
        let mut results = match kind {
            PolicyKind::Retry => self.retry(&policies, duration)?,
            PolicyKind::Alert => self.alert(&policies, duration)?,
            PolicyKind::Admit => self.admit(&policies, duration)?,
        };
        let status = policies.status();
        let evaluated = |policy: &&PolicyStatus| policy.path.ends_with(&self.name()) && policy.evaluations > 0;
        let status = status.iter().find(evaluated);
        let status = status.ok_or_else(|| UsageError(format!("{}: not evaluated", self.file.display())))?;
        results["language"] = json!(status.language);
        results["faults"] = json!(status.faults);
        if status.language == PolicyLanguage::Wasm {
            let isolation = config.resolve(&status.path).limits.isolation;
            results["isolation"] = json!(isolation);
        }
        Ok(results)
    }

    /// Returns the platform of the policy, or the name of the condition: the file name without the extension.
    fn platform(&self) -> String {
        // A policy whose name has a dot decides for no platform; it is a candidate, or would not be evaluated.
        self.file.file_stem().unwrap_or_default().to_string_lossy().replace('.', "_")
    }

    /// Returns the name of the copy of the policy.
    fn name(&self) -> String {
        format!("{}.{}", self.platform(), self.file.extension().unwrap_or_default().to_string_lossy())
    }

    fn retry(&self, policies: &Policies, duration: Duration) -> Result<Value, UsageError> {
        let platform = self.platform();
        let default = Failure::response(200)
            .with_platform(platform.clone())
            .with_endpoint("orders.list")
            .with_code(CODE)
            .with_message("called too often");
        let failure = self.read_input()?.unwrap_or(default).with_platform(platform);
        let mut results = each(duration, || drop(black_box(policies.classify(black_box(&failure)))));
        let by_message_length = MESSAGE_LENGTHS.map(|length| {
            let failure = failure.clone().with_message("x".repeat(length));
            let results = each(duration / 8, || drop(black_box(policies.classify(black_box(&failure)))));
            json!({ "message_bytes": length, "p50_ns": results["p50_ns"] })
        });
        results["by_message_length"] = json!(by_message_length);
        Ok(results)
    }

    fn alert(&self, policies: &Policies, duration: Duration) -> Result<Value, UsageError> {
        let mut stats = Stats::default();
        stats.count = 100;
        stats.success = 95;
        stats.errors = 5;
        stats.error_rate = 0.05;
        stats.p95 = 300.0;
        let default = Snapshot::new("sample", stats);
        let snapshot = self.read_input()?.map_or(default, |input: AlertInput| input.snapshot);
        let rules = policies.rules();
        let rule = rules.first().ok_or_else(|| UsageError(format!("{}: not loaded", self.file.display())))?;
        let stats = snapshot.stats.clone();
        let view: Arc<dyn HostView> = Arc::new(FnHostView(move |_| stats.clone()));
        Ok(each(duration, || drop(black_box(rule.policy.evaluate(black_box(&snapshot), &view)))))
    }

    fn admit(&self, policies: &Policies, duration: Duration) -> Result<Value, UsageError> {
        let platform = self.platform();
        let default = Request::new(platform.clone()).with_endpoint("orders.list");
        let mut request = self.read_input()?.unwrap_or(default);
        request.platform = platform;
        Ok(each(duration, || drop(black_box(policies.admit(black_box(&request))))))
    }

    fn read_input<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, UsageError> {
        let Some(path) = &self.input else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| UsageError(format!("{}: {error}", path.display())))?;
        read_text(&path.display().to_string(), &text).map(Some).map_err(UsageError)
    }
}
