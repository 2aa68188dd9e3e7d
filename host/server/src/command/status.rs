//! `tidegate status`: how the way to Redis is.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::Usage;
use super::place::{Ask, Where};
use super::show::{self, number, text};

/// Show how the way to Redis is.
#[derive(Args)]
pub struct Status {
    #[command(flatten)]
    place: Where,
}

impl Status {
    /// Asks and prints.
    ///
    /// # Errors
    /// Wrong usage, or nobody who answers.
    pub fn run(self) -> Result<ExitCode, Usage> {
        show::print(&self.place, Ask::Redis, redis)
    }
}

fn redis(health: &Value) -> String {
    if health["configured"] == false {
        return "state lives in the server's memory; there is no [redis]".to_owned();
    }
    let head = format!(
        "redis ({}): {} for {}; processes: {}; reconnections: {}",
        text(&health["kind"]),
        text(&health["state"]),
        show::millis(health["since_ms"].as_u64().unwrap_or(0)),
        number(&health["processes"]),
        number(&health["reconnects"]),
    );
    let servers = health["servers"].as_array().into_iter().flatten();
    let rows = servers.map(|server| {
        let since = show::millis(server["since_ms"].as_u64().unwrap_or(0));
        vec![text(&server["server"]), text(&server["state"]), since, text(&server["reason"])]
    });
    format!("{head}\n{}", show::table(&["server", "state", "for", "why"], rows))
}
