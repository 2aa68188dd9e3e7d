//! `tidegate metrics`: what became of the calls.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Usage;
use super::place::{Ask, Where};
use super::show::{self, number, per_cent};

/// Show what became of the calls.
#[derive(Args)]
pub struct Metrics {
    /// The platform.
    platform: String,
    /// One endpoint; all of the platform unless given.
    #[arg(long)]
    endpoint: Option<String>,
    /// How far back, such as 5m, 1h or 7d.
    #[arg(long, default_value = "1h")]
    range: String,
    #[command(flatten)]
    place: Where,
}

impl Metrics {
    /// Asks and prints.
    ///
    /// # Errors
    /// Wrong usage, or nobody who answers.
    pub fn run(self) -> Result<ExitCode, Usage> {
        let Self { platform, endpoint, range, place } = self;
        show::print(&place, Ask::Figures { platform, endpoint, range }, figures)
    }
}

fn figures(value: &Value) -> String {
    let moment = |key: &str| show::moment(value[key].as_u64().unwrap_or(0));
    let time = |key: &str| format!("{:.0} ms", value[key].as_f64().unwrap_or(0.0));
    let rows = [
        ("from", moment("from_ms")),
        ("to", moment("to_ms")),
        ("calls", number(&value["count"])),
        ("success", format!("{} ({})", number(&value["success"]), per_cent(&value["success_rate"]))),
        ("errors", format!("{} ({})", number(&value["errors"]), per_cent(&value["error_rate"]))),
        ("limited", format!("{} ({})", number(&value["limited"]), per_cent(&value["limited_rate"]))),
        ("calls/s", format!("{:.2}", value["rps"].as_f64().unwrap_or(0.0))),
        ("p50", time("p50")),
        ("p95", time("p95")),
        ("p99", time("p99")),
    ];
    rows.map(|(name, figure)| format!("{name:<8} {figure}")).join("\n")
}
