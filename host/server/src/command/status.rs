//! `tidegate status`: prints the health of the Redis connection.

use std::process::ExitCode;

use clap::Args;

use super::UsageError;
use super::client::Client;
use super::output::{self, text};
use super::target::Target;
use crate::api::redis::{ConnectedRedis, RedisProcess, RedisResponse, RedisState};

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
    /// Sends the request and prints the response. Returns exit status 2 if no Redis server can be used.
    ///
    /// # Errors
    /// Returns an error if the request is invalid, or if the server is unreachable.
    pub fn run(self) -> Result<ExitCode, UsageError> {
        let request = async |client: Client| client.redis().await;
        output::send_and_print_with_status(&self.target, request, |response| match response {
            RedisResponse::NotConfigured(_) => {
                ("redis: not configured; all state is in the server's memory".to_owned(), ExitCode::SUCCESS)
            }
            RedisResponse::Configured(health) => (redis_health(health), exit_status(health.state)),
        })
    }
}

fn exit_status(state: RedisState) -> ExitCode {
    match state {
        RedisState::Up | RedisState::Degraded => ExitCode::SUCCESS,
        RedisState::Connecting | RedisState::Unavailable => ExitCode::from(2),
    }
}

fn redis_health(health: &ConnectedRedis) -> String {
    let summary = format!(
        "redis ({}): {} for {}; processes: {}; reconnects: {}",
        text(&health.kind),
        health.state.name(),
        output::millis(health.state_duration_ms),
        health.processes,
        health.reconnects,
    );
    let rows = health.servers.iter().map(|server| {
        let (address, reason) = (server.server.as_deref(), server.reason.as_deref());
        let (state, duration) = (server.state.name().to_owned(), output::millis(server.state_duration_ms));
        vec![text(address.unwrap_or_default()), state, duration, text(reason.unwrap_or_default())]
    });
    let servers = output::table(&["server", "state", "duration", "reason"], rows);
    match health.fleet.as_deref() {
        None | Some([]) => format!("{summary}\n{servers}"),
        Some(fleet) => format!("{summary}\n{servers}\n\n{}", processes(fleet)),
    }
}

/// Returns a table of the processes of the fleet. The process that the command queried is marked with `*`. The
/// configuration of a process is stale if its file is rejected.
fn processes(fleet: &[RedisProcess]) -> String {
    let rows = fleet.iter().map(|process| {
        let mark = if process.is_self { "*" } else { "" };
        let hash = |hash: &Option<String>| text(hash.as_deref().unwrap_or_default());
        let name = format!("{}:{}{mark}", text(&process.host), process.pid);
        let config = if process.is_config_stale { "stale" } else { "current" }.to_owned();
        let quarantined = text(&process.quarantined.join(", "));
        vec![name, text(&process.version), config, hash(&process.policies_hash), hash(&process.rules_hash), quarantined]
    });
    output::table(&["process", "version", "config", "policies", "rules", "quarantined"], rows)
}
