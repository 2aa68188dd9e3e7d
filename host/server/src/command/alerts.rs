//! `tidegate alerts`: prints active alerts and past notifications.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::UsageError;
use super::output::{self, text};
use super::target::{ApiRequest, Target};

const EXAMPLES: &str = "\
Examples:
  tidegate alerts list                        print the alerts that are active now
  tidegate alerts history --platform taobao   print the last 20 notifications about taobao";
const LIST_EXAMPLES: &str = "\
Examples:
  tidegate alerts list
  tidegate alerts list --json";
const HISTORY_EXAMPLES: &str = "\
Examples:
  tidegate alerts history
  tidegate alerts history --platform taobao --limit 100";

/// The options of `tidegate alerts`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Alerts {
    #[command(subcommand)]
    command: AlertsCommand,
}

#[derive(Subcommand)]
enum AlertsCommand {
    /// Print the alerts that are active now.
    ///
    /// Prints the rule, its severity, the platform and endpoint (scope), the state (pending or firing), and how long
    /// the condition has held.
    #[command(after_help = LIST_EXAMPLES)]
    List {
        #[command(flatten)]
        target: Target,
    },
    /// Print past notifications, newest first.
    ///
    /// Prints time, severity, rule, transition, scope, and for each channel whether the notification was delivered.
    /// Notifications of the built-in alerts `redis_unavailable` and `policy_quarantined` are not recorded.
    #[command(after_help = HISTORY_EXAMPLES)]
    History {
        /// Print only notifications about this platform [default: all platforms].
        #[arg(long)]
        platform: Option<String>,
        /// Print at most this many notifications.
        #[arg(long, value_name = "COUNT", default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        target: Target,
    },
}

impl Alerts {
    /// Sends the request and prints the response.
    ///
    /// # Errors
    /// Returns an error if the request is invalid, or if the server or Redis is unreachable.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let (request, target, format) = match self.command {
            AlertsCommand::List { target } => {
                (ApiRequest::Alerts { platform: None, limit: 0 }, target, active as fn(&Value) -> String)
            }
            AlertsCommand::History { platform, limit, target } => {
                (ApiRequest::Alerts { platform, limit }, target, history as fn(&Value) -> String)
            }
        };
        output::send_and_print(&target, request, format)
    }
}

fn scope(value: &Value) -> String {
    format!("{} {}", text(&value["platform"]), text(&value["endpoint"])).trim_end().to_owned()
}

fn active(value: &Value) -> String {
    let alerts = value["active"].as_array().into_iter().flatten();
    let rows = alerts.map(|alert| {
        let duration = output::millis(alert["for_ms"].as_u64().unwrap_or(0));
        vec![text(&alert["rule"]), text(&alert["severity"]), scope(alert), text(&alert["state"]), duration]
    });
    output::table(&["rule", "severity", "scope", "state", "duration"], rows)
}

fn history(value: &Value) -> String {
    let records = value["history"].as_array().into_iter().flatten();
    let rows = records.map(|record| {
        let time = output::timestamp(record["at_ms"].as_u64().unwrap_or(0));
        let transition = text(&record["transition"]).replace('_', " ");
        vec![time, text(&record["severity"]), text(&record["rule"]), transition, scope(record), deliveries(record)]
    });
    output::table(&["time", "severity", "rule", "transition", "scope", "delivered to"], rows)
}

/// Lists the channels of a notification, each failed one with its error.
fn deliveries(record: &Value) -> String {
    let deliveries = record["deliveries"].as_array().into_iter().flatten();
    let format = |delivery: &Value| match delivery["error"].as_str() {
        None => text(&delivery["channel"]),
        Some(_) => format!("{} (failed: {})", text(&delivery["channel"]), text(&delivery["error"])),
    };
    deliveries.map(format).collect::<Vec<_>>().join(", ")
}
