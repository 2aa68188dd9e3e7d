//! `tidegate limits`: look at limits, change them, fill them.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::Usage;
use super::place::{Ask, Where};
use super::show::{self, number, text};

/// Look at limits, change them, fill them.
#[derive(Args)]
pub struct Limits {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Show one limit, or all.
    Get {
        /// The platform; all unless given.
        platform: Option<String>,
        #[command(flatten)]
        place: Where,
    },
    /// Change rate and burst for all who share the limit; the level is kept.
    Set {
        /// The platform.
        platform: String,
        /// Tokens and a period, such as 40/s, 300/m or 10000/60s.
        rate: String,
        /// What may be spent at once.
        burst: u64,
        #[command(flatten)]
        place: Where,
    },
    /// Grant the whole burst anew.
    Reset {
        /// The platform.
        platform: String,
        #[command(flatten)]
        place: Where,
    },
}

impl Limits {
    /// Asks and prints.
    ///
    /// # Errors
    /// Wrong usage, or nobody who answers.
    pub fn run(self) -> Result<ExitCode, Usage> {
        match self.what {
            What::Get { platform: None, place } => show::print(&place, Ask::Limits, |all| {
                let all = all.as_object().into_iter().flatten();
                table(all.map(|(platform, limit)| (platform.as_str(), limit)))
            }),
            What::Get { platform: Some(platform), place } => one(&place, Ask::Limit(platform.clone()), &platform),
            What::Set { platform, rate, burst, place } => {
                one(&place, Ask::SetLimit { platform: platform.clone(), rate, burst }, &platform)
            }
            What::Reset { platform, place } => one(&place, Ask::ResetLimit(platform.clone()), &platform),
        }
    }
}

fn one(place: &Where, ask: Ask, platform: &str) -> Result<ExitCode, Usage> {
    show::print(place, ask, |limit| table([(platform, limit)]))
}

fn table<'a>(limits: impl IntoIterator<Item = (&'a str, &'a Value)>) -> String {
    let rows = limits.into_iter().map(|(platform, limit)| {
        let full_in = show::millis(limit["full_in_ms"].as_u64().unwrap_or(0));
        vec![platform.to_owned(), text(&limit["rate"]), number(&limit["burst"]), number(&limit["available"]), full_in]
    });
    show::table(&["platform", "rate", "burst", "available", "full in"], rows)
}
