//! `tidegate alerts`: prints active alerts and past notifications.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::UsageError;
use super::client::Client;
use super::output::{self, text};
use super::target::Target;
use crate::api::alerts::{AlertsRequest, AlertsResponse, DeliveryInfo, NotificationInfo};

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
    /// Notifications that were sent while Redis was unavailable are added when it is available again.
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
                (AlertsRequest { platform: None, limit: 0 }, target, active as fn(&AlertsResponse) -> String)
            }
            AlertsCommand::History { platform, limit, target } => {
                (AlertsRequest { platform, limit }, target, history as fn(&AlertsResponse) -> String)
            }
        };
        output::send_and_print(&target, async |client: Client| client.alerts(request).await, format)
    }
}

fn scope(platform: &str, endpoint: Option<&str>) -> String {
    text(format!("{platform} {}", endpoint.unwrap_or_default()).trim_end())
}

fn active(alerts: &AlertsResponse) -> String {
    let rows = alerts.active.iter().map(|alert| {
        let scope = scope(&alert.platform, alert.endpoint.as_deref());
        let (severity, duration) = (alert.severity.to_string(), output::millis(alert.active_for_ms));
        vec![text(&alert.rule), severity, scope, text(&alert.state), duration]
    });
    output::table(&["rule", "severity", "scope", "state", "duration"], rows)
}

fn history(alerts: &AlertsResponse) -> String {
    let rows = alerts.history.iter().map(|notification| {
        let time = output::timestamp(notification.at_ms);
        let scope = scope(&notification.platform, notification.endpoint.as_deref());
        let (severity, transition) = (notification.severity.to_string(), notification.transition.to_string());
        let (rule, deliveries) = (text(&notification.rule), deliveries(notification));
        vec![time, severity, rule, transition, scope, deliveries]
    });
    output::table(&["time", "severity", "rule", "transition", "scope", "delivered to"], rows)
}

/// Lists the channels of a notification, each failed one with its error.
fn deliveries(notification: &NotificationInfo) -> String {
    let format = |delivery: &DeliveryInfo| match &delivery.error {
        None => text(&delivery.channel),
        Some(error) => format!("{} (failed: {})", text(&delivery.channel), text(error)),
    };
    notification.deliveries.iter().map(format).collect::<Vec<_>>().join(", ")
}
