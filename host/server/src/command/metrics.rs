//! `tidegate metrics`: prints the call statistics of a platform.

use std::process::ExitCode;

use clap::Args;

use super::UsageError;
use super::client::Client;
use super::output::{self, percentage};
use super::target::Target;
use crate::api::metrics::{CallStats, MetricsRequest};

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
        let request = MetricsRequest { platform, endpoint, range };
        output::send_and_print(&target, async |client: Client| client.stats(request).await, stats)
    }
}

fn stats(stats: &CallStats) -> String {
    let latency = |millis: f64| format!("{millis:.0} ms");
    // A rate is not defined without attempts.
    let count_and_rate = |count: u64, rate: f64, attempts: u64| {
        let rate = if attempts == 0 { "-".to_owned() } else { percentage(rate) };
        format!("{count} ({rate})")
    };
    let rows = [
        ("from", output::timestamp(stats.from_ms)),
        ("to", output::timestamp(stats.to_ms)),
        ("attempts", stats.count.to_string()),
        ("success", count_and_rate(stats.success, stats.success_rate, stats.count)),
        ("errors", count_and_rate(stats.errors, stats.error_rate, stats.count)),
        ("limited", count_and_rate(stats.limited, stats.limited_rate, stats.count + stats.limited)),
        ("attempts/s", format!("{:.2}", stats.rps)),
        ("p50", latency(stats.p50)),
        ("p95", latency(stats.p95)),
        ("p99", latency(stats.p99)),
    ];
    rows.map(|(name, value)| format!("{name:<10} {value}")).join("\n")
}
