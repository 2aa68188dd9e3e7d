//! What one verdict costs, through all that a live one passes.

use std::fs;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tidegate::core::config::{Isolation, PoliciesConfig};
use tidegate::core::{Failure, Request, Snapshot, Stats, View, Windows};
use tidegate::policy::{Policies, PolicyKind};

use super::measure::each;
use crate::command::{Usage, config_file, configuration};

/// The lengths of the message that the curve is drawn for, in bytes.
const LENGTHS: [usize; 4] = [100, 1_000, 10_000, 60_000];
/// A failure with four texts: platform, endpoint, code and message.
const CODE: &str = "52101";

/// Measure one policy.
#[derive(Args)]
pub struct Policy {
    /// The policy: a .rhai script or a .wasm component in a folder retry/, alerts/ or admit/.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The input as JSON instead of a failure (a snapshot, a request) with four texts.
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Whether an instance of a component serves many calls; as configured unless said.
    #[arg(long)]
    isolation: Option<Kept>,
    /// The configuration, for deadlines and limits.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kept {
    /// It serves many.
    Reuse,
    /// It serves one.
    Fresh,
}

impl Policy {
    /// Measures it.
    ///
    /// # Errors
    /// A policy or an input that cannot be read.
    pub fn measure(&self, lasting: Duration) -> Result<Value, Usage> {
        let told = |error: std::io::Error| Usage(format!("{}: {error}", self.file.display()));
        let kind = PolicyKind::of(&std::path::absolute(&self.file).map_err(told)?)
            .ok_or_else(|| Usage(format!("{}: expected it in retry/, alerts/ or admit/", self.file.display())))?;
        let mut config = configuration(config_file(self.config.clone()).as_deref())?.policies;
        if let Some(kept) = self.isolation {
            config.bounds.isolation = match kept {
                Kept::Reuse => Isolation::Reuse,
                Kept::Fresh => Isolation::Fresh,
            };
        }
        let dir = tempfile::tempdir().map_err(told)?;
        let name = self.file.file_name().unwrap_or_default();
        fs::create_dir(dir.path().join(kind.folder())).map_err(told)?;
        fs::copy(&self.file, dir.path().join(kind.folder()).join(name)).map_err(told)?;
        let config = PoliciesConfig { dir: dir.path().to_owned(), ..config };
        self.run(kind, &config, lasting)
    }

    fn run(&self, kind: PolicyKind, config: &PoliciesConfig, lasting: Duration) -> Result<Value, Usage> {
        if kind == PolicyKind::Alert {
            let rule = format!("[rules.bench]\npolicy = \"alerts/{}\"\n", name(&self.file));
            fs::write(config.dir.join("alerts.toml"), rule).map_err(|error| Usage(error.to_string()))?;
        }
        let policies = Policies::open(config);
        if let Some(refused) = policies.reload().refused.first() {
            return Err(Usage(refused.clone()));
        }
        let mut figures = match kind {
            PolicyKind::Retry => self.retry(&policies, lasting)?,
            PolicyKind::Alert => self.alert(&policies, lasting)?,
            PolicyKind::Admit => self.admit(&policies, lasting)?,
        };
        let status = policies.status();
        let told = status.iter().find(|one| one.path.ends_with(&name(&self.file)));
        let told = told.ok_or_else(|| Usage("the policy vanished".to_owned()))?;
        figures["kind"] = json!(told.kind);
        figures["faults"] = json!(told.faults);
        if told.kind == "wasm" {
            let isolation = config.terms(&told.path).bounds.isolation;
            figures["isolation"] = json!(if isolation == Isolation::Fresh { "fresh" } else { "reuse" });
        }
        Ok(figures)
    }

    fn retry(&self, policies: &Policies, lasting: Duration) -> Result<Value, Usage> {
        let platform = name(&self.file).split('.').next().unwrap_or_default().to_owned();
        let plain = Failure {
            platform: platform.clone(),
            endpoint: "orders.list".to_owned(),
            status: Some(200),
            code: Some(CODE.to_owned()),
            message: Some("called too often".to_owned()),
            ..Failure::default()
        };
        let failure = Failure { platform, ..self.read()?.unwrap_or(plain) };
        let mut figures = each(lasting, || drop(black_box(policies.classify(black_box(&failure)))));
        let curve = LENGTHS.map(|length| {
            let failure = Failure { message: Some("x".repeat(length)), ..failure.clone() };
            let figures = each(lasting / 8, || drop(black_box(policies.classify(black_box(&failure)))));
            json!({ "message_bytes": length, "p50_ns": figures["p50_ns"] })
        });
        figures["curve"] = json!(curve);
        Ok(figures)
    }

    fn alert(&self, policies: &Policies, lasting: Duration) -> Result<Value, Usage> {
        let stats = Stats { count: 100, success: 95, errors: 5, error_rate: 0.05, p95: 300.0, ..Stats::default() };
        let plain = Snapshot { platform: "sample".to_owned(), endpoint: None, stats };
        let snapshot = self.read()?.unwrap_or(plain);
        let rules = policies.rules();
        let rule = rules.first().ok_or_else(|| Usage("the rule vanished".to_owned()))?;
        let stats = snapshot.stats.clone();
        let view: Arc<dyn View> = Arc::new(Windows(move |_| stats.clone()));
        Ok(each(lasting, || drop(black_box(rule.policy.evaluate(black_box(&snapshot), &view)))))
    }

    fn admit(&self, policies: &Policies, lasting: Duration) -> Result<Value, Usage> {
        let platform = name(&self.file).split('.').next().unwrap_or_default().to_owned();
        let plain = Request { platform: platform.clone(), endpoint: "orders.list".to_owned(), ..Request::default() };
        let request = Request { platform, ..self.read()?.unwrap_or(plain) };
        Ok(each(lasting, || drop(black_box(policies.admit(black_box(&request))))))
    }

    fn read<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, Usage> {
        let Some(path) = &self.input else { return Ok(None) };
        let text = fs::read_to_string(path).map_err(|error| Usage(format!("{}: {error}", path.display())))?;
        serde_json::from_str(&text).map(Some).map_err(|error| Usage(format!("{}: {error}", path.display())))
    }
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
