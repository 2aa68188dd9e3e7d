//! `tidegate alerts`: what holds now, and what people were told.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Usage;
use super::place::{Ask, Where};
use super::show::{self, text};

/// Show what holds now, and what people were told.
#[derive(Args)]
pub struct Alerts {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The rules whose condition holds now.
    List {
        #[command(flatten)]
        place: Where,
    },
    /// What people were told, newest first.
    History {
        /// One platform; all unless given.
        #[arg(long)]
        platform: Option<String>,
        /// The most messages.
        #[arg(long, default_value_t = 20)]
        limit: usize,
        #[command(flatten)]
        place: Where,
    },
}

impl Alerts {
    /// Asks and prints.
    ///
    /// # Errors
    /// Wrong usage, or nobody who answers.
    pub fn run(self) -> Result<ExitCode, Usage> {
        match self.what {
            What::List { place } => show::print(&place, Ask::Alerts { platform: None, limit: 0 }, active),
            What::History { platform, limit, place } => show::print(&place, Ask::Alerts { platform, limit }, history),
        }
    }
}

fn scope(value: &Value) -> String {
    format!("{} {}", text(&value["platform"]), text(&value["endpoint"])).trim_end().to_owned()
}

fn active(value: &Value) -> String {
    let alerts = value["active"].as_array().into_iter().flatten();
    let rows = alerts.map(|alert| {
        let lasted = show::millis(alert["for_ms"].as_u64().unwrap_or(0));
        vec![text(&alert["rule"]), text(&alert["severity"]), scope(alert), text(&alert["state"]), lasted]
    });
    show::table(&["rule", "severity", "scope", "state", "for"], rows)
}

fn history(value: &Value) -> String {
    let records = value["history"].as_array().into_iter().flatten();
    let rows = records.map(|record| {
        let when = show::moment(record["at_ms"].as_u64().unwrap_or(0));
        let what = text(&record["transition"]).replace('_', " ");
        vec![when, text(&record["severity"]), text(&record["rule"]), what, scope(record), deliveries(record)]
    });
    show::table(&["when", "severity", "rule", "what", "scope", "told"], rows)
}

/// Each channel with what became of the message there.
fn deliveries(record: &Value) -> String {
    let all = record["deliveries"].as_array().into_iter().flatten();
    let one = |delivery: &Value| match delivery["error"].as_str() {
        None => text(&delivery["channel"]),
        Some(_) => format!("{} failed: {}", text(&delivery["channel"]), text(&delivery["error"])),
    };
    all.map(one).collect::<Vec<_>>().join(", ")
}
