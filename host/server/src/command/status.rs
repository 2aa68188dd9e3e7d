//! `tidegate status`: prints the health of the Redis connection.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::UsageError;
use super::output::{self, number, text};
use super::target::{ApiRequest, Target};

const EXAMPLES: &str = "\
Examples:
  tidegate status                                  query the server on this machine
  tidegate status --server http://10.0.0.5:8700    query another server
  tidegate status --redis --config tidegate.toml   connect to Redis directly";

/// The options of `tidegate status`.
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub struct Status {
    #[command(flatten)]
    target: Target,
}

impl Status {
    /// Sends the request and prints the response.
    ///
    /// # Errors
    /// Returns an error if the request is invalid, or if the server is unreachable.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        output::send_and_print(&self.target, ApiRequest::Redis, redis_health)
    }
}

fn redis_health(health: &Value) -> String {
    if health["configured"] == false {
        return "redis: not configured; all state is in the server's memory".to_owned();
    }
    let summary = format!(
        "redis ({}): {} for {}; processes: {}; reconnects: {}",
        text(&health["kind"]),
        text(&health["state"]),
        output::millis(health["state_duration_ms"].as_u64().unwrap_or(0)),
        number(&health["processes"]),
        number(&health["reconnects"]),
    );
    let servers = health["servers"].as_array().into_iter().flatten();
    let rows = servers.map(|server| {
        let duration = output::millis(server["state_duration_ms"].as_u64().unwrap_or(0));
        vec![text(&server["server"]), text(&server["state"]), duration, text(&server["reason"])]
    });
    format!("{summary}\n{}", output::table(&["server", "state", "duration", "reason"], rows))
}
