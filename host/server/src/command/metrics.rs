//! `tidegate metrics`: prints the call statistics of a platform.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::UsageError;
use super::output::{self, number, percentage};
use super::target::{ApiRequest, Target};

const EXAMPLES: &str = "\
Examples:
  tidegate metrics taobao
  tidegate metrics taobao --endpoint taobao.trade.get --range 24h
  tidegate metrics taobao --range 5m --json";

/// The options of `tidegate metrics`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Metrics {
    /// The platform's name.
    platform: String,
    /// Print the statistics of this endpoint only [default: all endpoints together].
    #[arg(long)]
    endpoint: Option<String>,
    /// The time range to report, up to now, such as 5m, 1h or 7d.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    range: String,
    #[command(flatten)]
    target: Target,
}

impl Metrics {
    /// Sends the request and prints the response.
    ///
    /// # Errors
    /// Returns an error if the request is invalid, or if the server or Redis is unreachable.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let Self { platform, endpoint, range, target } = self;
        output::send_and_print(&target, ApiRequest::Metrics { platform, endpoint, range }, stats)
    }
}

fn stats(value: &Value) -> String {
    let time = |key: &str| output::timestamp(value[key].as_u64().unwrap_or(0));
    let latency = |key: &str| format!("{:.0} ms", value[key].as_f64().unwrap_or(0.0));
    let (count, limited) = (value["count"].as_u64().unwrap_or(0), value["limited"].as_u64().unwrap_or(0));
    // A rate is not defined without attempts.
    let rate = |key: &str, attempts: u64| if attempts == 0 { "-".to_owned() } else { percentage(&value[key]) };
    let count_and_rate = |key: &str, rate: String| format!("{} ({rate})", number(&value[key]));
    let rows = [
        ("from", time("from_ms")),
        ("to", time("to_ms")),
        ("attempts", number(&value["count"])),
        ("success", count_and_rate("success", rate("success_rate", count))),
        ("errors", count_and_rate("errors", rate("error_rate", count))),
        ("limited", count_and_rate("limited", rate("limited_rate", count + limited))),
        ("attempts/s", format!("{:.2}", value["rps"].as_f64().unwrap_or(0.0))),
        ("p50", latency("p50")),
        ("p95", latency("p95")),
        ("p99", latency("p99")),
    ];
    rows.map(|(name, value)| format!("{name:<10} {value}")).join("\n")
}
